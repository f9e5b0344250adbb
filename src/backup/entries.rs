//! What is in the sources, entry by entry: each with its name in the snapshot, in the order of the names.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::manifest::{Entry, EntryKind};
use crate::error::{Error, ErrorKind, Result};
use crate::event::SkipReason;
use crate::identity::{FileChanged, FileIdentity};
use crate::mirror::Keyed;
use crate::source::{Filter, Found, Root, Walk, key};

/// An entry and its name in the snapshot: that of its source, and its path in it.
pub(super) struct Item {
    pub(super) name: String,
    pub(super) found: Found,
}

impl Keyed for Item {
    fn key(&self) -> &str {
        &self.name
    }
}

/// The entries of all sources but those that are excluded. What an entry is, and where it stands, is as its directory had it
/// when that was read: what it has become since is no reason to name it otherwise.
pub(super) struct Items {
    walks: Box<dyn Iterator<Item = (Arc<Root>, Found)> + Send>,
    last: String,
    /// Counts entries that are left out.
    excluded: Arc<AtomicU64>,
}

impl Items {
    pub(super) fn new(roots: Vec<Root>, filter: &Arc<Filter>, excluded: Arc<AtomicU64>) -> Self {
        let filter = filter.clone();
        let walks = roots.into_iter().flat_map(move |root| {
            let walk = Walk::new(root.clone(), filter.clone(), false);
            let root = Arc::new(root);
            walk.by_key().of_all().map(move |found| (root.clone(), found))
        });
        Self {
            walks: Box::new(walks),
            last: String::new(),
            excluded,
        }
    }
}

/// The name of what was found in `root`, as the walk has sorted it.
fn name_of(root: &Root, found: &Found) -> String {
    match found {
        Found::File(file) => file.key.clone(),
        Found::Directory { path }
        | Found::Failed {
            path,
            is_directory: true,
            ..
        } => root.prefix_of(path),
        Found::Skipped { path, .. } | Found::Failed { path, .. } => root.key_of(path),
    }
}

impl Iterator for Items {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (root, found) = self.walks.next()?;
            if let Found::Skipped {
                reason: SkipReason::Excluded,
                ..
            } = found
            {
                self.excluded.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let name = name_of(&root, &found);
            if name == self.last {
                // A directory that changes while it is read may show a name twice.
                continue;
            }
            if name < self.last {
                let message = format!("the walk found '{name}' behind '{}'", self.last);
                return Some(Err(Error::new(ErrorKind::Internal, message)));
            }
            self.last.clone_from(&name);
            return Some(Ok(Item { name, found }));
        }
    }
}

/// What an entry without content is, by the reason why a walk leaves it out.
pub(super) fn kind_of(reason: SkipReason) -> EntryKind {
    match reason {
        SkipReason::Symlink | SkipReason::SymlinkLoop => EntryKind::Symlink,
        SkipReason::Fifo => EntryKind::Fifo,
        SkipReason::Socket => EntryKind::Socket,
        _ => EntryKind::Device,
    }
}

/// The entry of `kind` at `path`, with what it says of itself.
///
/// # Errors
/// It cannot be looked at, or is of another kind now.
pub(super) fn look_at(name: &str, kind: EntryKind, path: &Path) -> io::Result<Entry> {
    let metadata = fs::symlink_metadata(path)?;
    let mut entry = described(name.to_owned(), kind, &metadata);
    let is_that = match kind {
        EntryKind::Directory => metadata.is_dir(),
        EntryKind::Symlink => metadata.is_symlink(),
        _ => !metadata.is_dir() && !metadata.is_symlink() && !metadata.is_file(),
    };
    if !is_that {
        return Err(FileChanged.into());
    }
    if kind == EntryKind::Symlink {
        let target = fs::read_link(path)?;
        entry.target = Some(key::encode(target.as_os_str().as_bytes()).text);
    }
    Ok(entry)
}

/// What `metadata` says of an entry of `kind`.
pub(super) fn described(name: String, kind: EntryKind, metadata: &Metadata) -> Entry {
    Entry {
        mtime: Some(FileIdentity::from(metadata).mtime_text()),
        mode: Some(format!("{:04o}", metadata.mode() & 0o7777)),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
        ..Entry::bare(name, kind)
    }
}
