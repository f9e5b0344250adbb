//! Backups and prunes keep out of each other's way, also on different machines: each says that it goes on before it looks
//! what there is.
//!
//! A backup relies on contents that it finds stored; a prune removes contents that no manifest names. Whoever begins puts an
//! object of its own first and then looks for those of the other kind (as in Dekker's algorithm; S3 shows a listing what was
//! put before it). So at least one of two sees the other. All ages are by the server's clock.
//!
//! A backup needs no right to delete: what it put counts no more when it says so, when its manifest is there, or when a prune
//! has found it too old. That prune removes it before it looks at anything, and the backup looks before and after it sends its
//! manifest whether its own is still there: a machine that slept for a weekend knows by that what it has missed.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, SystemTime};

use super::layout::{PRUNING, RUNNING, SnapshotId};
use super::repository::Repository;
use crate::config::ChecksumAlgorithm;
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::Home;
use crate::store::{Body, ListedObject, MAX_DELETED, ObjectProperties, Payload, PutObject, StoreErrorKind};

/// A prune that goes on for longer has died: it stops itself long before.
const PRUNE_COUNTS_FOR: Duration = Duration::from_hours(24);
/// Time that the end of something may take.
const END_LIMIT: Duration = Duration::from_secs(2);
/// What an object has in it whose owner has ended and may not remove it.
const OVER: &[u8] = b"over\n";
/// What somebody had asked the server for who was killed so shortly ago may still be done by it.
const FRESH: Duration = Duration::from_mins(1);
/// By then it has been.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// An object that says that something goes on.
pub(super) struct Lease {
    /// None of one that nobody else is to see.
    key: Option<String>,
    /// When the server took it.
    pub(super) begun: SystemTime,
}

/// What names the owner of leases: whoever has the lock of this directory has it to himself, and what others had begun from
/// it is over.
fn owner(home: &Home) -> Result<String> {
    let path = home.directory().join("owner");
    let unusable = |error: io::Error| {
        let message = format!("'{}' cannot be used", path.display());
        Error::new(ErrorKind::Configuration, message).with_source(error)
    };
    let is_one = |text: &String| text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    match fs::read_to_string(&path) {
        Ok(text) if is_one(&text) => return Ok(text),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
        _ => {}
    }
    let fresh = format!("{:016x}", fastrand::u64(..));
    fs::write(&path, &fresh).map_err(unusable)?;
    Ok(fresh)
}

/// The snapshot and the owner that a lease of a run names.
fn run_of(key: &str) -> Option<(&str, &str)> {
    key.rsplit('/').next()?.rsplit_once('-')
}

/// Whether its owner has said that it goes on no more.
fn is_over(object: &ListedObject) -> bool {
    object.size_bytes > 0
}

impl Lease {
    fn put(repository: &Repository, directory: &str, name: &str) -> Result<Self> {
        let key = format!("{}{directory}{name}", repository.prefix());
        let request = request(&key, b"", repository.checksum);
        let head = repository.ask(async |store| {
            store.put_object(&request).await?;
            store.head_object(&key).await
        })?;
        let begun = head.last_modified.ok_or_else(|| {
            let message = format!("the server does not say when it took '{key}'");
            Error::new(ErrorKind::Server, message)
                .with_hint("backups and prunes of one target could not keep out of each other's way")
        })?;
        Ok(Self {
            key: Some(key),
            begun,
        })
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
        let owner = owner(home)?;
        let lease = Self::put(repository, RUNNING, &format!("{id}-{owner}"))?;
        lease.end_earlier(repository, &owner)?;
        for object in repository.objects(PRUNING)? {
            let age = lease.age_of(&object);
            if is_over(&object) {
                continue;
            }
            if object.key.ends_with(&owner) {
                lease.let_settle(age);
            } else if age.is_none_or(|age| age < PRUNE_COUNTS_FOR) {
                lease.end(repository);
                return Err(prune_goes_on(repository, &object.key));
            }
        }
        Ok(lease)
    }

    /// Ends what runs of the same owner have left that were killed: others would wait for them.
    fn end_earlier(&self, repository: &Repository, owner: &str) -> Result<()> {
        for object in repository.objects(RUNNING)? {
            let is_own = self.key.as_ref() == Some(&object.key);
            if !is_own && !is_over(&object) && run_of(&object.key).is_some_and(|(_, of)| of == owner) {
                let earlier = Self {
                    key: Some(object.key),
                    begun: self.begun,
                };
                earlier.end(repository);
            }
        }
        Ok(())
    }

    /// Says that a prune goes on. Runs that have ended, and those that are older than `grace` and have no manifest, say
    /// nothing any more then, as far as that can be removed.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] when a run goes on; it cannot be said.
    pub(super) fn of_prune(repository: &Repository, home: &Home, grace: Duration) -> Result<Self> {
        let owner = owner(home)?;
        let lease = Self::put(repository, PRUNING, &owner)?;
        let outcome = lease.overtake(repository, &owner, grace);
        if outcome.is_err() {
            lease.end(repository);
        }
        outcome.map(|()| lease)
    }

