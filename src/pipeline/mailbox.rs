//! The way of events from workers to the collector: many at a time, so that no worker wakes a thread for each.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::event::Event;
use crate::transfer::EventSender;

/// Events that may wait for the collector.
const BACKLOG: usize = 4_096;
/// The collector lets events gather for this long.
const INTERVAL: Duration = Duration::from_millis(20);

#[derive(Default)]
struct State {
    events: Vec<Event>,
    /// No more will come, or nobody takes them any more.
    closed: bool,
}

#[derive(Default)]
struct Mailbox {
    state: Mutex<State>,
    posted: Condvar,
    emptied: Condvar,
}

impl Mailbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, event: Event) {
        let mut state = self.state();
        while state.events.len() >= BACKLOG && !state.closed {
            state = self.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.events.push(event);
        let waiting = state.events.len();
        drop(state);
        if waiting == 1 || waiting == BACKLOG / 2 {
            self.posted.notify_one();
        }
    }

    fn close(&self) {
        self.state().closed = true;
        self.posted.notify_all();
        self.emptied.notify_all();
    }

    /// Swaps what has gathered for `taken`, which is empty. False when no more will come.
    fn collect(&self, taken: &mut Vec<Event>) -> bool {
        let state = self.state();
        let idle = |state: &mut State| state.events.is_empty() && !state.closed;
        let state = self.posted.wait_while(state, idle);
        let gathering = |state: &mut State| state.events.len() < BACKLOG / 2 && !state.closed;
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let waited = self.posted.wait_timeout_while(state, INTERVAL, gathering);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.events, taken);
        let more = !state.closed || !taken.is_empty();
        drop(state);
        self.emptied.notify_all();
        more
    }
}

/// Closes the mailbox when its end is dropped, also by a panic.
struct End(Arc<Mailbox>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The collector's end.
pub(super) struct Events(End);

/// A mailbox: where events are sent, and where they arrive in their order.
pub(super) fn mailbox() -> (EventSender, Events) {
    let mailbox = Arc::<Mailbox>::default();
    let end = End(mailbox.clone());
    (
        EventSender::new(move |event| end.0.post(event)),
        Events(End(mailbox)),
    )
}

impl Events {
    /// Calls `each` with every event until all senders are gone.
    pub(super) fn for_each(self, mut each: impl FnMut(Event)) {
        let mut taken = Vec::new();
        while self.0.0.collect(&mut taken) {
            taken.drain(..).for_each(&mut each);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn every_event_arrives_in_order_also_when_they_come_faster_than_they_are_taken() {
        let (sender, events) = mailbox();
        let count = 3 * BACKLOG as u64;
        let sending = thread::spawn(move || {
            for bytes in 0..count {
                sender.send(Event::Sent { bytes });
            }
        });
        let mut next = 0;
        events.for_each(|event| {
            assert!(
                matches!(event, Event::Sent { bytes } if bytes == next),
                "{next}: {event:?}"
            );
            next += 1;
        });
        assert_eq!(next, count);
        sending.join().expect("no panic");
    }

    #[test]
    fn a_collector_that_is_gone_holds_nobody_up() {
        let (sender, events) = mailbox();
        drop(events);
        for bytes in 0..2 * BACKLOG as u64 {
            sender.send(Event::Sent { bytes });
        }
    }
}
