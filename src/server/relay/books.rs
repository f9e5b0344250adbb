//! What a relay counts, and the latency and rates that it achieved.
//!
//! Called by: `connection.rs` (counting), `mod.rs` (reading). Must not know: sockets.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rate is that of a request of at least so many bytes; smaller ones say nothing about it.
const BYTES_THAT_SHOW_A_RATE: u64 = 512 * 1024;
/// What takes longer counts as that.
const LONGEST_MICROS: u64 = 600_000_000;
/// The rate of all connections is that of the busiest stretch of this length.
const STRETCH: Duration = Duration::from_millis(100);

/// Counts since the start or the last reset. Times are seconds, rates bytes a second; zero where nothing was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct RelayCounters {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Most connections open at one time.
    pub connections_peak: u64,
    /// Connections that the server did not take.
    pub unreachable: u64,
    /// Answers: as many as requests, and one more for each `100 Continue`.
    pub answers: u64,
    /// Answers that were stalled.
    pub stalls: u64,
    /// Bytes from clients to the server, heads included.
    pub bytes_up: u64,
    /// Bytes from the server to clients.
    pub bytes_down: u64,
    /// Time that answers were held back as it came out: mean, without what was stalled.
    pub latency_mean: f64,
    /// The same, 95 of 100.
    pub latency_p95: f64,
    /// The same, most.
    pub latency_max: f64,
    /// Rate of single requests, median over those that are large enough to show one.
    pub rate_median: f64,
    /// Rate of all connections together, in the busiest tenth of a second.
    pub rate_peak: f64,
}

struct State {
    counted: RelayCounters,
    held_micros: Histogram<u64>,
    kib_a_second: Histogram<u64>,
    stretch: Option<(Instant, u64)>,
    /// Answers since the last stall.
    since_stall: u64,
}

/// The counters of one relay.
pub(super) struct Books(Mutex<State>);

impl std::fmt::Debug for Books {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.counters().fmt(formatter)
    }
}

impl Default for Books {
    fn default() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("bounds that histograms allow");
        Self(Mutex::new(State {
            counted: RelayCounters::default(),
            held_micros: histogram(),
            kib_a_second: histogram(),
            stretch: None,
            since_stall: 0,
        }))
    }
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn opened(&self) {
        let counted = &mut self.lock().counted;
        counted.connections += 1;
        counted.connections_open += 1;
        counted.connections_peak = counted.connections_peak.max(counted.connections_open);
    }

    pub(super) fn closed(&self) {
        self.lock().counted.connections_open -= 1;
    }

    pub(super) fn unreachable(&self) {
        self.lock().counted.unreachable += 1;
    }

    pub(super) fn sent_up(&self, bytes: u64, now: Instant) {
        let mut state = self.lock();
        state.counted.bytes_up += bytes;
        let (began, so_far) = state.stretch.get_or_insert((now, 0));
        *so_far += bytes;
        let elapsed = now - *began;
        if elapsed >= STRETCH {
            let rate = *so_far as f64 / elapsed.as_secs_f64();
            state.stretch = Some((now, 0));
            state.counted.rate_peak = state.counted.rate_peak.max(rate);
        }
    }

    pub(super) fn sent_down(&self, bytes: u64) {
        self.lock().counted.bytes_down += bytes;
    }

    /// Counts an answer; true when it is the one of `every` that is to be stalled.
    pub(super) fn answer(&self, every: Option<u64>) -> bool {
        let mut state = self.lock();
        state.counted.answers += 1;
        state.since_stall += 1;
        let stalls = every.is_some_and(|every| state.since_stall >= every);
        if stalls {
            state.since_stall = 0;
            state.counted.stalls += 1;
        }
        stalls
    }

    /// An answer was held back for so long.
    pub(super) fn held(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(LONGEST_MICROS).max(1);
        self.lock().held_micros.saturating_record(micros);
    }

    /// The bytes of one request came in so long.
    pub(super) fn request(&self, bytes: u64, time: Duration) {
        if bytes >= BYTES_THAT_SHOW_A_RATE && !time.is_zero() {
            let rate = bytes as f64 / time.as_secs_f64();
            self.lock().kib_a_second.saturating_record((rate / 1024.0) as u64);
        }
    }

    pub(super) fn counters(&self) -> RelayCounters {
        let state = self.lock();
        let seconds = |micros: u64| micros as f64 / 1e6;
        let held = &state.held_micros;
        let mut counted = state.counted;
        if !held.is_empty() {
            counted.latency_mean = held.mean() / 1e6;
            counted.latency_p95 = seconds(held.value_at_quantile(0.95));
            counted.latency_max = seconds(held.max());
        }
        counted.rate_median = state.kib_a_second.value_at_quantile(0.5) as f64 * 1024.0;
        counted
    }

    pub(super) fn reset(&self) {
        let mut state = self.lock();
        let open = state.counted.connections_open;
        state.counted = RelayCounters {
            connections_open: open,
            connections_peak: open,
            ..RelayCounters::default()
        };
        state.held_micros.reset();
        state.kib_a_second.reset();
        state.stretch = None;
        state.since_stall = 0;
    }
}
