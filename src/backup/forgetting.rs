//! Snapshots that are not kept are forgotten: their manifests go. What only they named stays until a prune.

use jiff::Zoned;
use tokio_util::sync::CancellationToken;

use super::layout::SnapshotId;
use super::leases::forget_runs;
use super::repository::Repository;
use super::retention::Keep;
use super::run::BACKUP;
use super::which::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::{Effect, Home, StateSettings};
use crate::store::MAX_DELETED;

/// What was kept, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Snapshots that are kept.
    pub kept: Vec<SnapshotId>,
    /// Snapshots that are gone, or would be.
    pub forgotten: Vec<SnapshotId>,
    /// Snapshots among those that are kept that cannot be read.
    pub damaged: Vec<SnapshotId>,
    /// Snapshots that should be and are not, and why.
    pub failures: Vec<(SnapshotId, String)>,
}

/// Refuses rules that keep nothing.
///
/// # Errors
/// [`ErrorKind::Usage`].
pub fn refuse_nothing(keep: &Keep) -> Result<()> {
    if !keep.is_nothing() {
        return Ok(());
    }
    let message = "nothing says which snapshots to keep";
    Err(Error::new(ErrorKind::Usage, message).with_hint(
        "name some with --keep-last, --keep-daily, --keep-weekly, --keep-monthly or --keep-yearly, here or in the job",
    ))
}

/// Forgets the snapshots that `keep` does not keep at `now`, whose time zone says when days begin. The oldest go first, so that
/// what is left when it is stopped is what a later one would leave.
///
/// The last snapshot that has all its files stays in any case, and those behind it that cannot be read take nobody's place:
/// bad nights do not push out the last good one.
///
/// # Errors
/// [`ErrorKind::Usage`] when nothing would be kept; [`ErrorKind::Locked`] when another run has the target; the snapshots
/// cannot be listed or removed.
pub fn forget(
    repository: &Repository,
    keep: &Keep,
    (effect, now): (Effect, &Zoned),
    state: &StateSettings,
    cancel: &CancellationToken,
) -> Result<Forgotten> {
    refuse_nothing(keep)?;
    let endpoint = repository.connector.endpoint();
    let _home = Home::open(state, BACKUP, (&endpoint, &repository.target), cancel)?;
    let snapshots = repository.snapshots()?;
    let (whole, damaged) = last_whole(repository, &snapshots, now)?;
    let ids: Vec<SnapshotId> = snapshots.into_iter().map(|snapshot| snapshot.id).collect();
    let readable: Vec<SnapshotId> = ids.iter().filter(|id| !damaged.contains(id)).cloned().collect();
    let mut kept = keep.of(&readable, now);
    kept.extend(whole);
    kept.extend(damaged.iter().cloned());
    let (kept, mut forgotten): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| kept.contains(id));
    let mut failures = Vec::new();
    if effect == Effect::Apply {
        let prefix = repository.prefix();
        for lot in forgotten.chunks(MAX_DELETED) {
            let keys: Vec<String> = lot.iter().map(|id| id.key(&prefix)).collect();
            let answers = repository.ask(async |store| store.delete_objects(&keys).await)?;
            for (id, answer) in lot.iter().zip(answers) {
                if let Err(error) = answer {
                    failures.push((id.clone(), error.to_string()));
                }
            }
        }
        forgotten.retain(|id| failures.iter().all(|(failed, _)| failed != id));
        forget_runs(repository, &forgotten)?;
    }
    Ok(Forgotten {
        kept,
        forgotten,
        damaged,
        failures,
    })
}

/// The last snapshot that has all its files, if there is one, and those behind it that cannot be read.
fn last_whole(
    repository: &Repository,
    snapshots: &[Snapshot],
    now: &Zoned,
) -> Result<(Option<SnapshotId>, Vec<SnapshotId>)> {
    let mut damaged = Vec::new();
    let past = |snapshot: &&Snapshot| !snapshot.id.is_of_future(now.timestamp());
    for snapshot in snapshots.iter().rev().filter(past) {
        match repository.manifest(snapshot) {
            Ok(manifest) if manifest.totals().errors == 0 => return Ok((Some(snapshot.id.clone()), damaged)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Damaged => damaged.push(snapshot.id.clone()),
            Err(error) => return Err(error),
        }
    }
    Ok((None, damaged))
}
