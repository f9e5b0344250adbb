//! The state that the parts of one large file share: begun once, ended once, by whichever worker is there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::step::{Begun, PartDone, StepError};
use super::task::ObjectSpec;
use super::ticket::Ticket;
use crate::plan::PartPlan;

#[derive(Default)]
struct State {
    /// Parts handed out so far.
    issued: u32,
    /// No further parts will be.
    closed: bool,
    settled: u32,
    parts: Vec<PartDone>,
    trouble: Option<StepError>,
    ticket: Option<Ticket>,
}

/// See the module. When the last reference goes without an ending, the ticket in it settles itself.
pub(super) struct Upload {
    pub(super) object: Arc<ObjectSpec>,
    /// None for a stream, whose parts carry their bytes.
    pub(super) plan: Option<PartPlan>,
    pub(super) start: OnceCell<Result<Start, StepError>>,
    state: Mutex<State>,
}

/// An upload that has begun, in this run or in an earlier one.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) begun: Arc<Begun>,
    /// Parts that an earlier run sent.
    pub(super) sent: Vec<PartDone>,
}

/// What the worker that settled the last part has to do.
pub(super) enum Ending {
    /// All parts are stored.
    Complete { parts: Vec<PartDone>, ticket: Ticket },
    /// At least one is not.
    GiveUp { trouble: StepError, ticket: Ticket },
}

impl Upload {
    /// All parts of a file of known size are handed out from the start.
    pub(super) fn of_file(object: Arc<ObjectSpec>, plan: PartPlan, ticket: Ticket) -> Arc<Self> {
        let state = State {
            issued: plan.count(),
            closed: true,
            ticket: Some(ticket),
            ..State::default()
        };
        Arc::new(Self {
            object,
            plan: Some(plan),
            start: OnceCell::new(),
            state: Mutex::new(state),
        })
    }

    /// A stream hands out its parts as they come.
    pub(super) fn of_stream(object: Arc<ObjectSpec>, ticket: Ticket) -> Arc<Self> {
        let state = State {
            ticket: Some(ticket),
            ..State::default()
        };
        Arc::new(Self {
            object,
            plan: None,
            start: OnceCell::new(),
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more part of a stream; `last` closes it.
    pub(super) fn issue(&self, last: bool) -> u32 {
        let mut state = self.state();
        state.issued += 1;
        state.closed |= last;
        state.issued
    }

    /// A stream that broke off: parts that are still to come find this trouble.
    pub(super) fn fail(&self, trouble: StepError) {
        self.state().trouble.get_or_insert(trouble);
    }

    /// Starts the file's clock.
    pub(super) fn touch(&self) {
        if let Some(ticket) = &mut self.state().ticket {
            ticket.start();
        }
    }

    /// The trouble that makes further parts pointless.
    pub(super) fn trouble(&self) -> Option<StepError> {
        self.state().trouble.clone()
    }

    /// Settles one part. `Some` for the last of all.
    pub(super) fn settle(&self, outcome: Result<PartDone, StepError>) -> Option<Ending> {
        let mut state = self.state();
        state.settled += 1;
        match outcome {
            Ok(part) => state.parts.push(part),
            Err(trouble) => {
                state.trouble.get_or_insert(trouble);
            }
        }
        Self::ending(&mut state)
    }

    fn ending(state: &mut State) -> Option<Ending> {
        if !state.closed || state.settled < state.issued {
            return None;
        }
        let ticket = state.ticket.take()?;
        if let Some(trouble) = state.trouble.take() {
            return Some(Ending::GiveUp { trouble, ticket });
        }
        let mut parts = std::mem::take(&mut state.parts);
        parts.sort_unstable_by_key(|done| done.part.number);
        Some(Ending::Complete { parts, ticket })
    }
}
