//! What a run says while it goes on and at its end, whichever command it is of.

use super::exit_code::ExitCode;
use super::output_args::{OutputArgs, OutputFormat};
use super::progress::Progress;
use super::{json, logging, printer};
use crate::event::{DeletionOutcome, Event, FileRecord, Outcome, UploadReason};
use crate::pipeline::Monitor;
use crate::report::{Ending, RunSummary};
use crate::units::{ByteSize, grouped, shown};

/// Says on the terminal, in the log and in JSON what happens.
pub(super) struct RunMonitor {
    progress: Progress,
    output: OutputArgs,
    /// What is done to a file, or to an object.
    deed: Deed,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Uploads,
    Restores,
}

impl RunMonitor {
    pub(super) fn new(deed: Deed, output: &OutputArgs) -> Self {
        Self {
            progress: Progress::new(output.progress, output.quiet),
            output: output.clone(),
            deed,
        }
    }

    /// The progress bar goes.
    pub(super) fn finish(&mut self) {
        self.progress.finish();
    }
}

/// The end of a run that nobody may be watching: below `headline` what is worth saying of it. Nothing when all is well and
/// nobody looks; after trouble also where more is to be found.
pub(super) fn print_end(summary: &RunSummary, headline: String, code: ExitCode, output: &OutputArgs) {
    let is_plan = summary.totals.planned > 0;
    let is_well = code == ExitCode::Done && !is_plan;
    if !(is_well && output.is_silent() && output.output == OutputFormat::Text) {
        print_summary(summary, &summary.text_below(headline), code, output);
    }
    if let Some(log_file) = output.log_file.as_ref().filter(|_| code != ExitCode::Done) {
        printer::note(&format!("the log is in {}", log_file.display()));
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
                    printer::failure(&format!("{}: {failure}", shown(&record.path)));
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
            logging::file(record, self.deed);
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
                Outcome::Done { .. } if self.deed == Deed::Restores => restored(record),
                Outcome::Done { .. } => uploaded(record),
                Outcome::Unchanged { .. } => format!("unchanged {}", shown(&record.path)),
                Outcome::Planned => return,
                Outcome::Skipped { reason } => format!("skipped {}: {reason}", shown(&record.path)),
                Outcome::Failed { failure } => format!("failed {}: {failure}", shown(&record.path)),
                Outcome::Cancelled => format!("not tried {}", shown(&record.path)),
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

fn restored(record: &FileRecord) -> String {
    let (path, key) = (shown(&record.path), shown(&record.key));
    format!("restored {path} from {key}, {}", ByteSize(record.size_bytes))
}

fn uploaded(record: &FileRecord) -> String {
    let (path, key, reason) = (shown(&record.path), shown(&record.key), record.reason);
    let size = ByteSize(record.size_bytes);
    match reason {
        UploadReason::Requested => format!("uploaded {path} as {key}, {size}"),
        reason => format!("uploaded {path} as {key}, {size} ({reason})"),
    }
}
