//! What is in the sources, entry by entry in the order of the names: written into the manifest, and what the bucket does
//! not have yet handed on to be uploaded.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use super::contents::{Contents, digest_of};
use super::layout::data_key;
use super::manifest::{Entry, EntryKind, ManifestWriter};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Failure, SkipReason, UploadReason};
use crate::identity::FileIdentity;
use crate::mirror::{Change, Join, Joined, Keyed, Known, KnownObject, KnownObjects, Stamp, State};
use crate::pipeline::Wanted;
use crate::source::{Filter, Found, Root, SourceFile, Walk, key};
use crate::store::hex;

/// Changes of what is remembered that are written together.
const LOT: usize = 4_096;
/// A file that changed so shortly before it was read may change again without its times telling.
const RACY: Duration = Duration::from_secs(2);

/// What was counted on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files, and their bytes.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Files that were not read, because they are what they were.
    pub unchanged: u64,
    /// Entries that are left out by `--exclude`.
    pub excluded: u64,
}

/// What a survey came to.
#[derive(Default)]
pub(super) struct Surveyed {
    pub(super) tally: Tally,
    /// None when it was lost on the way.
    pub(super) manifest: Option<ManifestWriter<File>>,
    /// The sources came to their end.
    pub(super) is_complete: bool,
    /// What ended it before.
    pub(super) trouble: Option<Error>,
    /// What is wrong with what is remembered, for people.
    pub(super) note: Option<String>,
}

/// An entry and its name in the snapshot.
struct Item {
    name: String,
    found: Found,
}

impl Keyed for Item {
    fn key(&self) -> &str {
        &self.name
    }
}

/// The entries of all sources in the order of their names.
struct Items {
    walks: Box<dyn Iterator<Item = (Arc<Root>, Found)> + Send>,
    last: String,
}

impl Items {
    fn new(roots: Vec<Root>, filter: &Arc<Filter>) -> Self {
        let filter = filter.clone();
        let walks = roots.into_iter().flat_map(move |root| {
            let walk = Walk::new(root.clone(), filter.clone(), false);
            let root = Arc::new(root);
            walk.by_key()
                .with_directories()
                .map(move |found| (root.clone(), found))
        });
        Self {
            walks: Box::new(walks),
            last: String::new(),
        }
    }
}

impl Iterator for Items {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let (root, found) = self.walks.next()?;
        let mut name = match &found {
            Found::File(file) => file.key.clone(),
            Found::Directory { path } if *path == root.path => root.key.clone(),
            Found::Directory { path } => root.prefix_of(path),
            Found::Skipped { path, .. } | Found::Failed { path, .. } => {
                match fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
                    true => root.prefix_of(path),
                    false => root.key_of(path),
                }
            }
        };
        if name <= self.last {
            // The rest of a directory that could not be read, or a name that a directory shows twice: it has no line of its
            // own. No name has this byte in it.
            name = format!("{}\0", self.last);
        }
        self.last.clone_from(&name);
        Some(Ok(Item { name, found }))
    }
}

/// See the module. What it came to is in the [`Surveyed`] that it was made with.
pub(super) struct Survey {
    join: Join<Items, KnownObjects, std::iter::Empty<Result<crate::store::ListedObject>>>,
    contents: Contents,
    /// What is remembered; none when it cannot be written.
    state: Option<Arc<State>>,
    changes: Vec<Change>,
    /// First names of files that have several.
    links: HashMap<(u64, u64), String>,
    prefix: String,
    ends: Ends,
    own: Surveyed,
    outcome: Arc<Mutex<Surveyed>>,
}

/// What ends a survey before its time.
pub(super) struct Ends {
    pub(super) cancel: CancellationToken,
    pub(super) deadline: Option<Instant>,
}

impl Survey {
    /// Surveys what lies below `roots`, as far as `filter` leaves it in.
    pub(super) fn new(
        (roots, filter): (Vec<Root>, &Arc<Filter>),
        (state, known): (Option<Arc<State>>, KnownObjects),
        (prefix, contents): (String, Contents),
        manifest: ManifestWriter<File>,
        ends: Ends,
        outcome: Arc<Mutex<Surveyed>>,
    ) -> Self {
        Self {
            join: Join::new(Items::new(roots, filter), known, std::iter::empty()),
            contents,
            state,
            changes: Vec::new(),
            links: HashMap::new(),
            prefix,
            ends,
            own: Surveyed {
                manifest: Some(manifest),
                ..Surveyed::default()
            },
            outcome,
        }
    }

    fn take(&mut self, joined: Joined<Item, KnownObject>) -> Result<Option<Wanted>> {
        let Joined { local, known, .. } = joined;
        let Some(Item { name, found }) = local else {
            if let Some(known) = known {
                self.change(Change::Forget { key: known.key });
            }
            return Ok(None);
        };
        match found {
            Found::Skipped {
                reason: SkipReason::Excluded,
                ..
            } => {
                self.own.tally.excluded += 1;
                Ok(None)
            }
            Found::Directory { path } | Found::Skipped { path, .. } => self.other(name, &path),
            Found::Failed { path, failure } => self.failed(name, &path, failure).map(Some),
            Found::File(file) => self.file(name, file, known.map(|known| known.known)),
        }
    }

    fn write(&mut self, entry: &Entry) -> Result<()> {
        let Some(manifest) = self.own.manifest.as_mut().filter(|_| !entry.path.ends_with('\0')) else {
            return Ok(());
        };
        manifest.entry(entry).map_err(unwritable)
    }