    /// Fails when a run goes on; removes what says that others do, before anything is looked at.
    fn overtake(&self, repository: &Repository, owner: &str, grace: Duration) -> Result<()> {
        let running = repository.objects(RUNNING)?;
        // After those, so that what has ended meanwhile is seen to have.
        let ended = ids(repository)?;
        for object in &running {
            let goes_on = |(id, _): &(&str, &str)| !is_over(object) && !ended.contains(*id);
            let Some((id, of)) = run_of(&object.key).filter(goes_on) else {
                continue;
            };
            let age = self.age_of(object);
            if of == owner {
                self.let_settle(age);
            } else if age.is_none_or(|age| age < grace) {
                let message = format!("backup {id} to {} has begun and not ended", repository.target);
                return Err(Error::new(ErrorKind::Locked, message).with_hint(
                    "wait until it has; one that was killed counts until it is older than --grace",
                ));
            }
        }
        let keys: Vec<String> = running.into_iter().map(|object| object.key).collect();
        remove(repository, &keys)
    }

    /// Whether nobody has begun a run since this prune began: one that did not count this prune any more, because it slept.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub(super) fn is_alone(&self, repository: &Repository) -> Result<bool> {
        let running = repository.objects(RUNNING)?;
        if running.is_empty() {
            return Ok(true);
        }
        let ended = ids(repository)?;
        let has_ended = |object: &ListedObject| {
            is_over(object) || run_of(&object.key).is_none_or(|(id, _)| ended.contains(id))
        };
        Ok(running.iter().all(has_ended))
    }

    /// Whether it is still there: no prune has found it too old.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub(super) fn is_there(&self, repository: &Repository) -> Result<bool> {
        let Some(key) = &self.key else {
            return Ok(true);
        };
        repository.ask(async |store| match store.head_object(key).await {
            Err(error) if error.kind == StoreErrorKind::NoSuchKey => Ok(false),
            outcome => outcome.map(|_| true),
        })
    }

    /// Waits for what somebody had asked the server for who was killed that long ago.
    fn let_settle(&self, age: Option<Duration>) {
        if age.is_some_and(|age| age < FRESH) {
            thread::sleep(SETTLED_AFTER);
        }
    }

    /// How old an object is by the server's clock; none when the server does not tell.
    pub(super) fn age_of(&self, object: &ListedObject) -> Option<Duration> {
        let age = self.begun.duration_since(object.last_modified?);
        Some(age.unwrap_or_default())
    }

    /// It goes on no more, also when it was stopped: it is removed, or says so, where credentials have no right to delete.
    /// False when it can do neither; it counts until it is old then.
    pub(super) fn end(&self, repository: &Repository) -> bool {
        let Some(key) = &self.key else {
            return true;
        };
        let over = request(key, OVER, repository.checksum);
        let ended =
            repository.ask_at_the_end(END_LIMIT, async |store| match store.delete_object(key).await {
                Ok(()) => Ok(()),
                Err(_) => store.put_object(&over).await.map(|_| ()),
            });
        let is_ended = matches!(ended, Some(Ok(())));
        if !is_ended {
            tracing::info!(
                ?ended,
                key,
                "what says that something goes on stays until it is old"
            );
        }
        is_ended
    }
}

fn request(key: &str, content: &'static [u8], checksum: ChecksumAlgorithm) -> PutObject {
    PutObject {
        key: key.to_owned(),
        payload: Payload::new(Body::from(content.to_vec()), checksum),
        properties: ObjectProperties::default(),
        if_none_match: false,
    }
}

fn prune_goes_on(repository: &Repository, key: &str) -> Error {
    let message = format!("a prune of {} goes on on another machine", repository.target);
    Error::new(ErrorKind::Locked, message).with_hint(format!(
        "wait until it has ended; if it was killed, run s3haul backup prune there again, or remove s3://{}/{key}",
        repository.target.bucket
    ))
}

fn ids(repository: &Repository) -> Result<HashSet<String>> {
    let snapshots = repository.snapshots()?;
    Ok(snapshots
        .into_iter()
        .map(|snapshot| snapshot.id.to_string())
        .collect())
}

/// Removes what says that runs go on which have ended, or have died.
///
/// # Errors
/// One of them stays.
fn remove(repository: &Repository, keys: &[String]) -> Result<()> {
    for lot in keys.chunks(MAX_DELETED) {
        let answers = repository.ask(async |store| store.delete_objects(lot).await)?;
        if let Some(error) = answers.into_iter().find_map(std::result::Result::err) {
            let message = "what says that runs go on which have ended cannot be removed";
            return Err(Error::new(ErrorKind::Server, message).with_source(error));
        }
    }
    Ok(())
}

/// Removes what says that the runs of these snapshots go on: they ended long ago, and their manifests, which say so, are gone.
pub(super) fn forget_runs(repository: &Repository, forgotten: &[SnapshotId]) -> Result<()> {
    let forgotten: HashSet<String> = forgotten.iter().map(SnapshotId::to_string).collect();
    let mut keys = Vec::new();
    for ListedObject { key, .. } in repository.objects(RUNNING)? {
        if run_of(&key).is_some_and(|(id, _)| forgotten.contains(id)) {
            keys.push(key);
        }
    }
    remove(repository, &keys)
}
