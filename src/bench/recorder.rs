//! What is recorded while a job runs: distributions, the first and the longest object, how many were done when.

use std::io::Write;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::event::{Event, FileRecord, Outcome};
use crate::pipeline::Monitor;
use crate::timing::{Distribution, histogram, micros};

/// Length of a step of the throughput.
const STEP: Duration = Duration::from_millis(100);
/// Steps that are kept: ten minutes.
const MOST_STEPS: usize = 6_000;

/// What was recorded of one job. Times are seconds after the first object was taken up, unless they are lengths.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// From taking a file's first task to its outcome, of files that are done.
    pub service: Distribution,
    /// From finding a file to taking its first task.
    pub queue_wait: Distribution,
    /// The longest service time, also of those that are not done.
    pub longest_service: f64,
    /// When the first object was done.
    pub first_done: f64,
    /// When the walk was over; none when nobody said so.
    pub walk_over: Option<f64>,
    /// Objects done in each tenth of a second.
    pub throughput: Vec<u32>,
}

/// Hears the events of a job.
pub struct Recorder<'a, W: Write> {
    /// When the job began; the first object that is taken up moves it there.
    began: Instant,
    first_begun: Option<Instant>,
    service: Histogram<u64>,
    queue_wait: Histogram<u64>,
    longest_service: Duration,
    first_done: Option<Instant>,
    walk_over: Option<Instant>,
    throughput: Vec<u32>,
    csv: Option<&'a mut W>,
    csv_fields: &'a str,
    job: usize,
}

impl<'a, W: Write> Recorder<'a, W> {
    /// A recorder of the job with that number; each object becomes a line of `csv` that begins with `csv_fields`.
    pub fn new(began: Instant, csv: Option<&'a mut W>, csv_fields: &'a str, job: usize) -> Self {
        Self {
            began,
            first_begun: None,
            service: histogram(),
            queue_wait: histogram(),
            longest_service: Duration::ZERO,
            first_done: None,
            walk_over: None,
            throughput: Vec::new(),
            csv,
            csv_fields,
            job,
        }
    }

    /// What was recorded.
    pub fn finish(self) -> Recorded {
        let zero = self.first_begun.unwrap_or(self.began);
        let after = |instant: Instant| instant.saturating_duration_since(zero).as_secs_f64();
        Recorded {
            service: (&self.service).into(),
            queue_wait: (&self.queue_wait).into(),
            longest_service: self.longest_service.as_secs_f64(),
            first_done: self.first_done.map_or(0.0, after),
            walk_over: self.walk_over.map(after),
            throughput: self.throughput,
        }
    }

    fn file(&mut self, record: &FileRecord) {
        let Some(begun) = record.begun else { return };
        let done = begun + record.elapsed;
        self.first_begun = Some(self.first_begun.map_or(begun, |first| first.min(begun)));
        self.longest_service = self.longest_service.max(record.elapsed);
        if !matches!(record.outcome, Outcome::Done { .. }) {
            return;
        }
        self.service.saturating_record(micros(record.elapsed));
        if let Some(found) = record.found {
            self.queue_wait
                .saturating_record(micros(begun.saturating_duration_since(found)));
        }
        self.first_done = Some(self.first_done.map_or(done, |first| first.min(done)));
        let since = done.saturating_duration_since(self.first_begun.unwrap_or(begun));
        let step = (since.as_millis() / STEP.as_millis()) as usize;
        if step < MOST_STEPS {
            self.throughput.resize(self.throughput.len().max(step + 1), 0);
            self.throughput[step] += 1;
        }
    }

    fn csv(&mut self, record: &FileRecord) {
        let Some(csv) = &mut self.csv else { return };
        let at = |instant: Option<Instant>| {
            instant.map_or(String::new(), |instant| {
                format!(
                    "{:.6}",
                    instant.saturating_duration_since(self.began).as_secs_f64()
                )
            })
        };
        let done = record.begun.map(|begun| begun + record.elapsed);
        let outcome = match &record.outcome {
            Outcome::Done { .. } => "done",
            Outcome::Unchanged { .. } => "unchanged",
            Outcome::Planned => "planned",
            Outcome::Skipped { .. } => "skipped",
            Outcome::Failed { .. } => "failed",
            Outcome::Cancelled => "cancelled",
        };
        // What cannot be written is missed by nobody who waits: the file is looked at when it is put together.
        let _ = writeln!(
            csv,
            "{},{},{},{},{},{},{},{},{},{},{outcome}",
            self.csv_fields,
            self.job,
            quoted(&record.key),
            record.size_bytes,
            record.worker.worker,
            record.worker.pid,
            record.parts,
            at(record.found),
            at(record.begun),
            at(done),
        );
    }
}

/// Names of the fields that each object adds behind those of its arm.
pub const CSV_HEADER: &str = "job,key,size_bytes,worker,pid,parts,enqueued_s,dequeued_s,done_s,outcome";

/// A CSV field (RFC 4180).
pub fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

impl<W: Write + Send> Monitor for Recorder<'_, W> {
    fn notify(&mut self, event: &Event) {
        match event {
            Event::File(record) => {
                self.file(record);
                self.csv(record);
            }
            Event::DiscoveryDone => self.walk_over = Some(Instant::now()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_fields_are_quoted_where_they_must_be() {
        assert_eq!(quoted("plain/key"), "plain/key");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"x\""), "\"say \"\"x\"\"\"");
    }
}