    /// What has no content.
    fn other(&mut self, name: String, path: &Path) -> Result<Option<Wanted>> {
        let described = fs::symlink_metadata(path).and_then(|metadata| {
            let mut entry = described(name.clone(), &metadata);
            if entry.kind == EntryKind::Symlink {
                let target = fs::read_link(path)?;
                entry.target = Some(key::encode(target.as_os_str().as_bytes()).text);
            }
            Ok(entry)
        });
        match described {
            Ok(entry) => self.write(&entry).map(|()| None),
            Err(error) => {
                let failure = Failure::of_reading(&error);
                self.failed(name, path, failure).map(Some)
            }
        }
    }

    /// What cannot be read is in the manifest as such.
    fn failed(&mut self, name: String, path: &Path, failure: Failure) -> Result<Wanted> {
        let mut entry = match fs::symlink_metadata(path) {
            Ok(metadata) => described(name, &metadata),
            Err(_) => {
                let kind = if name.ends_with('/') {
                    EntryKind::Directory
                } else {
                    EntryKind::File
                };
                Entry::bare(name, kind)
            }
        };
        entry.error = Some(failure.to_string());
        self.write(&entry)?;
        Ok(Found::Failed {
            path: path.to_owned(),
            failure,
        }
        .into())
    }

    fn file(&mut self, name: String, file: SourceFile, known: Option<Known>) -> Result<Option<Wanted>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seen = match fs::symlink_metadata(&file.path) {
            Ok(metadata) => metadata,
            Err(error) => {
                return self
                    .failed(name, &file.path, Failure::of_reading(&error))
                    .map(Some);
            }
        };
        let stamp = Stamp::from(&FileIdentity::from(&seen));
        let known = known.filter(|known| known.stamp == stamp && !known.is_racy);
        let (hash, metadata) = match known {
            Some(known) => {
                self.own.tally.unchanged += 1;
                (known.etag, seen)
            }
            None => match digest_of(&file.path) {
                Ok((digest, metadata)) => {
                    let hash = hex(&digest);
                    self.remember(&name, &hash, &metadata, now);
                    (hash, metadata)
                }
                Err(error) => {
                    return self
                        .failed(name, &file.path, Failure::of_reading(&error))
                        .map(Some);
                }
            },
        };
        self.own.tally.files += 1;
        self.own.tally.bytes += metadata.len();
        let mut entry = described(name, &metadata);
        entry.size = Some(metadata.len());
        entry.key = Some(data_key("", &hash));
        if metadata.nlink() > 1 {
            let node = (metadata.dev(), metadata.ino());
            entry.link_of = self.links.get(&node).cloned();
            if entry.link_of.is_none() {
                self.links.insert(node, entry.path.clone());
            }
        }
        let key = data_key(&self.prefix, &hash);
        entry.sha256 = Some(hash);
        self.write(&entry)?;
        if !self.contents.lacks(&key)? {
            return Ok(None);
        }
        let found = Found::File(SourceFile {
            path: file.path,
            key,
            encoded: false,
            seen: Some(Box::new(FileIdentity::from(&metadata))),
        });
        Ok(Some(Wanted {
            found,
            reason: UploadReason::New,
            look: None,
            only_as_seen: true,
        }))
    }
}

impl Survey {
    /// Remembers what was read. It counts for the next run whether the content arrives or not: that is looked for anew.
    fn remember(&mut self, name: &str, hash: &str, metadata: &Metadata, now: Duration) {
        let stamp = Stamp::from(&FileIdentity::from(metadata));
        let is_racy = stamp.modified.max(stamp.changed) > now.saturating_sub(RACY).as_nanos() as i128;
        self.change(Change::Remember(KnownObject {
            key: name.to_owned(),
            known: Known {
                stamp,
                is_racy,
                etag: hash.to_owned(),
                checksum: None,
            },
        }));
    }

    fn change(&mut self, change: Change) {
        self.changes.push(change);
        if self.changes.len() >= LOT {
            self.write_changes();
        }
    }

    fn write_changes(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        if let Some(state) = self.state.as_ref().filter(|_| !changes.is_empty())
            && let Err(error) = state.apply(&changes)
        {
            self.own.note = Some(format!("what was read cannot be remembered: {error}"));
            self.state = None;
        }
    }

    fn is_over(&self) -> bool {
        let Ends { cancel, deadline } = &self.ends;
        cancel.is_cancelled() || deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

impl Iterator for Survey {
    type Item = Wanted;

    fn next(&mut self) -> Option<Wanted> {
        while !self.is_over() {
            let taken = match self.join.next() {
                None => {
                    self.own.is_complete = true;
                    return None;
                }
                Some(joined) => joined.and_then(|joined| self.take(joined)),
            };
            match taken {
                Ok(None) => {}
                Ok(wanted) => return wanted,
                Err(error) => {
                    self.own.trouble = Some(error);
                    return None;
                }
            }
        }
        None
    }
}

/// One that ends, or is given up, says what it came to.
impl Drop for Survey {
    fn drop(&mut self) {
        self.write_changes();
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut self.own);
    }
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Configuration, "the manifest cannot be written").with_source(error)
}

/// What `metadata` says of an entry.
fn described(name: String, metadata: &Metadata) -> Entry {
    let file_type = metadata.file_type();
    let kind = if file_type.is_dir() {
        EntryKind::Directory
    } else if file_type.is_symlink() {
        EntryKind::Symlink
    } else if file_type.is_fifo() {
        EntryKind::Fifo
    } else if file_type.is_socket() {
        EntryKind::Socket
    } else if file_type.is_file() {
        EntryKind::File
    } else {
        EntryKind::Device
    };
    Entry {
        mtime: Some(FileIdentity::from(metadata).mtime_text()),
        mode: Some(format!("{:04o}", metadata.mode() & 0o7777)),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
        ..Entry::bare(name, kind)
    }
}
