//! What the null sink counts.
//!
//! Called by: `connection.rs` (counting), `mod.rs` and `answer.rs` (reading). Must not know: HTTP.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts since the start or the last reset.
///
/// A reset sets everything to zero except the two "now" values, and the peaks start from those.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiscardCounters {
    /// Connections accepted in total.
    pub connections_accepted: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Most connections open at one time.
    pub connections_peak: u64,
    /// Requests by S3 operation name, such as `PutObject`, those refused included.
    pub requests: BTreeMap<&'static str, u64>,
    /// Requests being served: their head has been read, their answer is not yet written.
    pub requests_in_flight: u64,
    /// Most requests being served at one time.
    pub requests_in_flight_peak: u64,
    /// Requests answered 503 because too many others were being served.
    pub requests_refused: u64,
    /// Bytes of request bodies received, as they came over the wire.
    pub body_bytes_received: u64,
}

/// The counters of one server, shared by its threads.
#[derive(Debug, Default)]
pub(super) struct Books(Mutex<DiscardCounters>);

/// Counts a connection as open while it exists.
pub(super) struct OpenConnection(Arc<Books>);

/// Counts a request as being served while it exists.
pub(super) struct InFlight(Arc<Books>);

impl Books {
    fn lock(&self) -> MutexGuard<'_, DiscardCounters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the counts.
    pub(super) fn counters(&self) -> DiscardCounters {
        self.lock().clone()
    }

    /// Starts counting anew.
    pub(super) fn reset(&self) {
        let mut counters = self.lock();
        let (open, in_flight) = (counters.connections_open, counters.requests_in_flight);
        *counters = DiscardCounters {
            connections_open: open,
            connections_peak: open,
            requests_in_flight: in_flight,
            requests_in_flight_peak: in_flight,
            ..DiscardCounters::default()
        };
    }

    /// Counts a new connection.
    pub(super) fn connection(self: &Arc<Self>) -> OpenConnection {
        let mut counters = self.lock();
        counters.connections_accepted += 1;
        counters.connections_open += 1;
        counters.connections_peak = counters.connections_peak.max(counters.connections_open);
        OpenConnection(Arc::clone(self))
    }

    /// Counts a new request; `None` when `limit` others are being served.
    pub(super) fn request(self: &Arc<Self>, operation: &'static str, limit: Option<u64>) -> Option<InFlight> {
        let mut counters = self.lock();
        *counters.requests.entry(operation).or_default() += 1;
        if limit.is_some_and(|limit| counters.requests_in_flight >= limit) {
            counters.requests_refused += 1;
            return None;
        }
        counters.requests_in_flight += 1;
        counters.requests_in_flight_peak = counters.requests_in_flight_peak.max(counters.requests_in_flight);
        Some(InFlight(Arc::clone(self)))
    }

    /// Counts bytes of a request body.
    pub(super) fn received(&self, bytes: u64) {
        self.lock().body_bytes_received += bytes;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut counters = self.0.lock();
        counters.connections_open = counters.connections_open.saturating_sub(1);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut counters = self.0.lock();
        counters.requests_in_flight = counters.requests_in_flight.saturating_sub(1);
    }
}
