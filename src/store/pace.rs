//! The pace of one process towards one server: everybody slows down when the server asks for it.
//!
//! Shared by all stores of a process. Also knows when a request last succeeded, which tells a passing outage
//! from a server that is gone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// Everybody waits at most this long unless the server names a time: one refusal must not idle a whole run.
const LONGEST_COMMON_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct State {
    /// No request starts before this.
    open_at: Instant,
    /// Pauses in a row without a success in between.
    level: u32,
    last_success: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub struct Pace {
    state: Mutex<State>,
    /// There may be a pause. Spares every request the lock and the clock when there is none.
    may_be_closed: AtomicBool,
    refusals: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                open_at: Instant::now(),
                level: 0,
                last_success: None,
            }),
            may_be_closed: AtomicBool::new(false),
            refusals: AtomicU64::new(0),
        }
    }
}

/// `min(20 s, 0.2 s x 2^attempt)` with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"),
/// but never less than a tenth of it, so that a retry is never immediate.
pub(super) fn jittered(attempt: u32) -> Duration {
    let ceiling = FIRST_PAUSE.saturating_mul(1 << attempt.min(7)).min(LONGEST_PAUSE);
    ceiling.mul_f64(0.1 + 0.9 * fastrand::f64())
}

impl Pace {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server asked for less. All requests wait; those in flight that hear the same do not add to it.
    pub fn throttled(&self, retry_after: Option<Duration>) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        self.may_be_closed.store(true, Ordering::Relaxed);
        let now = Instant::now();
        if let Some(wish) = retry_after {
            state.open_at = state.open_at.max(now + wish);
        } else if state.open_at <= now {
            state.level = (state.level + 1).min(7);
            state.open_at = now + jittered(state.level).min(LONGEST_COMMON_PAUSE);
        }
    }

    /// A request succeeded.
    pub fn succeeded(&self) {
        let mut state = self.state();
        state.level /= 2;
        state.last_success = Some(Instant::now());
    }

    /// How long to wait before a request may start.
    pub fn wait(&self) -> Duration {
        if !self.may_be_closed.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        let state = self.state();
        let wait = state.open_at.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            self.may_be_closed.store(false, Ordering::Relaxed);
        }
        wait
    }

    /// How often the server has asked for less so far.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// When a request last succeeded, if one ever did.
    pub fn last_success(&self) -> Option<Instant> {
        self.state().last_success
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_wish_holds_for_everybody() {
        let pace = Pace::default();
        assert!(pace.wait().is_zero());
        pace.throttled(Some(Duration::from_secs(3)));
        assert!(pace.wait() > Duration::from_millis(2_900));
        pace.throttled(None);
        assert!(
            pace.wait() < Duration::from_secs(4),
            "those in flight do not add to a pause"
        );
    }

    #[test]
    fn jitter_stays_between_a_tenth_and_the_whole() {
        for attempt in 0..12 {
            let ceiling = Duration::from_millis(200 << attempt.min(7)).min(LONGEST_PAUSE);
            for _ in 0..100 {
                let pause = jittered(attempt);
                assert!(pause <= ceiling && pause >= ceiling / 11, "{attempt}: {pause:?}");
            }
        }
    }
}
