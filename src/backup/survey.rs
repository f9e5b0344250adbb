//! What is in the sources, written into the manifest entry by entry; what the bucket does not have yet is handed on to be
//! uploaded.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::contents::Inventory;
use super::entries::{Item, Items, described, kind_of, look_at};
use super::ground::{Ground, Surveyed};
use super::hashing::{Digest, FileRead, read_file};
use super::layout::{data_key, digest_of};
use super::links::Links;
use super::manifest::{Entry, EntryKind, ManifestWriter};
use super::remembered::Remembered;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Failure, UploadReason};
use crate::identity::FileIdentity;
use crate::mirror::{Join, Joined, Known, KnownObject, KnownObjects, Stamp};
use crate::pipeline::Wanted;
use crate::source::{Filter, Found, Root, SourceFile};
use crate::store::{Checksum, ListedObject, hex};
use crate::transfer::OnlyAs;

/// A content as it was read now, or as it is remembered.
struct Content {
    digest: Digest,
    /// None when it is remembered without.
    checksum: Option<Checksum>,
    /// All of it, if it was read and is small.
    bytes: Option<Bytes>,
    metadata: Metadata,
    is_remembered: bool,
}

impl From<FileRead> for Content {
    fn from(read: FileRead) -> Self {
        Self {
            digest: read.digest,
            checksum: Some(read.checksum),
            bytes: read.content,
            metadata: read.metadata,
            is_remembered: false,
        }
    }
}

/// See the module. What it came to is in the [`Surveyed`] that it was made with.
pub(super) struct Survey {
    join: Join<Items, KnownObjects, std::iter::Empty<Result<ListedObject>>>,
    ground: Ground,
    inventory: Inventory,
    remembered: Remembered,
    links: Links,
    excluded: Arc<AtomicU64>,
    own: Surveyed,
    outcome: Arc<Mutex<Surveyed>>,
}

