//! What a run says while it goes on and at its end, whichever command it is of.

use super::exit_code::ExitCode;
use super::output_args::{OutputArgs, OutputFormat};
use super::progress::Progress;
use super::{json, logging, printer};
use crate::event::{DeletionOutcome, Event, FileRecord, Outcome, UploadReason};
use crate::pipeline::Monitor;
use crate::report::{Ending, RunSummary};
use crate::units::{ByteSize, grouped};

/// Says on the terminal, in the log and in JSON what happens.
pub(super) struct RunMonitor {
    progress: Progress,
    output: OutputArgs,
}

impl RunMonitor {
    pub(super) fn new(output: &OutputArgs) -> Self {
        Self {
            progress: Progress::new(output.progress, output.quiet),
            output: output.clone(),
        }
    }

    /// The progress bar goes.
    pub(super) fn finish(&mut self) {
        self.progress.finish();
    }
}

/// The end of a run: `text` for people, or the whole summary in JSON.
pub(super) fn print_summary(summary: &RunSummary, text: &str, code: ExitCode, output: &OutputArgs) {
    if let Ending::Fatal { cause } = &summary.ending {
        printer::failure(&cause.message);
    }
    match (output.output, output.quiet) {
        (OutputFormat::Json, quiet) => {
            json::summary(summary, code);
            if !quiet {
                printer::note(text);
            }
        }
        (OutputFormat::Text, false) => printer::data(text),
        (OutputFormat::Text, true) => {
            for record in &summary.failures {
                if let Outcome::Failed { failure } = &record.outcome {
                    printer::failure(&format!("{}: {failure}", record.path));
                }
            }
            let untold = summary
                .totals
                .failed
                .saturating_sub(summary.failures.len() as u64);
            if untold > 0 {
                printer::failure(&format!(
                    "{} more files failed; --output json has all",
                    grouped(untold)
                ));
            }
        }
    }
}

impl Monitor for RunMonitor {
    fn notify(&mut self, event: &Event) {
        if self.output.output == OutputFormat::Json {
            json::event(event);
        }
        self.progress.notify(event);
        if let Event::File(record) = event {
            logging::file(record);
        }
        if self.output.verbose > 0 {
            self.tell(event);
        }
    }
}

impl RunMonitor {
    /// `-v`: what happens to each file; `-vv`: each retry too.
    fn tell(&self, event: &Event) {
        let line = match event {
            Event::File(record) => match &record.outcome {
                Outcome::Done { .. } => uploaded(record),
                Outcome::Unchanged { .. } => format!("unchanged {}", record.path),
                Outcome::Planned => return,
                Outcome::Skipped { reason } => format!("skipped {}: {reason}", record.path),
                Outcome::Failed { failure } => format!("failed {}: {failure}", record.path),
                Outcome::Cancelled => format!("not tried {}", record.path),
            },
            Event::Deletion(record) => match &record.outcome {
                DeletionOutcome::Done => format!("deleted {}, {}", record.key, ByteSize(record.size_bytes)),
                DeletionOutcome::Planned => return,
                DeletionOutcome::Failed { failure } => format!("not deleted {}: {failure}", record.key),
            },
            Event::Retry(notice) if self.output.verbose > 1 => format!(
                "retry {} of {} {} in {:.1} s: {}",
                notice.attempt,
                notice.operation,
                notice.place,
                notice.delay.as_secs_f64(),
                notice.error
            ),
            _ => return,
        };
        self.progress.aside(|| printer::note(&line));
    }
}

fn uploaded(record: &FileRecord) -> String {
    let FileRecord {
        path, key, reason, ..
    } = record;
    let size = ByteSize(record.size_bytes);
    match reason {
        UploadReason::Requested => format!("uploaded {path} as {key}, {size}"),
        reason => format!("uploaded {path} as {key}, {size} ({reason})"),
    }
}
