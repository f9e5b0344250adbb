//! Deletes what is gone, a thousand objects a request, and believes each answer for the one key that it is about.

use super::gone::{Gone, GoneObject};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Failure;
use crate::event::FailureKind;
use crate::pipeline::connect;
use crate::source::S3Url;
use crate::store::{MAX_DELETED, explain};
use tokio_util::sync::CancellationToken;

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
}

/// Failures that are kept with their reasons.
const KEPT: usize = 1_000;

/// Deletes all of `gone`, and tells `done` of each key that is.
///
/// # Errors
/// The server cannot be asked any more, or what is gone cannot be read; what was deleted before stays deleted and was
/// told.
pub(super) fn delete(
    gone: Gone,
    (config, target): (&Config, &S3Url),
    cancel: &CancellationToken,
    mut done: impl FnMut(GoneObject),
) -> Result<Deleted> {
    let unreadable = |error: std::io::Error| {
        Error::new(ErrorKind::Internal, "what is to be deleted cannot be read back").with_source(error)
    };
    let (host, connector, store) = connect(config, &target.bucket)?;
    let mut gone = gone.read().map_err(unreadable)?;
    let mut deleted = Deleted::default();
    loop {
        let lot: std::io::Result<Vec<GoneObject>> = gone.by_ref().take(MAX_DELETED).collect();
        let lot = lot.map_err(unreadable)?;
        if lot.is_empty() {
            return Ok(deleted);
        }
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Interrupted, "stopped while deleting"));
        }
        let keys: Vec<String> = lot.iter().map(|object| object.key.clone()).collect();
        let answers = host
            .runtime
            .block_on(store.delete_objects(&keys))
            .map_err(|error| explain(&error, &target.bucket, &connector))?;
        for (object, answer) in lot.into_iter().zip(answers) {
            match answer {
                Ok(()) => {
                    deleted.objects += 1;
                    deleted.bytes += object.size_bytes;
                    done(object);
                }
                Err(error) => {
                    deleted.failed += 1;
                    if deleted.failures.len() < KEPT {
                        let failure = Failure::new(FailureKind::Upload, error.to_string());
                        deleted.failures.push((object.key, failure));
                    }
                }
            }
        }
    }
}