impl Survey {
    /// Surveys what lies below `roots`, as far as `filter` leaves it in, into `manifest`.
    pub(super) fn new(
        (roots, filter): (Vec<Root>, &Arc<Filter>),
        (mut remembered, inventory): (Remembered, Inventory),
        ground: Ground,
        manifest: ManifestWriter<File>,
        outcome: Arc<Mutex<Surveyed>>,
    ) -> Self {
        let (known, excluded) = (remembered.objects(), Arc::<AtomicU64>::default());
        let items = Items::new(roots, filter, excluded.clone());
        Self {
            join: Join::new(items, known, std::iter::empty()),
            ground,
            inventory,
            remembered,
            links: Links::default(),
            excluded,
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
                self.remembered.forget(known.key);
            }
            return Ok(None);
        };
        let is_file = matches!(found, Found::File(_));
        if let Some(known) = known.as_ref().filter(|_| !is_file) {
            self.remembered.forget(known.key.clone());
        }
        match found {
            Found::File(file) => self.file(name, &file.path, known.map(|known| known.known)),
            Found::Directory { path } => self.other(name, EntryKind::Directory, &path),
            Found::Skipped { path, reason } => self.other(name, kind_of(reason), &path),
            Found::Failed {
                path,
                is_directory,
                failure,
            } => {
                let kind = if is_directory {
                    EntryKind::Directory
                } else {
                    EntryKind::File
                };
                self.failed(name, kind, &path, failure).map(Some)
            }
        }
    }

    fn write(&mut self, entry: &Entry) -> Result<()> {
        match self.own.manifest.as_mut() {
            Some(manifest) => manifest.entry(entry).map_err(unwritable),
            None => Ok(()),
        }
    }

    /// What has no content.
    fn other(&mut self, name: String, kind: EntryKind, path: &Path) -> Result<Option<Wanted>> {
        match look_at(&name, kind, path) {
            Ok(entry) => self.write(&entry).map(|()| None),
            Err(error) => {
                let failure = Failure::of_reading(&error);
                self.failed(name, kind, path, failure).map(Some)
            }
        }
    }

    /// What cannot be read is in the manifest as such.
    fn failed(&mut self, name: String, kind: EntryKind, path: &Path, failure: Failure) -> Result<Wanted> {
        let mut entry = match fs::symlink_metadata(path) {
            Ok(metadata) => described(name, kind, &metadata),
            Err(_) => Entry::bare(name, kind),
        };
        entry.error = Some(failure.to_string());
        self.write(&entry)?;
        Ok(Found::Failed {
            path: path.to_owned(),
            is_directory: kind == EntryKind::Directory,
            failure,
        }
        .into())
    }

    fn file(&mut self, name: String, path: &Path, known: Option<Known>) -> Result<Option<Wanted>> {
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let is_known = known.is_some();
        let content = match self.content(path, known) {
            Ok(Some(content)) => content,
            // It is the run's own, or the run is over.
            Ok(None) => {
                if is_known {
                    self.remembered.forget(name);
                }
                return Ok(None);
            }
            Err(Trouble::Listing(error)) => return Err(error),
            Err(Trouble::File(failure)) => {
                if is_known {
                    // What is remembered is in the snapshot, and this is not.
                    self.remembered.forget(name.clone());
                }
                return self.failed(name, EntryKind::File, path, failure).map(Some);
            }
        };
        self.own.tally.files += 1;
        let source = name.split('/').next().unwrap_or_default();
        if !self.own.tally.with_files.contains(source) {
            self.own.tally.with_files.insert(source.to_owned());
        }
        self.own.tally.bytes += content.metadata.len();
        if content.is_remembered {
            self.own.tally.unchanged += 1;
        } else {
            self.remember(&name, &content, begun);
        }
        let entry = self.entry(name, &content);
        self.write(&entry)?;
        self.upload(path, content)
    }

    /// What is in the file at `path`; none when it is one that the run itself writes, or the run is over.
    fn content(
        &mut self,
        path: &Path,
        known: Option<Known>,
    ) -> std::result::Result<Option<Content>, Trouble> {
        if let Some(known) = known.filter(|known| !known.is_racy) {
            let seen = fs::symlink_metadata(path)?;
            if self.ground.is_own(&seen) {
                return Ok(None);
            }
            let is_same = seen.is_file() && known.stamp == Stamp::from(&FileIdentity::from(&seen));
            if is_same && let Some(remembered) = self.remembered_content(known, seen) {
                let is_stored = self.is_stored(&remembered).map_err(Trouble::Listing)?;
                // What has to be sent has to be compared with something.
                if is_stored || remembered.checksum.is_some() {
                    return Ok(Some(remembered));
                }
            }
        }
        let goes_on = |file: &Metadata| !self.ground.ends.is_over() && !self.ground.is_own(file);
        let read = read_file(path, self.ground.algorithm, &goes_on)?;
        Ok(read.map(Content::from))
    }

    fn remembered_content(&self, known: Known, metadata: Metadata) -> Option<Content> {
        let checksum = known.checksum.as_deref().and_then(Checksum::from_text);
        Some(Content {
            digest: digest_of(&known.etag)?,
            checksum: checksum.filter(|checksum| checksum.algorithm == self.ground.algorithm),
            bytes: None,
            metadata,
            is_remembered: true,
        })
    }

    fn is_stored(&mut self, content: &Content) -> Result<bool> {
        if content.is_remembered && self.remembered.is_stored() {
            return Ok(true);
        }
        self.inventory.has(&content.digest, content.metadata.len())
    }

    /// It counts for the next run whether the content arrives or not: that is looked for anew then.
    fn remember(&mut self, name: &str, content: &Content, begun: Duration) {
        let stamp = Stamp::from(&FileIdentity::from(&content.metadata));
        self.remembered.remember(
            name,
            Known {
                is_racy: stamp.is_racy(begun),
                stamp,
                etag: hex(&content.digest),
                checksum: content.checksum.as_ref().map(Checksum::text),
            },
        );
    }

    fn entry(&mut self, name: String, content: &Content) -> Entry {
        let metadata = &content.metadata;
        let mut entry = described(name, EntryKind::File, metadata);
        let hash = hex(&content.digest);
        entry.size = Some(metadata.len());
        entry.key = Some(data_key("", &hash));
        entry.sha256 = Some(hash);
        entry.link_of = self.links.first_name(&entry.path, content.digest, metadata);
        entry
    }

    /// The content as something to be uploaded, unless it is stored or on its way.
    fn upload(&mut self, path: &Path, content: Content) -> Result<Option<Wanted>> {
        if self.is_stored(&content)? {
            return Ok(None);
        }
        let Content {
            digest,
            checksum: Some(checksum),
            bytes,
            metadata,
            ..
        } = content
        else {
            let message = format!(
                "nothing is known that '{}' could be compared with",
                path.display()
            );
            return Err(Error::new(ErrorKind::Internal, message));
        };
        self.inventory.begin(&digest, metadata.len());
        self.own.tally.handed_on += 1;
        let only_as = OnlyAs {
            identity: FileIdentity::from(&metadata),
            checksum,
            content: bytes.filter(|_| self.ground.keeps_contents),
        };
        Ok(Some(wanted(path, &self.ground.prefix, &digest, only_as)))
    }
}

/// A file that goes up as its content, if that is what is in it then.
pub(super) fn wanted(path: &Path, prefix: &str, digest: &Digest, only_as: OnlyAs) -> Wanted {
    let file = SourceFile {
        path: path.to_owned(),
        key: data_key(prefix, &hex(digest)),
        encoded: false,
        seen: Some(Box::new(only_as.identity)),
    };
    Wanted {
        found: Found::File(file),
        reason: UploadReason::New,
        look: None,
        only_as: Some(Box::new(only_as)),
    }
}

/// Why there is no content of a file.
enum Trouble {
    File(Failure),
    /// What is stored cannot be listed.
    Listing(Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::File(Failure::of_reading(&error))
    }
}

impl Iterator for Survey {
    type Item = Wanted;

    fn next(&mut self) -> Option<Wanted> {
        while !self.ground.ends.is_over() {
            let taken = match self.join.next() {
                None => {
                    self.own.is_complete = !self.ground.ends.is_over();
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
        self.own.note = self.remembered.finish();
        self.own.has_looked = !self.remembered.is_stored();
        self.own.tally.excluded = self.excluded.load(Ordering::Relaxed);
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut self.own);
    }
}

fn unwritable(error: io::Error) -> Error {
    Error::new(ErrorKind::Configuration, "the manifest cannot be written").with_source(error)
}
