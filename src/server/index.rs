//! The index: one redb file, one writer thread that commits many changes at once.
//!
//! Called by: the storage operations (`buckets.rs`, `objects.rs`, `multipart.rs`, `listing.rs`).
//! Must not know: HTTP or the meaning of the changes; a change is a closure over [`Tables`].
//!
//! Every change of a group runs in the same transaction, one after the other, so a condition checked
//! by a change holds when that change is committed.

use super::blobs::BlobStore;
use super::error::ServerError;
use super::tables::{self, Tables};
use super::view::View;
use redb::{Database, DatabaseError, Durability, ReadableDatabase as _};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Memory redb may use for pages, in bytes.
const CACHE_BYTES: usize = 64 << 20;
/// Most changes put into one transaction.
const GROUP_LIMIT: usize = 1024;

/// Called after the commit; `Err` carries why the commit failed.
type Reply = Box<dyn FnOnce(Result<(), &str>) + Send>;
/// One change, run inside the transaction of its group.
type Job = Box<dyn for<'transaction> FnOnce(&mut Tables<'transaction>) -> Reply + Send>;

/// The index of one data directory.
pub(super) struct Index {
    database: Arc<Database>,
    jobs: Mutex<Option<Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Index {
    /// Opens or creates the database file, which locks the data directory.
    ///
    /// # Errors
    /// [`ServerError::InUse`] when another process has it open, otherwise why it cannot be used.
    pub(super) fn lock(root: &Path) -> Result<Database, ServerError> {
        let path = root.join("index.redb");
        Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(&path)
            .map_err(|error| match error {
                DatabaseError::DatabaseAlreadyOpen => ServerError::InUse {
                    path: root.to_owned(),
                },
                other => ServerError::Index {
                    path,
                    reason: other.to_string(),
                },
            })
    }

    /// Takes over a locked database, removes body files no record names, starts the writer thread.
    ///
    /// # Errors
    /// Why the database or the body files cannot be used.
    pub(super) fn open(root: &Path, database: Database, blobs: &Arc<BlobStore>) -> Result<Self, ServerError> {
        let unusable = |reason: String| ServerError::Index {
            path: root.join("index.redb"),
            reason,
        };
        tables::create(&database).map_err(|error| unusable(error.to_string()))?;
        let view = begin(&database).map_err(|error| unusable(error.to_string()))?;
        blobs
            .sweep(|id| view.knows_file(id).unwrap_or(true))
            .map_err(|source| ServerError::DataDirectory {
                path: root.join("blobs"),
                source,
            })?;
        drop(view);
        let database = Arc::new(database);
        let (sender, receiver) = channel();
        let writer = std::thread::Builder::new()
            .name("s3haul-index".to_owned())
            .spawn({
                let (database, blobs) = (Arc::clone(&database), Arc::clone(blobs));
                move || run_writer(&database, &blobs, &receiver)
            })
            .map_err(|source| ServerError::Thread { source })?;
        Ok(Self {
            database,
            jobs: Mutex::new(Some(sender)),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// A consistent view of everything committed so far.
    ///
    /// # Errors
    /// `InternalError` when the index cannot be read.
    pub(super) fn view(&self) -> S3Result<View> {
        begin(&self.database)
    }

    /// Runs a change and returns once it is durable.
    ///
    /// A change must do all its checks before its first modification: an `Err` it returns does not
    /// undo what it did. If the caller stops waiting, the change happens all the same.
    ///
    /// # Errors
    /// The change's own error, or `InternalError` when the commit failed (then nothing changed).
    pub(super) async fn write<T, F>(&self, change: F) -> S3Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tables<'_>) -> S3Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |tables| {
            let outcome = change(tables);
            if let Err(error) = &outcome
                && *error.code() == S3ErrorCode::InternalError
            {
                tables.fail(error.to_string());
            }
            Box::new(move |committed| {
                let answer = match committed {
                    Ok(()) => outcome,
                    Err(reason) => Err(s3_error!(
                        InternalError,
                        "the index could not be changed: {reason}"
                    )),
                };
                // The client may have gone away; the change stands.
                let _ = sender.send(answer);
            })
        });
        let sent = match &*self.jobs.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(jobs) => jobs.send(job).is_ok(),
            None => false,
        };
        if !sent {
            return Err(s3_error!(ServiceUnavailable, "the server is shutting down"));
        }
        receiver
            .await
            .unwrap_or_else(|_| Err(s3_error!(InternalError, "the index writer stopped")))
    }

    /// Finishes pending changes and stops the writer thread. Later writes fail.
    pub(super) fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the index writer panicked");
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.close();
    }
}

/// Maps a failure of redb or of a record's encoding to the protocol's error.
pub(super) fn failure(error: impl std::fmt::Display) -> S3Error {
    s3_error!(InternalError, "index: {error}")
}

fn begin(database: &Database) -> S3Result<View> {
    Ok(View::of(database.begin_read().map_err(failure)?))
}

fn run_writer(database: &Database, blobs: &BlobStore, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let group: Vec<Job> = std::iter::once(first)
            .chain(jobs.try_iter().take(GROUP_LIMIT - 1))
            .collect();
        let mut replies = Vec::with_capacity(group.len());
        match commit_group(database, group, &mut replies) {
            Ok(garbage) => {
                // Before the answers, so that a client that was told also finds the space free.
                blobs.remove(garbage);
                answer_all(replies, Ok(()));
            }
            Err(error) => {
                let reason = error.to_string();
                tracing::error!(%reason, "index transaction failed");
                answer_all(replies, Err(&reason));
            }
        }
    }
}

fn answer_all(replies: Vec<Reply>, outcome: Result<(), &str>) {
    for reply in replies {
        reply(outcome);
    }
}

/// Applies a group and commits it; returns the body files nothing refers to any more.
fn commit_group(database: &Database, group: Vec<Job>, replies: &mut Vec<Reply>) -> S3Result<Vec<String>> {
    let mut transaction = database.begin_write().map_err(failure)?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(failure)?;
    let garbage = {
        let mut tables = Tables::open(&transaction)?;
        for job in group {
            replies.push(job(&mut tables));
        }
        tables.finish()
    };
    match garbage {
        Ok(garbage) => {
            transaction.commit().map_err(failure)?;
            Ok(garbage)
        }
        Err(reason) => {
            transaction.abort().map_err(failure)?;
            Err(failure(reason))
        }
    }
}
