//! `--report FILE.json`: opened before the run, so that a bad path fails at once; put in place whole at the end.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::exit_code::ExitCode;
use super::printer;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::report::RunSummary;

/// A report in the making. Dropped without [`ReportFile::write`], it leaves nothing.
pub(super) struct ReportFile {
    path: PathBuf,
    /// The file beside it that is renamed at the end; none when the path is a device or pipe.
    temporary: Option<PathBuf>,
    file: File,
}

fn cannot(path: &Path, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Output,
        format!("report '{}' cannot be written", path.display()),
    )
    .with_source(error)
}

impl ReportFile {
    pub(super) fn create(path: &Path) -> Result<Self> {
        // A device such as /dev/stdout must not be replaced by a file.
        let special = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        if special {
            let file = OpenOptions::new()
                .write(true)
                .open(path)
                .map_err(|error| cannot(path, error))?;
            return Ok(Self {
                path: path.to_owned(),
                temporary: None,
                file,
            });
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(|error| cannot(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            temporary: Some(temporary),
            file,
        })
    }

    /// Writes what a run came to, if that is wanted. Returns the run's code, or that the report failed: the run stands, only
    /// its report does not.
    pub(super) fn conclude(
        report: Option<Self>,
        config: &Config,
        summary: &RunSummary,
        code: ExitCode,
    ) -> ExitCode {
        let written = report.map(|report| report.write(&run_report(config, summary)));
        match written {
            Some(Err(error)) => {
                printer::error(&error);
                if code == ExitCode::Done {
                    ExitCode::Failed
                } else {
                    code
                }
            }
            _ => code,
        }
    }

    /// The file that holds the report until it is whole, if it is not the report itself.
    pub(super) fn temporary(&self) -> Option<PathBuf> {
        self.temporary.clone()
    }

    /// The file to write to, whoever does.
    pub(super) fn place(&self) -> &Path {
        self.temporary.as_deref().unwrap_or(&self.path)
    }

    /// Writes the whole of `text` and puts it in place.
    pub(super) fn write(self, text: &[u8]) -> Result<()> {
        (&self.file)
            .write_all(text)
            .map_err(|error| cannot(&self.path, error))?;
        self.put_in_place()
    }

    /// Puts in place what somebody else wrote.
    pub(super) fn put_in_place(mut self) -> Result<()> {
        if let Some(temporary) = &self.temporary {
            self.file.sync_all().map_err(|error| cannot(&self.path, error))?;
            fs::rename(temporary, &self.path).map_err(|error| cannot(&self.path, error))?;
            self.temporary = None;
        }
        Ok(())
    }
}

/// A value as the lines of a file.
pub(super) fn json_text(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("our own reports serialise");
    text.push(b'\n');
    text
}

/// What `cp --report` holds: settings without secrets, and the run.
pub(super) fn run_report(config: &Config, summary: &RunSummary) -> Vec<u8> {
    let mut config = config.clone();
    config.store.credentials = None;
    let program = concat!("s3haul ", env!("CARGO_PKG_VERSION"));
    json_text(&json!({ "v": 1, "program": program, "config": config, "run": summary }))
}

impl Drop for ReportFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}
