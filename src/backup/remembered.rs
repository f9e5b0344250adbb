//! What is remembered of a job from one run to the next: of each file its content, and which snapshot all of them are in.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::layout::SnapshotId;
use super::repository::Repository;
use super::run::BACKUP;
use super::which::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::{Change, Known, KnownObject, KnownObjects, Memory, Origin, State, host_name};
use crate::pipeline::{Home, StateSettings};

/// Changes that are written together.
const LOT: usize = 4_096;
/// Name of the fact that says in which snapshot all remembered contents are.
const SNAPSHOT: &str = "snapshot";
/// Name of the fact that says when somebody last looked whether all of them are stored.
const LOOKED_AT: &str = "looked-at";
/// After so long, a run looks again: what is lost is sent again then at the latest.
const LOOK_EVERY: SignedDuration = SignedDuration::from_hours(7 * 24);

/// See the module.
pub(super) struct Remembered {
    /// None when it cannot be written any more.
    state: Option<Arc<State>>,
    known: Option<KnownObjects>,
    /// All contents that are remembered are in a snapshot that is there, and were stored not long ago. No prune removes what
    /// one names.
    is_stored: bool,
    changes: Vec<Change>,
    has_changed: bool,
    trouble: Option<String>,
}

impl Remembered {
    /// What `memory` has at `now`, where these are the snapshots that are there.
    pub(super) fn new(memory: &Memory, snapshots: &[Snapshot], now: Timestamp) -> Self {
        let state = memory.state.clone();
        let fact = |name| state.as_ref().and_then(|state| state.fact(name).ok()?);
        let is_there = |id: String| snapshots.iter().any(|snapshot| snapshot.id.to_string() == id);
        let is_recent = |time: String| {
            let looked_at = time.parse::<Timestamp>();
            looked_at.is_ok_and(|time| time <= now && now.duration_since(time) < LOOK_EVERY)
        };
        Self {
            is_stored: fact(SNAPSHOT).is_some_and(is_there) && fact(LOOKED_AT).is_some_and(is_recent),
            known: Some(memory.objects()),
            state,
            changes: Vec::new(),
            has_changed: false,
            trouble: None,
        }
    }

    /// Whether all that is remembered is stored, too.
    pub(super) fn is_stored(&self) -> bool {
        self.is_stored
    }

    /// All that is remembered, in the order of the names; nothing when asked again.
    pub(super) fn objects(&mut self) -> KnownObjects {
        self.known.take().unwrap_or_else(|| Box::new(std::iter::empty()))
    }

    pub(super) fn remember(&mut self, name: &str, known: Known) {
        let key = name.to_owned();
        self.change(Change::Remember(KnownObject { key, known }));
    }

    pub(super) fn forget(&mut self, key: String) {
        self.change(Change::Forget { key });
    }

    fn change(&mut self, change: Change) {
        self.changes.push(change);
        if self.changes.len() >= LOT {
            self.write();
        }
    }

    fn write(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        let Some(state) = self.state.as_ref().filter(|_| !changes.is_empty()) else {
            return;
        };
        // First: should this run end without a snapshot, what it has remembered is in none.
        let begun = if self.has_changed {
            Ok(())
        } else {
            state.set_fact(SNAPSHOT, "")
        };
        self.has_changed = true;
        if let Err(error) = begun.and_then(|()| state.apply(&changes)) {
            self.trouble = Some(format!("what was read cannot be remembered: {error}"));
            self.state = None;
        }
    }

    /// Writes what is left. Returns what cannot be remembered, for people.
    pub(super) fn finish(&mut self) -> Option<String> {
        self.write();
        self.trouble.take()
    }
}

/// What is remembered counts for contents no more: the next run looks whether each is stored. For who has found that
/// something is not.
///
/// # Errors
/// [`ErrorKind::Locked`](crate::error::ErrorKind::Locked) when another run has the target; what is remembered cannot be
/// written.
pub fn look_again(
    repository: &Repository,
    job: &str,
    state: &StateSettings,
    cancel: &CancellationToken,
) -> Result<()> {
    let endpoint = repository.connector.endpoint();
    let home = Home::open(state, BACKUP, (&endpoint, &repository.target), cancel)?;
    let unwritable = |error: std::io::Error| {
        Error::new(ErrorKind::Configuration, "what is remembered cannot be changed").with_source(error)
    };
    match Memory::open(&home, &origin(job), false).state {
        Some(state) => state.set_fact(SNAPSHOT, "").map_err(unwritable),
        None => Ok(()),
    }
}

/// What a job's state is told apart by.
pub(super) fn origin(job: &str) -> Origin {
    Origin {
        host: host_name(),
        source: job.to_owned(),
        device: 0,
    }
}

/// All that is remembered is in this snapshot now. `looked_at` is when each of its contents was looked for, if this run has.
///
/// # Errors
/// It cannot be noted; the next run looks for each content.
pub(super) fn all_is_in(state: &State, id: &SnapshotId, looked_at: Option<Timestamp>) -> std::io::Result<()> {
    if let Some(time) = looked_at {
        state.set_fact(LOOKED_AT, &time.to_string())?;
    }
    state.set_fact(SNAPSHOT, &id.to_string())
}
