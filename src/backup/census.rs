//! What a job has stored: for a status.

use super::layout::{DATA, hash_of_key};
use super::manifest::Totals;
use super::repository::{Repository, Snapshot};
use crate::error::{ErrorKind, Result};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Snapshots that are there.
    pub snapshots: Vec<Snapshot>,
    /// What is in the last of them; none when there is none, or when it cannot be read.
    pub last: Option<Totals>,
    /// Contents that are stored, and their bytes.
    pub stored: (u64, u64),
}

/// Counts what is stored.
///
/// # Errors
/// It cannot be listed.
pub fn census(repository: &Repository) -> Result<Census> {
    let snapshots = repository.snapshots()?;
    let last = match snapshots.last().map(|last| repository.manifest(last)).transpose() {
        Err(error) if error.kind() == ErrorKind::Damaged => None,
        last => last?.map(|manifest| manifest.totals()),
    };
    let (prefix, mut stored) = (repository.prefix(), (0, 0));
    for object in repository.listing(DATA) {
        let object = object?;
        if hash_of_key(&prefix, &object.key).is_some() {
            stored.0 += 1;
            stored.1 += object.size_bytes;
        }
    }
    Ok(Census {
        snapshots,
        last,
        stored,
    })
}
