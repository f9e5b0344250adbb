//! `s3haul verify`: what is stored beside what a directory is, and every difference.

use std::ffi::OsString;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::args::{RunArgs, StoreArgs};
use super::exit_code::ExitCode;
use super::filter_args::FilterArgs;
use super::metrics::Figures;
use super::output_args::{OutputArgs, OutputFormat};
use super::progress::Progress;
use super::read_args::ReadArgs;
use super::run_output::Deed;
use super::unattended::{Came, UnattendedArgs};
use super::{embedded, json as lines, logging, printer, signals};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, FileRecord, Outcome, UploadReason};
use crate::mirror::{Verification, VerifyRequest, verify};
use crate::pipeline::Monitor;
use crate::report::Ending;
use crate::units::{ByteSize, grouped, spoken};

/// Compare a directory with what is stored, and change nothing
///
/// Each file is read and compared with the checksum of its object, or with the MD5 that is its ETag; an object that
/// carries neither is read, too. Prints a line for each file that is missing, different or unreadable, and for each object
/// that is extra.
#[derive(Args, Clone, Debug)]
pub(super) struct VerifyArgs {
    /// The directory, and what is stored of it
    #[arg(value_name = "SRC s3://BUCKET[/PREFIX/]", required = true, num_args = 1..=2)]
    places: Vec<OsString>,

    /// Read the objects, all or so many percent by chance, and compare them byte by byte
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, default_missing_value = "100")]
    read: Option<OsString>,

    #[command(flatten)]
    filter: FilterArgs,

    /// Follow symbolic links found in directories; loops are found
    #[arg(long, help_heading = "Selection", env = "S3HAUL_FOLLOW_SYMLINKS")]
    follow_symlinks: bool,

    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    reading: ReadArgs,
    #[command(flatten)]
    unattended: UnattendedArgs,
}

/// A share as people type it: `5`, `5%`, `12.5%`.
fn percent(text: &str) -> Option<f64> {
    let number: f64 = text.trim_end_matches('%').parse().ok()?;
    (0.0..=100.0).contains(&number).then_some(number)
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message).with_hint("s3haul verify SRC s3://BUCKET/PREFIX/ --read 5%")
}

impl VerifyArgs {
    fn request(&self) -> Result<VerifyRequest> {
        // What follows --read may be the source.
        let (share, source) = match &self.read {
            None => (0.0, None),
            Some(text) => percent(&text.to_string_lossy()).map_or((100.0, Some(text)), |share| (share, None)),
        };
        let places: Vec<&OsString> = source.into_iter().chain(&self.places).collect();
        let [source, target] = places[..] else {
            return Err(usage(match &self.read {
                Some(text) if places.len() > 2 => {
                    format!("'{}' is no share; write it as 5 or as 5%", text.display())
                }
                _ => "a directory and what is stored of it are needed".to_owned(),
            }));
        };
        Ok(VerifyRequest {
            source: source.into(),
            target: target
                .to_string_lossy()
                .parse()
                .map_err(|error| usage("the second place cannot be used").with_source(error))?,
            filter: Arc::new(self.filter.filter()?),
            config: Config {
                store: self.run.with_engine(self.store.settings_without_server()),
                transfer: self.reading.settings(self.follow_symlinks),
                run: self.run.settings(),
            },
            read_percent: share,
            deadline: None,
        })
    }
}

/// Differences by kind.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    missing: u64,
    different: u64,
    unreadable: u64,
}

/// Prints each difference as it is found.
struct Differences<'a> {
    progress: Progress,
    output: &'a OutputArgs,
    found: Found,
}

impl Differences<'_> {
    fn print(&self, kind: &str, what: &str, note: &str, value: serde_json::Value) {
        match self.output.output {
            OutputFormat::Text => self
                .progress
                .aside(|| printer::data(&format!("{kind:<10}  {what}{note}"))),
            OutputFormat::Json => {
                let mut value = value;
                value["kind"] = kind.into();
                lines::line("difference", value);
            }
        }
    }

    fn file(&mut self, record: &FileRecord) {
        let FileRecord { path, key, .. } = record;
        match &record.outcome {
            Outcome::Planned if record.reason == UploadReason::New => {
                self.found.missing += 1;
                self.print("missing", key, "", json!({ "key": key, "path": path }));
            }
            Outcome::Planned => {
                self.found.different += 1;
                let note = format!(" ({})", record.reason);
                let value = json!({ "key": key, "path": path, "reason": record.reason });
                self.print("different", key, &note, value);
            }
            Outcome::Failed { failure } => {
                self.found.unreadable += 1;
                let note = format!(": {failure}");
                let value = json!({ "key": key, "path": path, "failure": failure });
                self.print("unreadable", path, &note, value);
            }
            Outcome::Unchanged { .. } if self.output.verbose > 0 => {
                self.progress.aside(|| printer::note(&format!("same {path}")));
            }
            Outcome::Unchanged { .. }
            | Outcome::Done { .. }
            | Outcome::Skipped { .. }
            | Outcome::Cancelled => {}
        }
    }
}

