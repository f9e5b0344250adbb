//! Remembers what each file came to, while the run goes on.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::state::{Change, Known, KnownObject, Stamp, State};
use crate::event::{Event, FileRecord, Outcome};
use crate::pipeline::Monitor;

/// Changes that are written together.
pub(super) const LOT: usize = 4_096;

/// Hears the events of a run, passes them on, and remembers.
pub(super) struct Recorder<'a> {
    monitor: &'a mut dyn Monitor,
    /// None when it cannot be written.
    state: Option<Arc<State>>,
    changes: Vec<Change>,
    trouble: Option<String>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(monitor: &'a mut dyn Monitor, state: Option<Arc<State>>) -> Self {
        Self {
            monitor,
            state,
            changes: Vec::new(),
            trouble: None,
        }
    }

    /// Writes what is left. Returns what cannot be remembered, for people.
    pub(super) fn finish(mut self) -> Option<String> {
        self.write();
        self.trouble
    }

    fn write(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        let Some(state) = self.state.as_ref().filter(|_| !changes.is_empty()) else {
            return;
        };
        if let Err(error) = state.apply(&changes) {
            self.trouble = Some(format!("what was done cannot be remembered: {error}"));
            self.state = None;
        }
    }
}

impl Monitor for Recorder<'_> {
    fn notify(&mut self, event: &Event) {
        self.monitor.notify(event);
        if let Event::File(record) = event
            && self.state.is_some()
            && let Some(known) = known(record)
        {
            self.changes.push(Change::Remember(known));
            if self.changes.len() >= LOT {
                self.write();
            }
        }
    }
}

/// What is to be remembered of a file; none of what is not stored.
fn known(record: &FileRecord) -> Option<KnownObject> {
    let (etag, checksum) = match &record.outcome {
        Outcome::Done { etag, checksum } | Outcome::Unchanged { etag, checksum } => (etag, checksum),
        _ => return None,
    };
    let stamp = Stamp::from(&**record.identity.as_ref()?);
    Some(KnownObject {
        key: record.key.clone(),
        known: Known {
            is_racy: is_racy(&stamp, record),
            stamp,
            etag: etag.clone(),
            checksum: checksum.clone().filter(|checksum| !checksum.is_empty()),
        },
    })
}

/// Whether it was read so soon after a change that another one might not show.
fn is_racy(stamp: &Stamp, record: &FileRecord) -> bool {
    let since = record.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
    let begun = SystemTime::now().checked_sub(since).unwrap_or(UNIX_EPOCH);
    stamp.is_racy(begun.duration_since(UNIX_EPOCH).unwrap_or_default())
}
