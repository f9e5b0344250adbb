//! The one bounded queue between the feeder and the workers; the only backpressure.
//!
//! Bounded by items and by the memory that queued tasks take, so that neither a million names nor a thousand very
//! long ones pile up; only what comes of an item that was taken out goes back without asking. Enqueuing blocks when
//! it is full, until it is half empty: feeder and workers would otherwise wake each other for every single item.
//! Many consumers, blocking or async, on any runtime. The queue is generic: that each task ends in exactly one
//! outcome is the task's own promise (a dropped task settles itself, see `transfer::Ticket`).

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::event::seconds;

/// Items that change hands under one lock.
const TOGETHER: usize = 32;

/// What a queued item weighs.
pub trait Weigh {
    /// Bytes of memory that it holds while it waits.
    fn weight_bytes(&self) -> usize;
}

struct State<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
    closed: bool,
    receivers: usize,
    /// The feeder waits for room.
    is_blocked: bool,
    pressure: Pressure,
}

/// Whether feeder or workers had to wait: what is never full is fed too slowly, what blocks its feeder is worked off too
/// slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// Most items that waited at one time.
    pub peak_items: usize,
    /// Time that the feeder waited for room.
    #[serde(with = "seconds")]
    pub feeder_blocked: Duration,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// There is room, or nobody left to take anything.
    room: Condvar,
    /// There is an item, or there will be none.
    filled: Notify,
    max_items: usize,
    max_bytes: usize,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fits(&self, state: &State<T>, weight: usize) -> bool {
        state.items.is_empty()
            || (state.items.len() < self.max_items && state.bytes + weight <= self.max_bytes)
    }

    fn is_half_empty(&self, state: &State<T>) -> bool {
        state.items.len() <= self.max_items / 2 && state.bytes <= self.max_bytes / 2
    }
}

/// The feeder's end. Dropping it closes the queue: what is in it is still taken.
pub struct Sender<T>(Arc<Shared<T>>);

/// A worker's end.
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.state().receivers += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.receivers -= 1;
        if state.receivers == 0 {
            // Nobody takes them any more, and one may hold a sender, for which this queue would stay for ever.
            let left = std::mem::take(&mut state.items);
            state.bytes = 0;
            drop(state);
            self.0.room.notify_all();
            drop(left);
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.filled.notify_waiters();
    }
}

/// A queue of at most `items` items and `bytes` bytes, both at least 1.
pub fn bounded<T: Weigh>(items: usize, bytes: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            items: VecDeque::new(),
            bytes: 0,
            closed: false,
            receivers: 1,
            is_blocked: false,
            pressure: Pressure::default(),
        }),
        room: Condvar::new(),
        filled: Notify::new(),
        max_items: items.max(1),
        max_bytes: bytes.max(1),
    });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T: Weigh> Sender<T> {
    /// Enqueues, and blocks while the queue is full. An item heavier than the whole queue waits until it is
    /// empty and then goes alone. Must not be called on a runtime's thread.
    ///
    /// # Errors
    /// Gives the item back when there is no receiver left.
    pub fn send(&self, item: T) -> Result<(), T> {
        self.send_all(std::iter::once(item))
    }

    /// The same for many, a few dozen under one lock.
    ///
    /// # Errors
    /// Gives the item back for which there is no receiver left; those behind it are not asked for.
    pub fn send_all(&self, items: impl IntoIterator<Item = T>) -> Result<(), T> {
        let mut items = items.into_iter().fuse().peekable();
        while items.peek().is_some() {
            self.send_some(items.by_ref().take(TOGETHER))?;
        }
        Ok(())
    }

    fn send_some(&self, items: impl Iterator<Item = T>) -> Result<(), T> {
        let shared = &self.0;
        let mut state = shared.state();
        for item in items {
            let weight = item.weight_bytes();
            while state.receivers > 0 && !shared.fits(&state, weight) {
                state.is_blocked = true;
                shared.filled.notify_waiters();
                let began = Instant::now();
                state = shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.pressure.feeder_blocked += began.elapsed();
            }
            if state.receivers == 0 {
                // Dropping the others may need this queue again.
                drop(state);
                return Err(item);
            }
            state.bytes += weight;
            state.items.push_back((weight, item));
        }
        state.pressure.peak_items = state.pressure.peak_items.max(state.items.len());
        drop(state);
        shared.filled.notify_waiters();
        Ok(())
    }

    /// Enqueues `items`, in their order, before all others. Never blocks and knows no bound: for what comes of an
    /// item that was taken out, which somebody holds a sender for. Without a receiver they are dropped.
    pub fn send_first(&self, items: Vec<T>) {
        let mut state = self.0.state();
        if state.receivers == 0 {
            // Dropping an item may need this queue again.
            drop(state);
            return;
        }
        for item in items.into_iter().rev() {
            let weight = item.weight_bytes();
            state.bytes += weight;
            state.items.push_front((weight, item));
        }
        drop(state);
        self.0.filled.notify_waiters();
    }
}

impl<T> Sender<T> {
    /// True when nothing waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.0.state().items.is_empty()
    }
}

impl<T> Receiver<T> {
    /// What [`Self::receive`] would return; none while it would have to wait.
    fn receive_now(&self) -> Option<Option<T>> {
        let mut state = self.0.state();
        match self.take(&mut state) {
            Some(item) => Some(Some(item)),
            None => state.closed.then_some(None),
        }
    }

    /// Moves what may be taken at once into `hand`, if anything is there now: at most a few dozen, and fewer
    /// when little is left, so that each of `takers` finds something.
    pub fn receive_some(&self, takers: usize, hand: &mut VecDeque<T>) {
        let mut state = self.0.state();
        let fair = state.items.len() / (4 * takers.max(1));
        hand.extend((0..fair.clamp(1, TOGETHER)).map_while(|_| self.take(&mut state)));
    }

    /// Whether anybody had to wait so far.
    pub fn pressure(&self) -> Pressure {
        self.0.state().pressure
    }

    fn take(&self, state: &mut State<T>) -> Option<T> {
        let (weight, item) = state.items.pop_front()?;
        state.bytes -= weight;
        if state.is_blocked && self.0.is_half_empty(state) {
            state.is_blocked = false;
            self.0.room.notify_one();
        }
        Some(item)
    }

    /// The next item, or `None` when the queue is closed and empty. Cancel-safe: a dropped wait takes nothing.
    pub async fn receive(&self) -> Option<T> {
        loop {
            if let Some(outcome) = self.receive_now() {
                return outcome;
            }
            let mut filled = std::pin::pin!(self.0.filled.notified());
            // Listening begins before the second look, so that what comes in between is heard.
            filled.as_mut().enable();
            if let Some(outcome) = self.receive_now() {
                return outcome;
            }
            filled.await;
        }
    }

    /// What `look` says of the first item, as soon as there is one; `None` when the queue closes without. For a thread
    /// without a runtime, before others receive.
    pub fn wait_for_first<R>(&self, look: impl Fn(&T) -> R) -> Option<R> {
        let seen = || {
            let state = self.0.state();
            match state.items.front() {
                Some((_, item)) => Some(Some(look(item))),
                None => state.closed.then_some(None),
            }
        };
        futures::executor::block_on(async {
            loop {
                let mut filled = std::pin::pin!(self.0.filled.notified());
                filled.as_mut().enable();
                if let Some(outcome) = seen() {
                    return outcome;
                }
                filled.await;
            }
        })
    }

    /// The same as [`Self::receive`] for a thread without a runtime.
    pub fn receive_blocking(&self) -> Option<T> {
        futures::executor::block_on(self.receive())
    }
}

#[cfg(test)]
mod tests;
