//! What the server counts, and the log of its last requests.
//!
//! Called by: `gateway.rs` and `http.rs` (counting), `handle.rs` (reading). Must not know: the store.

use super::classify::Target;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most entries the request log keeps; older ones are dropped.
const LOG_LIMIT: usize = 200_000;

/// Counts since the start or the last reset.
///
/// A reset sets everything to zero except the two "now" values, and the peaks start from those.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Connections accepted in total.
    pub connections_accepted: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Most connections open at one time.
    pub connections_peak: u64,
    /// Requests by S3 operation name, such as `PutObject`; `Unknown` for anything else.
    pub requests: BTreeMap<String, u64>,
    /// Requests received whose answer has not begun.
    pub requests_in_flight: u64,
    /// Most requests in flight at one time.
    pub requests_in_flight_peak: u64,
    /// Most `PutObject` and `UploadPart` requests in flight at one time, taken together.
    pub uploads_in_flight_peak: u64,
    /// Bytes of request bodies received, as they came over the wire.
    pub body_bytes_received: u64,
    /// Faults injected by the fault plan.
    pub faults: u64,
}

/// One request as it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestLogEntry {
    /// Number of the connection, counting from 1.
    pub connection: u64,
    /// S3 operation name.
    pub kind: &'static str,
    /// Bucket named by the path.
    pub bucket: Option<String>,
    /// Key named by the path, decoded.
    pub key: Option<String>,
    /// Part number named by the query.
    pub part_number: Option<u32>,
    /// HTTP status; `None` when the connection ended without an answer.
    pub status: Option<u16>,
}

#[derive(Debug, Default)]
struct Inner {
    counters: Counters,
    uploads_in_flight: u64,
    log: VecDeque<RequestLogEntry>,
    next_connection: u64,
}

/// The counters of one server, shared by its connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Arc<Mutex<Inner>>);

/// Counts a connection as open while it exists.
#[derive(Debug)]
pub(super) struct OpenConnection {
    meter: Meter,
    pub(super) number: u64,
}

/// Counts a request as in flight while it exists, and logs it at the end.
#[derive(Debug)]
pub(super) struct RequestInFlight {
    meter: Meter,
    entry: Option<RequestLogEntry>,
    upload: bool,
}

impl Meter {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the counts.
    pub(super) fn counters(&self) -> Counters {
        self.lock().counters.clone()
    }

    /// A copy of the log, oldest first.
    pub(super) fn log(&self) -> Vec<RequestLogEntry> {
        self.lock().log.iter().cloned().collect()
    }

    /// Starts counting anew and empties the log.
    pub(super) fn reset(&self) {
        let mut inner = self.lock();
        let (open, in_flight) = (inner.counters.connections_open, inner.counters.requests_in_flight);
        inner.counters = Counters {
            connections_open: open,
            connections_peak: open,
            requests_in_flight: in_flight,
            requests_in_flight_peak: in_flight,
            uploads_in_flight_peak: inner.uploads_in_flight,
            ..Counters::default()
        };
        inner.log.clear();
    }

    /// Counts a new connection.
    pub(super) fn connection(&self) -> OpenConnection {
        let mut inner = self.lock();
        inner.next_connection += 1;
        let number = inner.next_connection;
        let counters = &mut inner.counters;
        counters.connections_accepted += 1;
        counters.connections_open += 1;
        counters.connections_peak = counters.connections_peak.max(counters.connections_open);
        OpenConnection {
            meter: self.clone(),
            number,
        }
    }

    /// Counts a new request.
    pub(super) fn request(&self, connection: u64, target: &Target) -> RequestInFlight {
        let upload = matches!(target.kind, "PutObject" | "UploadPart");
        let mut inner = self.lock();
        inner.uploads_in_flight += u64::from(upload);
        let uploads = inner.uploads_in_flight;
        let counters = &mut inner.counters;
        *counters.requests.entry(target.kind.to_owned()).or_default() += 1;
        counters.requests_in_flight += 1;
        counters.requests_in_flight_peak = counters.requests_in_flight_peak.max(counters.requests_in_flight);
        counters.uploads_in_flight_peak = counters.uploads_in_flight_peak.max(uploads);
        let entry = RequestLogEntry {
            connection,
            kind: target.kind,
            bucket: target.bucket.clone(),
            key: target.key.clone(),
            part_number: target.part_number,
            status: None,
        };
        RequestInFlight {
            meter: self.clone(),
            entry: Some(entry),
            upload,
        }
    }

    /// Counts bytes of a request body.
    pub(super) fn received(&self, bytes: u64) {
        self.lock().counters.body_bytes_received += bytes;
    }

    /// Counts an injected fault.
    pub(super) fn fault(&self) {
        self.lock().counters.faults += 1;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut inner = self.meter.lock();
        inner.counters.connections_open = inner.counters.connections_open.saturating_sub(1);
    }
}

impl RequestInFlight {
    /// Notes the status of the answer; the request is over when `self` is dropped.
    pub(super) fn answered(&mut self, status: http::StatusCode) {
        if let Some(entry) = &mut self.entry {
            entry.status = Some(status.as_u16());
        }
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        let mut inner = self.meter.lock();
        inner.counters.requests_in_flight = inner.counters.requests_in_flight.saturating_sub(1);
        inner.uploads_in_flight = inner.uploads_in_flight.saturating_sub(u64::from(self.upload));
        if inner.log.len() == LOG_LIMIT {
            inner.log.pop_front();
        }
        inner.log.extend(self.entry.take());
    }
}
