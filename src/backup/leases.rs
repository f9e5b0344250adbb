//! Backups and prunes keep out of each other's way, also on different machines: each says that it goes on before it looks
//! what there is.
//!
//! A backup relies on contents that it finds stored; a prune removes contents that no manifest names. Whoever begins puts an
//! object of its own first and then looks for those of the other kind (as in Dekker's algorithm; S3 shows a listing what was
//! put before it). So at least one of two sees the other. All ages are by the server's clock. A backup needs no right to
//! delete: what it put counts no more when its manifest is there, or when it is old; a prune removes it.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::layout::{PRUNING, RUNNING, SnapshotId};
use super::repository::Repository;
use crate::config::ChecksumAlgorithm;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::host_name;
use crate::pipeline::{Home, open_store};
use crate::store::{Body, ListedObject, ObjectProperties, Payload, PutObject, hex};

/// A prune that goes on for longer has died: it stops itself long before.
const PRUNE_COUNTS_FOR: Duration = Duration::from_hours(24);

/// Time that the end of something may take.
const END_LIMIT: Duration = Duration::from_secs(2);

/// An object that says that something goes on.
pub(super) struct Lease {
    /// None of one that nobody else is to see.
    key: Option<String>,
    /// When the server took it.
    pub(super) begun: SystemTime,
}

/// What names the owner of a lease: who has the lock of this directory has ended what others had begun from it.
fn owner(home: &Home) -> String {
    let place = format!("{}\0{}", host_name(), home.directory().display());
    hex(&Sha256::digest(place)[..8])
}

impl Lease {
    fn put(repository: &Repository, directory: &str, name: &str) -> Result<Self> {
        let key = format!("{}{directory}{name}", repository.prefix());
        let request = PutObject {
            key: key.clone(),
            payload: Payload::new(Body::from(Vec::new()), ChecksumAlgorithm::Crc64Nvme),
            properties: ObjectProperties::default(),
            if_none_match: false,
        };
        repository.ask(1, async |store| store.put_object(&request).await)?;
        let listed = repository.listing(directory).find(|object| match object {
            Ok(object) => object.key == key,
            Err(_) => true,
        });
        let begun = listed.transpose()?.and_then(|object| object.last_modified);
        match begun {
            Some(begun) => Ok(Self {
                key: Some(key),
                begun,
            }),
            None => Err(Error::new(
                ErrorKind::Server,
                format!("the server does not list '{key}', which was put just now, with its time"),
            )
            .with_hint("backups and prunes of one target could not keep out of each other's way")),
        }
    }

    /// Says nothing to others: of who only looks.
    pub(super) fn of_nobody() -> Self {
        Self {
            key: None,
            begun: SystemTime::now(),
        }
    }

    /// Says that the run of `id` goes on.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] when a prune goes on; it cannot be said.
    pub(super) fn of_run(repository: &Repository, home: &Home, id: &SnapshotId) -> Result<Self> {
        let lease = Self::put(repository, RUNNING, &format!("{id}-{}", owner(home)))?;
        let owner = owner(home);
        for object in repository.listing(PRUNING) {
            let object = object?;
            let is_young = lease.age_of(&object).is_none_or(|age| age < PRUNE_COUNTS_FOR);
            if is_young && !object.key.ends_with(&owner) {
                lease.end(repository);
                return Err(Error::new(
                    ErrorKind::Locked,
                    format!("a prune of {} goes on on another machine", repository.target),
                )
                .with_hint(format!(
                    "wait until it has ended; if it was killed, run s3haul backup prune there again, or remove s3://{}/{}",
                    repository.target.bucket, object.key
                )));
            }
        }
        Ok(lease)
    }

    /// Says that a prune goes on.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] when a run goes on that is younger than `grace` and has no manifest; it cannot be said.
    pub(super) fn of_prune(
        repository: &Repository,
        home: &Home,
        grace: Duration,
    ) -> Result<(Self, Vec<String>)> {
        let lease = Self::put(repository, PRUNING, &owner(home))?;
        let running: Vec<ListedObject> = repository.listing(RUNNING).collect::<Result<_>>()?;
        // After those, so that what has ended meanwhile is seen to have.
        let ended: HashSet<String> = repository
            .snapshots()?
            .into_iter()
            .map(|snapshot| snapshot.id.to_string())
            .collect();
        let owner = owner(home);
        for object in &running {
            let name = object.key.rsplit('/').next().unwrap_or_default();
            let is_over = name
                .rsplit_once('-')
                .is_some_and(|(id, of)| ended.contains(id) || of == owner);
            let is_young = lease.age_of(object).is_none_or(|age| age < grace);
            if !is_over && is_young {
                lease.end(repository);
                return Err(Error::new(
                    ErrorKind::Locked,
                    format!("a backup to {} has begun and not ended", repository.target),
                )
                .with_hint("wait until it has; one that was killed counts until it is older than --grace"));
            }
        }
        Ok((lease, running.into_iter().map(|object| object.key).collect()))
    }

    /// How old an object is by the server's clock; none when the server does not tell.
    pub(super) fn age_of(&self, object: &ListedObject) -> Option<Duration> {
        Some(
            self.begun
                .duration_since(object.last_modified?)
                .unwrap_or_default(),
        )
    }

    /// It goes on no more, also when it was stopped. Credentials without the right to delete leave it until it is old.
    pub(super) fn end(&self, repository: &Repository) {
        let Some(key) = &self.key else {
            return;
        };
        let place = (repository.target.bucket.as_str(), 1);
        let removed = open_store(&repository.connector, repository.retry, place).map(|(host, store)| {
            // The limit's clock is that of the runtime.
            let _on_host = host.runtime.enter();
            let removal = tokio::time::timeout(END_LIMIT, store.delete_object(key));
            host.runtime.block_on(removal)
        });
        if !matches!(removed, Ok(Ok(Ok(())))) {
            tracing::info!(
                ?removed,
                key,
                "what says that something goes on stays until it is old"
            );
        }
    }
}
