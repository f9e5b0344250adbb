//! Body files: `incoming/` while they are written, `blobs/xx/<id>` once they are whole.
//!
//! Called by: `ingest.rs` (writing), `read.rs` (reading), `index.rs` (removal after a commit).
//! Must not know: keys, buckets, requests; whether a blob is in use is the index's knowledge.

use super::error::ServerError;
use super::records::BlobReference;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The body files of one data directory.
#[derive(Debug)]
pub(super) struct BlobStore {
    incoming: PathBuf,
    blobs: PathBuf,
    started: u64,
    counter: AtomicU64,
    readers: Mutex<Readers>,
}

/// Readers in progress, and the removals that wait until there are none.
#[derive(Debug, Default)]
struct Readers {
    active: usize,
    waiting: Vec<String>,
}

/// Keeps every blob readable while it exists.
///
/// Taken before the index lookup, so a body cannot vanish between the lookup and its last byte.
#[derive(Debug)]
pub(super) struct ReadPin {
    store: Arc<BlobStore>,
}

/// A body file being written; removed when dropped before [`BlobWriter::finish`].
#[derive(Debug)]
pub(super) struct BlobWriter {
    file: File,
    path: PathBuf,
    id: String,
    store: Arc<BlobStore>,
}

/// A whole body file that no index record names yet; removed when dropped before [`StagedFile::keep`].
#[derive(Debug)]
pub(super) struct StagedFile {
    id: Option<String>,
    store: Arc<BlobStore>,
}

impl BlobStore {
    /// Creates the directories where needed and empties `incoming/`.
    ///
    /// # Errors
    /// [`ServerError::DataDirectory`] when the directories cannot be made or cleaned.
    pub(super) fn open(root: &Path) -> Result<Self, ServerError> {
        let incoming = root.join("incoming");
        let blobs = root.join("blobs");
        let prepare = || -> io::Result<()> {
            fs::create_dir_all(&incoming)?;
            fs::create_dir_all(&blobs)?;
            for number in 0..=u8::MAX {
                match fs::create_dir(blobs.join(format!("{number:02x}"))) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
            }
            for entry in fs::read_dir(&incoming)? {
                fs::remove_file(entry?.path())?;
            }
            sync_directory(&blobs)
        };
        prepare().map_err(|source| ServerError::DataDirectory {
            path: root.to_owned(),
            source,
        })?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            incoming,
            blobs,
            started,
            counter: AtomicU64::new(0),
            readers: Mutex::default(),
        })
    }

    /// A fresh identifier of 32 hexadecimal digits, unique over restarts.
    pub(super) fn new_identifier(&self) -> String {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}{number:016x}", self.started)
    }

    /// The reference for an empty part, which still needs an identity of its own in a list of parts.
    pub(super) fn empty_blob(&self) -> BlobReference {
        BlobReference {
            id: self.new_identifier(),
            length: 0,
            inline: true,
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        // The last digits change with every blob, so the directories fill evenly.
        let directory = id.get(id.len().saturating_sub(2)..).unwrap_or("00");
        self.blobs.join(directory).join(id)
    }

    /// Removes blob files that `is_known` denies. Called once at start.
    ///
    /// # Errors
    /// The error of listing or removing a file.
    pub(super) fn sweep(&self, mut is_known: impl FnMut(&str) -> bool) -> io::Result<u64> {
        let mut removed = 0;
        for directory in fs::read_dir(&self.blobs)? {
            for entry in fs::read_dir(directory?.path())? {
                let entry = entry?;
                if !entry.file_name().to_str().is_some_and(&mut is_known) {
                    fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Starts writing a body.
    ///
    /// # Errors
    /// The error of creating the file.
    pub(super) fn create(self: &Arc<Self>) -> io::Result<BlobWriter> {
        let id = self.new_identifier();
        let path = self.incoming.join(&id);
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(BlobWriter {
            file,
            path,
            id,
            store: Arc::clone(self),
        })
    }

    /// Gives the bytes of one blob a second name, so that a copied object needs no second body.
    ///
    /// # Errors
    /// The error of linking and, where links are not possible, of copying.
    pub(super) fn duplicate(self: &Arc<Self>, id: &str) -> io::Result<(String, StagedFile)> {
        let copy = self.new_identifier();
        let target = self.path(&copy);
        let staged = StagedFile {
            id: Some(copy.clone()),
            store: Arc::clone(self),
        };
        if fs::hard_link(self.path(id), &target).is_err() {
            fs::copy(self.path(id), &target)?;
            File::open(&target)?.sync_all()?;
        }
        sync_directory(target.parent().unwrap_or(&self.blobs))?;
        Ok((copy, staged))
    }

    /// Opens a body for reading.
    ///
    /// # Errors
    /// The error of opening the file.
    pub(super) fn open_blob(&self, id: &str) -> io::Result<File> {
        File::open(self.path(id))
    }

    /// Keeps all blobs readable until the pin is dropped.
    pub(super) fn pin(self: &Arc<Self>) -> ReadPin {
        self.lock().active += 1;
        ReadPin {
            store: Arc::clone(self),
        }
    }

    /// Removes blobs now, or when the last reader is done.
    pub(super) fn remove(&self, ids: Vec<String>) {
        if ids.is_empty() {
            return;
        }
        {
            let mut readers = self.lock();
            if readers.active > 0 {
                readers.waiting.extend(ids);
                return;
            }
        }
        self.unlink(&ids);
    }

    fn unlink(&self, ids: &[String]) {
        for id in ids {
            if let Err(error) = fs::remove_file(self.path(id)) {
                // The next start sweeps what is left, so this is worth a note and no more.
                tracing::warn!(blob = %id, %error, "cannot remove body file");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadPin {
    /// The store whose blobs are kept.
    pub(super) fn store(&self) -> &Arc<BlobStore> {
        &self.store
    }
}

impl Drop for ReadPin {
    fn drop(&mut self) {
        let removable = {
            let mut readers = self.store.lock();
            readers.active = readers.active.saturating_sub(1);
            if readers.active > 0 {
                return;
            }
            std::mem::take(&mut readers.waiting)
        };
        self.store.unlink(&removable);
    }
}

impl BlobWriter {
    /// Appends bytes.
    ///
    /// # Errors
    /// The error of the write, such as a full disk.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all(data)
    }

    /// Makes the body durable and moves it to its place.
    ///
    /// # Errors
    /// The error of syncing or renaming; the file is removed then.
    pub(super) fn finish(self) -> io::Result<(String, StagedFile)> {
        self.file.sync_all()?;
        let target = self.store.path(&self.id);
        fs::rename(&self.path, &target)?;
        let staged = StagedFile {
            id: Some(self.id.clone()),
            store: Arc::clone(&self.store),
        };
        sync_directory(target.parent().unwrap_or(&self.store.blobs))?;
        Ok((self.id.clone(), staged))
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        // After a rename there is nothing here any more; identifiers are never used twice.
        let _ = fs::remove_file(&self.path);
    }
}

impl StagedFile {
    /// Leaves the file in place, because an index record names it now.
    pub(super) fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.store.unlink(&[id]);
        }
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
