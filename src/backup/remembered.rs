//! What is remembered of a job from one run to the next: of each file its content, and which snapshot all of them are in.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::layout::SnapshotId;
use super::repository::{Repository, Snapshot};
use super::run::BACKUP;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::{Change, Known, KnownObject, KnownObjects, Memory, Origin, State, host_name};
use crate::pipeline::{Home, StateSettings};

/// Changes that are written together.
const LOT: usize = 4_096;
/// Name of the fact that says in which snapshot all remembered contents are.
const SNAPSHOT: &str = "snapshot";

/// See the module.
pub(super) struct Remembered {
    /// None when it cannot be written any more.
    state: Option<Arc<State>>,
    known: Option<KnownObjects>,
    /// All contents that are remembered are in a snapshot that is there. No prune removes what one names.
    is_stored: bool,
    changes: Vec<Change>,
    has_changed: bool,
    trouble: Option<String>,
}

impl Remembered {
    /// What `memory` has, where these are the snapshots that are there.
    pub(super) fn new(memory: &Memory, snapshots: &[Snapshot]) -> Self {
        let state = memory.state.clone();
        let snapshot = state.as_ref().and_then(|state| state.fact(SNAPSHOT).ok()?);
        let is_there = |id: String| snapshots.iter().any(|snapshot| snapshot.id.to_string() == id);
        Self {
            is_stored: snapshot.is_some_and(is_there),
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

/// All that is remembered is in this snapshot now.
///
/// # Errors
/// It cannot be noted; the next run looks for each content.
pub(super) fn all_is_in(state: &State, id: &SnapshotId) -> std::io::Result<()> {
    state.set_fact(SNAPSHOT, &id.to_string())
}
