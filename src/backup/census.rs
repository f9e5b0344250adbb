//! What a job has stored: for a status.

use jiff::Timestamp;

use super::layout::{SnapshotId, hash_of_key};
use super::manifest::Totals;
use super::repository::Repository;
use super::which::{Which, resolve};
use crate::error::{ErrorKind, Result};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Snapshots that are there.
    pub snapshots: u64,
    /// The last of them.
    pub latest: Option<SnapshotId>,
    /// What is in that; none when it cannot be read.
    pub last: Option<Totals>,
    /// Contents that are stored, and their bytes.
    pub stored: (u64, u64),
}

/// Counts what is stored.
///
/// # Errors
/// It cannot be listed.
pub fn census(repository: &Repository, now: Timestamp) -> Result<Census> {
    let snapshots = repository.snapshots()?;
    let latest = resolve(&snapshots, &Which::Latest, now).ok();
    let last = match latest.map(|latest| repository.manifest(latest)).transpose() {
        Err(error) if error.kind() == ErrorKind::Damaged => None,
        last => last?.map(|manifest| manifest.totals()),
    };
    let (prefix, mut stored) = (repository.prefix(), (0, 0));
    for object in repository.contents() {
        let object = object?;
        if hash_of_key(&prefix, &object.key).is_some() {
            stored.0 += 1;
            stored.1 += object.size_bytes;
        }
    }
    Ok(Census {
        snapshots: snapshots.len() as u64,
        latest: latest.map(|latest| latest.id.clone()),
        last,
        stored,
    })
}
