//! Contents that no snapshot names are removed, when they are old enough and nothing speaks against it.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::contents::Contents;
use super::layout::hash_of_key;
use super::leases::Lease;
use super::repository::Repository;
use super::run::BACKUP;
use super::which::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::event::DeletionRecord;
use crate::mirror::{Deleted, Gone, MaxDelete, Server, delete};
use crate::pipeline::{Effect, Home, StateSettings};
use crate::units::grouped;

/// A prune that takes longer gives up: backups do not wait for one that is older than twice that.
const LONGEST: Duration = Duration::from_hours(12);

/// What a prune may remove.
#[derive(Clone, Debug, PartialEq)]
pub struct PruneRules {
    /// Only what is older than this: a run that was killed, or goes on elsewhere, may have sent it for a snapshot to come.
    pub grace: Duration,
    /// At most so many.
    pub max: MaxDelete,
    /// Also when there is no snapshot, so that all contents go.
    pub allows_no_snapshots: bool,
    /// Whether anything is done, or only told.
    pub effect: Effect,
    /// When nothing new is begun any more.
    pub deadline: Option<Instant>,
}

/// What a prune came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Snapshots that were read.
    pub snapshots: u64,
    /// Contents that are stored, and their bytes.
    pub stored: (u64, u64),
    /// Those that no snapshot names.
    pub unnamed: (u64, u64),
    /// Those of them that are old enough to go.
    pub to_go: (u64, u64),
    /// What was removed; none when nothing was to be.
    pub deleted: Option<Deleted>,
}

/// Removes contents that no snapshot names. Reads all snapshots first; one that cannot be read ends it.
///
/// # Errors
/// [`ErrorKind::Locked`] when a backup goes on, here or elsewhere; [`ErrorKind::Refused`] when a guard says no;
/// [`ErrorKind::Damaged`] when a snapshot cannot be read.
pub fn prune(
    repository: &Repository,
    rules: &PruneRules,
    state: &StateSettings,
    cancel: &CancellationToken,
    mut told: impl FnMut(&DeletionRecord),
) -> Result<Pruned> {
    let endpoint = repository.connector.endpoint();
    let home = Home::open(state, BACKUP, (&endpoint, &repository.target), cancel)?;
    if rules.effect == Effect::Plan {
        return prune_alone(repository, rules, &Lease::of_nobody(), &mut told);
    }
    let lease = Lease::of_prune(repository, &home, rules.grace)?;
    let outcome = prune_alone(repository, rules, &lease, &mut told);
    if !lease.end(repository) {
        tracing::warn!(
            "what says that this prune goes on cannot be removed; backups elsewhere wait for it for a day"
        );
    }
    outcome
}

fn prune_alone(
    repository: &Repository,
    rules: &PruneRules,
    lease: &Lease,
    told: &mut impl FnMut(&DeletionRecord),
) -> Result<Pruned> {
    let since = awake_and_asleep();
    let snapshots = repository.snapshots()?;
    let named = named_contents(repository, &snapshots)?;
    let mut pruned = Pruned {
        snapshots: snapshots.len() as u64,
        ..Pruned::default()
    };
    let gone = unnamed(repository, &named, (lease, rules.grace), &mut pruned)?;
    judge(rules, &pruned)?;
    if rules.effect == Effect::Plan {
        gone.tell(told)?;
        return Ok(pruned);
    }
    // No backup has begun since; but whoever copies buckets may have added a snapshot.
    if repository.snapshots()? != snapshots {
        let message = "a snapshot was added or forgotten meanwhile, so nothing is removed";
        return Err(Error::new(ErrorKind::Locked, message).with_hint("try again"));
    }
    let goes_on = || {
        let is_late = rules.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let is_over = is_late || repository.cancel.is_cancelled() || awake_and_asleep() - since > LONGEST;
        if is_over || lease.is_alone(repository)? {
            return Ok(!is_over);
        }
        let message = format!("a backup to {} has begun meanwhile", repository.target);
        Err(Error::new(ErrorKind::Locked, message).with_hint("the next prune removes what is left"))
    };
    let server = Server {
        connector: &repository.connector,
        retry: repository.retry,
        bucket: &repository.target.bucket,
        goes_on: &goes_on,
    };
    // What the server was asked for it may still do when nobody waits for the answer: who is stopped waits for it.
    let never = CancellationToken::new();
    let deleted = delete(gone, None, &server, &never, |lot| {
        lot.iter().for_each(&mut *told);
    })?;
    if repository.cancel.is_cancelled() {
        return Err(Error::new(
            ErrorKind::Interrupted,
            "stopped while removing contents",
        ));
    }
    pruned.deleted = Some(deleted);
    Ok(pruned)
}

/// All contents that a snapshot names.
fn named_contents(repository: &Repository, snapshots: &[Snapshot]) -> Result<Contents> {
    let mut named = Contents::of_any_size();
    for snapshot in snapshots {
        for entry in repository.manifest(snapshot)?.entries()? {
            if let Some((digest, size_bytes)) = entry?.content() {
                named.insert(&digest, size_bytes);
            }
        }
    }
    Ok(named)
}

/// Contents that are stored, are not `named`, and are old enough. All that is stored is counted.
fn unnamed(
    repository: &Repository,
    named: &Contents,
    (lease, grace): (&Lease, Duration),
    pruned: &mut Pruned,
) -> Result<Gone> {
    let count = |(objects, bytes): &mut (u64, u64), size_bytes: u64| {
        *objects += 1;
        *bytes += size_bytes;
    };
    let (prefix, mut gone) = (repository.prefix(), Gone::default());
    for object in repository.contents() {
        let object = object?;
        let Some(digest) = hash_of_key(&prefix, &object.key) else {
            // It is not ours.
            continue;
        };
        count(&mut pruned.stored, object.size_bytes);
        if named.contains(&digest, object.size_bytes) {
            continue;
        }
        count(&mut pruned.unnamed, object.size_bytes);
        if lease.age_of(&object).is_some_and(|age| age >= grace) {
            count(&mut pruned.to_go, object.size_bytes);
            gone.note(&object.key, object.size_bytes).map_err(|error| {
                let message = "what is to be removed cannot be written down";
                Error::new(ErrorKind::Configuration, message).with_source(error)
            })?;
        }
    }
    Ok(gone)
}

/// Nothing stands in the way, or what does.
fn judge(rules: &PruneRules, pruned: &Pruned) -> Result<()> {
    let ((gone, _), (stored, _)) = (pruned.to_go, pruned.stored);
    let refused = |why: String, flag: String| Err(Error::new(ErrorKind::Refused, why).with_hint(flag));
    if gone == 0 {
        return Ok(());
    }
    if pruned.snapshots == 0 {
        if rules.allows_no_snapshots {
            return Ok(());
        }
        return refused(
            format!("there is no snapshot; all {} contents would go", grouped(gone)),
            "--allow-no-snapshots if that is meant; nothing is left to restore then".to_owned(),
        );
    }
    if !rules.max.allows(gone, stored) {
        return refused(
            format!(
                "{} of {} contents would go, more than {}",
                grouped(gone),
                grouped(stored),
                rules.max
            ),
            format!("look at them with --dry-run; --max-delete {gone} if that is meant"),
        );
    }
    Ok(())
}

/// Time since the machine was started, also that which it slept: others do not wait for it.
fn awake_and_asleep() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
