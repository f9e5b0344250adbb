//! How many requests may be in flight, as the loops of one run see it: fixed, or adapted to what is measured.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::window::{Sample, Window};
use crate::event::DETAIL;
use crate::store::Pace;

/// An hour; what takes longer counts as that.
const LONGEST_MICROS: u64 = 3_600_000_000;
/// Changes of the window that a report keeps.
const KEPT_CHANGES: usize = 1_000;

/// The window changed to `size` at this moment of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowChange {
    /// Seconds after the first request.
    pub seconds: f64,
    /// Requests that may be in flight from then on.
    pub size: usize,
}

struct Measured {
    requests: u64,
    bytes: u64,
    micros: Histogram<u64>,
    since: Instant,
}

/// See the module. Shared by all loops.
pub(super) struct Gauge {
    size: watch::Receiver<usize>,
    measured: Mutex<Measured>,
    /// Workers that have a request in flight or wait to try one again.
    working: AtomicUsize,
    /// A worker had to wait for work: the window was not used to the full.
    starved: AtomicBool,
}

/// Changes the window; the loops end when it is dropped and there is no work left.
pub(super) struct Controller {
    window: Option<Window>,
    size: watch::Sender<usize>,
    course: Vec<WindowChange>,
}

/// What the first task of a run tells of the others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FirstTask {
    pub(super) bytes: u64,
    /// It comes down.
    pub(super) is_fetched: bool,
}

/// A gauge and its controller. A window that adapts begins with what suits the `first_task` and is at most `most`;
/// without it, the window is `most`.
pub(super) fn gauge(most: usize, first_task: Option<FirstTask>) -> (Gauge, Controller) {
    let window = first_task.map(|task| {
        let window = Window::new(most, task.bytes);
        if task.is_fetched {
            window.for_fetches()
        } else {
            window
        }
    });
    let (sender, receiver) = watch::channel(window.as_ref().map_or(most, Window::size));
    let measured = Measured {
        requests: 0,
        bytes: 0,
        micros: Histogram::new_with_bounds(1, LONGEST_MICROS, 2).expect("bounds that histograms allow"),
        since: Instant::now(),
    };
    let gauge = Gauge {
        size: receiver,
        measured: Mutex::new(measured),
        working: AtomicUsize::new(0),
        starved: AtomicBool::new(false),
    };
    let controller = Controller {
        window,
        size: sender,
        course: Vec::new(),
    };
    (gauge, controller)
}

impl Gauge {
    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that may be in flight now, over all loops.
    pub(super) fn size(&self) -> usize {
        *self.size.borrow()
    }

    /// A receiver of sizes for one loop.
    pub(super) fn changes(&self) -> watch::Receiver<usize> {
        self.size.clone()
    }

    /// One task of `bytes` is done; `latency` is the time it took, if that says something about the server.
    pub(super) fn record(&self, latency: Option<Duration>, bytes: u64) {
        let mut measured = self.measured();
        measured.requests += 1;
        measured.bytes += bytes;
        if let Some(latency) = latency {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
            measured.micros.saturating_record(micros);
        }
    }

    /// A worker begins.
    pub(super) fn joined(&self) {
        self.working.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker has ended.
    pub(super) fn left(&self) {
        self.working.fetch_sub(1, Ordering::Relaxed);
    }

    /// A worker waits for work.
    pub(super) fn starve(&self) {
        self.starved.store(true, Ordering::Relaxed);
    }

    /// What was measured so far, and whether the window was used to the full.
    fn sample(&self, refused: u64) -> (Sample, bool) {
        let measured = self.measured();
        let quantile = |q| Duration::from_micros(measured.micros.value_at_quantile(q));
        let sample = Sample {
            elapsed: measured.since.elapsed(),
            requests: measured.requests,
            bytes: measured.bytes,
            p50: quantile(0.5),
            p99: quantile(0.99),
            refused,
            in_flight: self.working.load(Ordering::Relaxed),
        };
        (sample, !self.starved.load(Ordering::Relaxed))
    }

    fn begin_anew(&self) {
        let mut measured = self.measured();
        measured.requests = 0;
        measured.bytes = 0;
        measured.micros.reset();
        measured.since = Instant::now();
        self.starved.store(false, Ordering::Relaxed);
    }
}

impl Controller {
    /// Adapts the window for as long as it is polled. Never returns.
    pub(super) async fn adapt(&mut self, gauge: &Gauge, pace: &Pace) {
        let Some(mut window) = self.window.take() else {
            return std::future::pending().await;
        };
        let began = Instant::now();
        self.note(began, window.size());
        let mut refused_before = pace.refusals();
        loop {
            tokio::time::sleep(window.interval()).await;
            let refused = pace.refusals();
            let (sample, was_full) = gauge.sample(refused - refused_before);
            if !window.is_enough(&sample) {
                continue;
            }
            let before = window.size();
            if was_full || sample.refused > 0 {
                window.observe(&sample);
            }
            refused_before = refused;
            gauge.begin_anew();
            if window.size() != before {
                tracing::info!(target: DETAIL, before, after = window.size(), ?sample, "the window changes");
                self.note(began, window.size());
                let _ = self.size.send(window.size());
            }
        }
    }

    fn note(&mut self, began: Instant, size: usize) {
        if self.course.len() < KEPT_CHANGES {
            let seconds = began.elapsed().as_secs_f64();
            self.course.push(WindowChange { seconds, size });
        }
    }

    /// The window over time; empty when it was fixed.
    pub(super) fn into_course(self) -> Vec<WindowChange> {
        self.course
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let (gauge, _controller) = gauge(64, Some(FirstTask::default()));
        for millis in [10, 20, 30] {
            gauge.record(Some(Duration::from_millis(millis)), 1);
        }
        let (sample, was_full) = gauge.sample(0);
        assert!(was_full);
        assert_eq!(sample.requests, 3);
        let near = |time: Duration, millis: f64| (time.as_secs_f64() * 1e3 / millis - 1.0).abs() < 0.02;
        assert!(near(sample.p50, 20.0) && near(sample.p99, 30.0), "{sample:?}");
        gauge.begin_anew();
        assert_eq!(gauge.sample(0).0.requests, 0);
    }
}
