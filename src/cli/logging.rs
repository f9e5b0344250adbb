//! Sets `tracing` up, once: warnings on standard error, more with `-v`, everything asked for into a log file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use super::log_file::LogFile;
use super::printer::{self, FirstFailure};
use super::run_output::Deed;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{DETAIL, FileRecord, Outcome};

/// Our own targets at `level`; the SDK, HTTP and TLS never below warnings, because their traces print what
/// should stay secret.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("warn,s3haul={level}"))
}

/// The course of a run, for the log file only: on the terminal, `-v` says it in its own words.
pub(super) const RUN: &str = "s3haul::run";

/// One file's outcome.
pub(super) fn file(record: &FileRecord, deed: Deed) {
    let FileRecord {
        path,
        key,
        size_bytes,
        parts,
        elapsed,
        ..
    } = record;
    match &record.outcome {
        Outcome::Done { etag, .. } => match deed {
            Deed::Uploads => {
                tracing::info!(target: RUN, path, key, size_bytes, parts, ?elapsed, etag, "uploaded");
            }
            Deed::Restores => {
                tracing::info!(target: RUN, path, key, size_bytes, parts, ?elapsed, etag, "restored");
            }
        },
        Outcome::Unchanged { .. } => tracing::info!(target: RUN, path, key, "unchanged"),
        Outcome::Planned => {
            tracing::info!(target: RUN, path, key, reason = %record.reason, "would be done")
        }
        Outcome::Skipped { reason } => tracing::info!(target: RUN, path, %reason, "skipped"),
        Outcome::Failed { failure } => tracing::info!(target: RUN, path, key, %failure, "failed"),
        Outcome::Cancelled => tracing::info!(target: RUN, path, key, "not tried"),
    }
}

/// The log file and the first write to it that failed: the subscriber itself tells nobody.
static LOG_FILE: OnceLock<PathBuf> = OnceLock::new();
static FAILURE: FirstFailure = FirstFailure::none();

fn cannot(path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Output,
        format!("log file '{}' cannot be written", path.display()),
    )
    .with_source(error)
}

/// Why not everything could be written to the log file, if so.
pub(super) fn output_error() -> Option<Error> {
    let error = FAILURE.take()?;
    let path = LOG_FILE.get()?;
    Some(cannot(path, error).with_hint("what the command did stands; only its log is incomplete"))
}

/// `verbosity` 0 shows warnings, 1 what happens to files, 2 details. Errors when the log file cannot be opened.
pub(super) fn init(verbosity: u8, log_file: Option<&Path>) -> Result<()> {
    let course = format!("info,{DETAIL}=off");
    let (to_people_level, to_file_level) = match verbosity {
        0 => ("warn", course.as_str()),
        1 => (course.as_str(), course.as_str()),
        _ => ("info", "info"),
    };
    let to_people = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(printer::has_color())
        .with_target(false)
        .with_filter(filter(&format!("{to_people_level},{RUN}=off")));
    let to_file = log_file
        .map(|path| {
            let file = LogFile::open(path, &FAILURE).map_err(|error| cannot(path, error))?;
            let _ = LOG_FILE.set(path.to_owned());
            Ok(fmt::layer()
                .with_writer(Mutex::new(file))
                .with_ansi(false)
                .with_filter(filter(to_file_level)))
        })
        .transpose()?;
    // A second call, as in tests, keeps the first subscriber.
    let _ = tracing_subscriber::registry()
        .with(to_people)
        .with(to_file)
        .try_init();
    Ok(())
}