impl Monitor for Differences<'_> {
    fn notify(&mut self, event: &Event) {
        self.progress.notify(event);
        match event {
            Event::File(record) => {
                logging::file(record, Deed::Uploads);
                self.file(record);
            }
            Event::Deletion(record) => {
                let value = json!({ "key": record.key, "size_bytes": record.size_bytes });
                self.print("extra", &record.key, "", value);
            }
            Event::Discovered { .. } | Event::DiscoveryDone | Event::Sent { .. } | Event::Retry(_) => {}
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &VerifyArgs, output: &OutputArgs) -> Result<ExitCode> {
    let request = args.request()?;
    let job = request.target.to_string();
    args.unattended.attend(&job, |deadline| {
        verify_all(args, VerifyRequest { deadline, ..request }, output)
    })
}

fn verify_all(args: &VerifyArgs, mut request: VerifyRequest, output: &OutputArgs) -> Result<Came> {
    request.config.validate()?;
    let (store, _server) = embedded::settings(&args.store)?;
    request.config.store = args.run.with_engine(store);
    let cancel = signals::cancel_on_signals();
    let mut differences = Differences {
        progress: Progress::new(output.progress, output.quiet),
        output,
        found: Found::default(),
    };
    let outcome = verify(&request, &cancel, &mut differences);
    differences.progress.finish();
    let (found, verification) = (differences.found, outcome?);
    let code = code(&verification, found);
    let headline = headline(&verification, found);
    tell(&verification, found, (code, &headline), output);
    let run = &verification.run;
    let results = vec![
        ("same", run.totals.unchanged, 0),
        ("missing", found.missing, 0),
        ("different", found.different, 0),
        ("unreadable", found.unreadable, 0),
        ("extra", verification.extra, 0),
        ("not-tried", run.totals.cancelled, 0),
    ];
    let retries = run.totals.retries;
    Ok(Came {
        code,
        figures: Figures { results, retries },
        headline,
        stamp: None,
    })
}

fn code(verification: &Verification, found: Found) -> ExitCode {
    let Verification { run, tally, .. } = verification;
    match &run.ending {
        Ending::Finished if verification.is_complete => {}
        Ending::Finished => return ExitCode::Failed,
        _ => return ExitCode::of_summary(run),
    }
    if tally.stored == 0 {
        return ExitCode::NotFound;
    }
    if found.missing + found.different + verification.extra > 0 {
        return ExitCode::Differs;
    }
    if found.unreadable > 0 {
        ExitCode::Incomplete
    } else {
        ExitCode::Done
    }
}

fn tell(verification: &Verification, found: Found, (code, headline): (ExitCode, &str), output: &OutputArgs) {
    let Verification {
        run, tally, extra, ..
    } = verification;
    let same = run.totals.unchanged;
    if output.output == OutputFormat::Json {
        lines::line(
            "verification",
            json!({
                "target": run.target, "files": tally.files, "stored": tally.stored, "same": same,
                "missing": found.missing, "different": found.different, "unreadable": found.unreadable, "extra": extra,
                "sheltered": tally.sheltered, "is_complete": verification.is_complete && run.ending == Ending::Finished,
                "elapsed": run.elapsed.as_secs_f64(), "exit_code": code as u8,
            }),
        );
    }
    if let Ending::Fatal { cause } = &run.ending {
        printer::failure(&cause.message);
    }
    if code == ExitCode::NotFound {
        printer::failure(&format!("nothing is stored at {}", run.target));
    }
    if !(output.is_silent() && code == ExitCode::Done) {
        printer::note(headline);
    }
}

/// What was found, in one line.
fn headline(verification: &Verification, found: Found) -> String {
    let Verification {
        run, tally, extra, ..
    } = verification;
    let same = run.totals.unchanged;
    let counts = [
        (found.missing, "missing"),
        (found.different, "different"),
        (found.unreadable, "unreadable"),
        (*extra, "extra"),
        (run.totals.cancelled, "not looked at"),
    ];
    let mut pieces: Vec<String> = vec![format!("{} files are the same", grouped(same))];
    let others = counts.iter().filter(|(count, _)| *count > 0);
    pieces.extend(others.map(|(count, what)| format!("{} {what}", grouped(*count))));
    let bytes = ByteSize(run.totals.bytes_discovered);
    format!(
        "{} beside {} in {}: {} ({bytes} looked at)",
        grouped(tally.files),
        run.target,
        spoken(run.elapsed),
        pieces.join(", ")
    )
}
