//! Sets `tracing` up, once: warnings on standard error, more with `-v`, everything asked for into a log file.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use super::printer;
use crate::error::{Error, ErrorKind, Result};

/// Our own targets at `level`; the SDK, HTTP and TLS never below warnings, because their traces print what
/// should stay secret.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("warn,s3haul={level}"))
}

/// `verbosity` 0 shows warnings, 1 what happens to files, 2 requests. Errors when the log file cannot be opened.
pub(super) fn init(verbosity: u8, log_file: Option<&Path>) -> Result<()> {
    let level = match verbosity {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let to_people = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(printer::has_color())
        .with_target(false)
        .with_filter(filter(level));
    let to_file = log_file
        .map(|path| {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|error| {
                    Error::new(
                        ErrorKind::Output,
                        format!("log file '{}' cannot be written", path.display()),
                    )
                    .with_source(error)
                })?;
            let level = if verbosity == 0 { "info" } else { level };
            Ok(fmt::layer()
                .with_writer(Mutex::new(file))
                .with_ansi(false)
                .with_filter(filter(level)))
        })
        .transpose()?;
    // A second call, as in tests, keeps the first subscriber.
    let _ = tracing_subscriber::registry()
        .with(to_people)
        .with(to_file)
        .try_init();
    Ok(())
}
