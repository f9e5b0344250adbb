//! `--bwlimit`: the one gate that all bodies of a run pass, whichever process sends them.

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::units::Rate;

/// Timers fire up to a millisecond late; a debt as small as this is made up for, so that the rate is met.
const LATENESS: Duration = Duration::from_millis(50);

/// Lets bytes pass when they may.
#[async_trait]
pub trait Gate: fmt::Debug + Send + Sync {
    /// Waits until `bytes` may be sent. Dropping the future gives up the place in the line and spends nothing.
    async fn pass(&self, bytes: usize);
}

/// A gate of this process: so many bytes a second, first come, first served.
#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: f64,
    /// Held by whoever is first in the line, also while it waits for the clock: tokio's lock is fair.
    free_at: Mutex<Instant>,
}

impl Throttle {
    /// A limit of `rate`, at least one byte a second.
    pub fn new(rate: Rate) -> Self {
        Self {
            bytes_per_second: rate.0.bytes().max(1) as f64,
            free_at: Mutex::new(Instant::now()),
        }
    }
}

#[async_trait]
impl Gate for Throttle {
    async fn pass(&self, bytes: usize) {
        let mut free_at = self.free_at.lock().await;
        tokio::time::sleep_until((*free_at).into()).await;
        let earliest = Instant::now().checked_sub(LATENESS).unwrap_or(*free_at);
        *free_at = (*free_at).max(earliest) + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_spaced_by_the_size_of_those_before() {
        let gate = Throttle::new("1MB/s".parse().expect("rate"));
        let started = Instant::now();
        gate.pass(200_000).await;
        gate.pass(1).await;
        assert!(
            started.elapsed() >= Duration::from_millis(199),
            "{:?}",
            started.elapsed()
        );
    }

    #[tokio::test]
    async fn who_gives_up_has_spent_nothing() {
        let gate = Throttle::new("1MB/s".parse().expect("rate"));
        gate.pass(100_000).await;
        let gives_up = tokio::time::timeout(Duration::from_millis(1), gate.pass(3_600_000_000));
        assert!(gives_up.await.is_err(), "the first in the line keeps it closed");
        let next = tokio::time::timeout(Duration::from_mins(1), gate.pass(1));
        assert!(next.await.is_ok(), "an hour's worth was given back");
    }
}
