//! Deletes what is gone, a thousand objects a request, and believes each answer for the one key that it is about.

use std::io;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::gone::{Gone, GoneObject};
use super::shelf::Shelf;
use crate::config::RetrySettings;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{DeletionOutcome, DeletionRecord, Failure, FailureKind};
use crate::pipeline::open_store;
use crate::store::{Connector, MAX_DELETED, ObjectStore, StoreResult, abort_strays, explain};

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Objects that are gone now.
    pub objects: u64,
    /// Bytes that they had.
    pub bytes: u64,
    /// Keys that are still there, and why: the first of them.
    pub failures: Vec<(String, Failure)>,
    /// All that are still there.
    pub failed: u64,
    /// The time was up before all of it was done.
    pub is_cut: bool,
}

/// Time that aborting copies may take when the run is stopped.
const ABORT_LIMIT: Duration = Duration::from_secs(2);
/// Failures that are kept with their reasons.
const KEPT: usize = 1_000;

impl Deleted {
    fn count(&mut self, record: &DeletionRecord) {
        match &record.outcome {
            DeletionOutcome::Planned => {}
            DeletionOutcome::Done => {
                self.objects += 1;
                self.bytes += record.size_bytes;
            }
            DeletionOutcome::Failed { failure } => {
                self.failed += 1;
                if self.failures.len() < KEPT {
                    self.failures.push((record.key.clone(), failure.clone()));
                }
            }
        }
    }
}

pub(super) fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, "what is to be deleted cannot be read back").with_source(error)
}

/// Where objects are deleted, how patiently, and for how long.
pub(crate) struct Server<'a> {
    pub(crate) connector: &'a Connector,
    pub(crate) retry: RetrySettings,
    pub(crate) bucket: &'a str,
    /// Asked before each lot: whether it may be deleted, and what ends all.
    pub(crate) goes_on: &'a dyn Fn() -> Result<bool>,
}

/// Deletes all of `gone`, after a copy to `shelf` if there is one, and tells `done` what became of each lot.
///
/// # Errors
/// The server cannot be asked any more, or what is gone cannot be read; what was deleted before stays deleted and was
/// told.
pub(crate) fn delete(
    gone: Gone,
    shelf: Option<&Shelf>,
    server: &Server<'_>,
    cancel: &CancellationToken,
    mut done: impl FnMut(Vec<DeletionRecord>),
) -> Result<Deleted> {
    let Server {
        connector, bucket, ..
    } = *server;
    let connections = shelf.map_or(1, |_| Shelf::IN_FLIGHT);
    let (host, store) = open_store(connector, server.retry, (bucket, connections))?;
    let mut gone = gone.read().map_err(unreadable)?;
    let mut deleted = Deleted::default();
    loop {
        let lot: io::Result<Vec<GoneObject>> = gone.by_ref().take(MAX_DELETED).collect();
        let lot = lot.map_err(unreadable)?;
        if lot.is_empty() {
            return Ok(deleted);
        }
        if !(server.goes_on)()? {
            deleted.is_cut = true;
            return Ok(deleted);
        }
        let open = shelf.map_or_else(Vec::new, |shelf| shelf.copied_in_parts(&lot));
        let since = Instant::now();
        let records = host.runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    give_up(&open, since, store.as_ref()).await;
                    Err(Error::new(ErrorKind::Interrupted, "stopped while deleting"))
                }
                records = remove(lot, shelf, store.as_ref()) => {
                    records.map_err(|error| explain(&error, bucket, connector))
                }
            }
        })?;
        records.iter().for_each(|record| deleted.count(record));
        done(records);
    }
}

/// Aborts copies that were begun and are not whole.
async fn give_up(keys: &[String], since: Instant, store: &dyn ObjectStore) {
    let aborts = keys
        .iter()
        .map(|key| abort_strays(store, key, None, since.elapsed()));
    let all = tokio::time::timeout(ABORT_LIMIT, futures::future::join_all(aborts)).await;
    if !all.is_ok_and(|aborted| aborted.iter().all(StoreResult::is_ok)) {
        tracing::warn!("copies that were begun stay open on the server; s3haul cleanup aborts them");
    }
}

/// What became of each object of `lot`. One that could not be copied away is not touched.
async fn remove(
    lot: Vec<GoneObject>,
    shelf: Option<&Shelf>,
    store: &dyn ObjectStore,
) -> StoreResult<Vec<DeletionRecord>> {
    let (mut records, lot) = match shelf {
        None => (Vec::new(), lot),
        Some(shelf) => {
            let (safe, kept): (Vec<_>, Vec<_>) = shelf
                .take(lot, store)
                .await
                .into_iter()
                .partition(|(_, copied)| copied.is_ok());
            let kept = kept
                .into_iter()
                .filter_map(|(object, copied)| Some(record(object, Err(copied.err()?))))
                .collect();
            (kept, safe.into_iter().map(|(object, _)| object).collect())
        }
    };
    if lot.is_empty() {
        return Ok(records);
    }
    let keys: Vec<String> = lot.iter().map(|object| object.key.clone()).collect();
    let answers = store.delete_objects(&keys).await?;
    records.extend(
        lot.into_iter()
            .zip(answers)
            .map(|(object, answer)| record(object, answer)),
    );
    Ok(records)
}

fn record(object: GoneObject, answer: StoreResult<()>) -> DeletionRecord {
    DeletionRecord {
        key: object.key,
        size_bytes: object.size_bytes,
        outcome: match answer {
            Ok(()) => DeletionOutcome::Done,
            Err(error) => DeletionOutcome::Failed {
                failure: Failure::new(FailureKind::Upload, error.to_string()),
            },
        },
    }
}
