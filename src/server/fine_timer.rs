//! Waiting to a tenth of a millisecond: the event loop's own timers tick once a millisecond and round up.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::oneshot;

#[derive(Debug, Default)]
struct Waiting {
    /// By the time they are due and the order in which they came.
    wakes: BTreeMap<(Instant, u64), oneshot::Sender<()>>,
    came: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Somebody is due before all others, or the timer ends.
    changed: Condvar,
}

/// A thread that wakes those who wait. It ends when this is dropped, and wakes everybody.
#[derive(Debug)]
pub(super) struct FineTimer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl FineTimer {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let runner = shared.clone();
        let builder = std::thread::Builder::new().name("s3haul-timer".to_owned());
        Ok(Self {
            shared,
            thread: Some(builder.spawn(move || runner.run())?),
        })
    }

    /// Waits until `due`.
    pub(super) async fn sleep_until(&self, due: Instant) {
        if due <= Instant::now() {
            return;
        }
        let (wake, woken) = oneshot::channel();
        let is_first = {
            let mut waiting = self.shared.lock();
            let place = (due, waiting.came);
            waiting.came += 1;
            waiting.wakes.insert(place, wake);
            waiting.wakes.keys().next() == Some(&place)
        };
        if is_first {
            self.shared.changed.notify_one();
        }
        let _ = woken.await;
    }
}

impl Drop for FineTimer {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the timer's thread panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut waiting = self.lock();
        while !waiting.closed {
            let next = waiting.wake(Instant::now());
            waiting = match next {
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let left = due.saturating_duration_since(Instant::now());
                    let woken = self.changed.wait_timeout(waiting, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        waiting.wakes.clear();
    }
}

impl Waiting {
    /// Wakes who is due by `now`, and says when the next one is.
    fn wake(&mut self, now: Instant) -> Option<Instant> {
        while let Some(first) = self.wakes.first_entry() {
            let (due, _) = *first.key();
            if due > now {
                return Some(due);
            }
            // Who gave up does not hear it.
            let _ = first.remove().send(());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::time::Duration;

    #[tokio::test]
    async fn who_waits_is_woken_in_the_order_of_times_and_not_early() {
        let timer = FineTimer::start().expect("a thread");
        let began = Instant::now();
        let order = RefCell::new(Vec::new());
        let sleep = |millis: u64| {
            let (timer, order) = (&timer, &order);
            async move {
                let due = began + Duration::from_millis(millis);
                timer.sleep_until(due).await;
                assert!(Instant::now() >= due);
                order.borrow_mut().push(millis);
            }
        };
        futures::future::join_all([sleep(90), sleep(30), sleep(0), sleep(60)]).await;
        assert_eq!(*order.borrow(), [0, 30, 60, 90]);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_timer_that_is_gone() {
        let timer = FineTimer::start().expect("a thread");
        let shared = timer.shared.clone();
        let (wake, woken) = oneshot::channel();
        let never = Instant::now() + Duration::from_hours(1);
        shared.lock().wakes.insert((never, 0), wake);
        drop(timer);
        assert!(woken.await.is_err());
    }
}
