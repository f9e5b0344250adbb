//! The one place where events become a summary.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::{KEPT_ENCODED, KEPT_FAILURES, ServiceTime, Totals};
use crate::event::{Event, FileRecord, Outcome, SkipReason};

/// Folds events. Memory does not grow with the number of files beyond the kept failures.
#[derive(Debug)]
pub struct Collector {
    pub(crate) totals: Totals,
    pub(crate) skipped_by_reason: BTreeMap<SkipReason, u64>,
    pub(crate) failures: Vec<FileRecord>,
    pub(crate) encoded: Vec<(String, String)>,
    service_micros: Histogram<u64>,
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            totals: Totals::default(),
            skipped_by_reason: BTreeMap::new(),
            failures: Vec::new(),
            encoded: Vec::new(),
            // Three significant digits, growing as needed: HdrHistogram's usual precision.
            service_micros: Histogram::new(3).expect("three digits are allowed"),
        }
    }
}

impl Collector {
    /// Takes one event.
    pub fn fold(&mut self, event: &Event) {
        match event {
            Event::Discovered { size_bytes } => {
                self.totals.discovered += 1;
                self.totals.bytes_discovered += size_bytes;
            }
            Event::Retry(_) => self.totals.retries += 1,
            Event::File(record) => self.file(record),
            Event::DiscoveryDone | Event::Sent { .. } | Event::Deletion(_) => {}
        }
    }

    fn file(&mut self, record: &FileRecord) {
        // What was expected of files that nobody had looked at gives way to what they had.
        let others = self.totals.bytes_discovered.saturating_sub(record.expected_bytes);
        self.totals.bytes_discovered = others + record.size_bytes;
        if record.encoded {
            self.totals.encoded += 1;
            if self.encoded.len() < KEPT_ENCODED {
                self.encoded.push((record.path.clone(), record.key.clone()));
            }
        }
        match &record.outcome {
            Outcome::Done { .. } => {
                self.totals.done += 1;
                self.totals.batched += u64::from(record.batched);
                self.totals.bytes_done += record.size_bytes;
                let micros = u64::try_from(record.elapsed.as_micros()).unwrap_or(u64::MAX);
                // Only fails for values above the histogram's range, which grows up to 2^63.
                let _ = self.service_micros.record(micros.max(1));
            }
            Outcome::Unchanged { .. } => self.totals.unchanged += 1,
            Outcome::Planned => {
                self.totals.planned += 1;
                self.totals.bytes_planned += record.size_bytes;
            }
            Outcome::Skipped { reason } => {
                self.totals.skipped += 1;
                *self.skipped_by_reason.entry(*reason).or_default() += 1;
            }
            Outcome::Failed { .. } => {
                self.totals.failed += 1;
                if self.failures.len() < KEPT_FAILURES {
                    self.failures.push(record.clone());
                }
            }
            Outcome::Cancelled => self.totals.cancelled += 1,
        }
    }

    /// The percentiles so far.
    pub fn service_time(&self) -> ServiceTime {
        let at = |quantile: f64| Duration::from_micros(self.service_micros.value_at_quantile(quantile));
        if self.service_micros.is_empty() {
            return ServiceTime::default();
        }
        ServiceTime {
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            max: Duration::from_micros(self.service_micros.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{UploadReason, WorkerId};

    fn record(outcome: Outcome, millis: u64) -> Event {
        Event::File(Box::new(FileRecord {
            path: "p".into(),
            key: "k".into(),
            encoded: false,
            reason: UploadReason::Requested,
            identity: None,
            size_bytes: 12,
            expected_bytes: 10,
            parts: 0,
            attempts: 1,
            found: None,
            begun: None,
            elapsed: Duration::from_millis(millis),
            worker: WorkerId::default(),
            chunk: None,
            batched: false,
            outcome,
        }))
    }

    #[test]
    fn counts_add_up_and_percentiles_are_of_what_is_done() {
        let mut collector = Collector::default();
        let done = Outcome::Done {
            etag: "e".into(),
            checksum: None,
        };
        for millis in 1..=100 {
            collector.fold(&Event::Discovered { size_bytes: 10 });
            collector.fold(&record(done.clone(), millis));
        }
        collector.fold(&Event::Discovered { size_bytes: 10 });
        collector.fold(&record(Outcome::Cancelled, 100_000));
        let totals = collector.totals;
        assert_eq!(
            (
                totals.discovered,
                totals.done,
                totals.cancelled,
                totals.bytes_done,
                totals.bytes_discovered,
            ),
            (101, 100, 1, 1_200, 1_212)
        );
        let time = collector.service_time();
        assert_eq!(time.p50.as_millis(), 50);
        assert_eq!(time.p99.as_millis(), 99);
        assert!(time.max.as_millis() <= 101);
    }
}
