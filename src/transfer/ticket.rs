//! The promise that each file ends in exactly one record.
//!
//! A ticket is made when a file is discovered and used up when its outcome is known. One that is dropped
//! instead, because a worker panicked, a process died or the run was cancelled, settles itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::event::{Event, Failure, FailureKind, FileRecord, Outcome, UploadReason, WorkerId};

/// Where workers send what happens. Never blocks for long: the collector only folds.
#[derive(Clone)]
pub struct EventSender(Arc<dyn Fn(Event) + Send + Sync>);

impl EventSender {
    /// Sends by calling `send`.
    pub fn new(send: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(send))
    }

    /// Sends one event.
    pub fn send(&self, event: Event) {
        (self.0)(event);
    }
}

struct Open {
    record: FileRecord,
    events: EventSender,
    cancel: CancellationToken,
}

/// See the module.
pub struct Ticket(Option<Box<Open>>);

impl Ticket {
    /// Opens the books on a file that is expected to have `size_bytes`.
    pub fn new(
        path: &Path,
        key: &str,
        encoded: bool,
        size_bytes: u64,
        events: EventSender,
        cancel: CancellationToken,
    ) -> Self {
        let record = FileRecord {
            path: path.to_string_lossy().into_owned(),
            key: key.to_owned(),
            encoded,
            reason: UploadReason::Requested,
            identity: None,
            size_bytes,
            expected_bytes: size_bytes,
            parts: 0,
            attempts: 1,
            found: None,
            begun: None,
            elapsed: std::time::Duration::ZERO,
            worker: WorkerId {
                worker: 0,
                pid: crate::usage::process_id(),
            },
            chunk: None,
            batched: false,
            outcome: Outcome::Cancelled,
        };
        events.send(Event::Discovered { size_bytes });
        Self(Some(Box::new(Open {
            record,
            events,
            cancel,
        })))
    }

    /// The clock of this file starts (once).
    pub fn start(&mut self) {
        if let Some(open) = &mut self.0 {
            open.record.begun.get_or_insert_with(Instant::now);
        }
    }

    /// Changes what the record will say.
    pub fn note(&mut self, change: impl FnOnce(&mut FileRecord)) {
        if let Some(open) = &mut self.0 {
            change(&mut open.record);
        }
    }

    /// Closes the books.
    pub fn settle(mut self, outcome: Outcome) {
        self.close(outcome);
    }

    fn close(&mut self, outcome: Outcome) {
        let Some(mut open) = self.0.take() else { return };
        open.record.outcome = outcome;
        open.record.elapsed = open.record.begun.map(|begun| begun.elapsed()).unwrap_or_default();
        open.events.send(Event::File(Box::new(open.record)));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(open) = &self.0 else { return };
        let outcome = if open.cancel.is_cancelled() {
            Outcome::Cancelled
        } else {
            let message = "the worker that had this file was lost before it was done";
            Outcome::Failed {
                failure: Failure::new(FailureKind::WorkerLost, message),
            }
        };
        self.close(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn outcomes(act: impl FnOnce(Ticket, &CancellationToken)) -> Vec<Outcome> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let events = EventSender::new(move |event| {
            if let Event::File(record) = event {
                sink.lock().expect("no panic").push(record.outcome);
            }
        });
        let cancel = CancellationToken::new();
        act(
            Ticket::new(Path::new("a"), "a", false, 1, events, cancel.clone()),
            &cancel,
        );
        let seen = seen.lock().expect("no panic");
        seen.clone()
    }

    #[test]
    fn a_ticket_settles_once_whatever_becomes_of_it() {
        let skipped = Outcome::Skipped {
            reason: crate::event::SkipReason::Exists,
        };
        assert_eq!(
            outcomes(|ticket, _| ticket.settle(skipped.clone())),
            vec![skipped]
        );
        let lost = outcomes(|ticket, _| drop(ticket));
        assert!(
            matches!(&lost[..], [Outcome::Failed { failure }] if failure.kind == FailureKind::WorkerLost)
        );
        let cancelled = outcomes(|ticket, cancel| {
            cancel.cancel();
            drop(ticket);
        });
        assert_eq!(cancelled, vec![Outcome::Cancelled]);
    }
}
