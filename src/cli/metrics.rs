//! `--metrics-file`: what a run came to, for the text collector of Prometheus' node exporter.
//!
//! The file is written beside its place and renamed, so that nobody reads half of it; it has no timestamps, which the
//! collector refuses.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// A result, with its files and bytes.
type Row = (&'static str, u64, u64);

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// By what became of them.
    pub(super) results: Vec<Row>,
    pub(super) retries: u64,
}

/// What the metrics say of one run. Times in seconds since the Unix epoch.
pub(super) struct Metrics<'a> {
    pub(super) job: &'a str,
    pub(super) begun: i64,
    pub(super) seconds: f64,
    pub(super) exit_code: u8,
    pub(super) figures: &'a Figures,
}

const LAST_SUCCESS: &str = "s3haul_last_success_timestamp_seconds";

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

impl Metrics<'_> {
    /// Writes the file at `path`. The last success is this one, or what an earlier file says.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let before = fs::read_to_string(path).unwrap_or_default();
        let last_success = if self.exit_code == 0 {
            Some(self.begun)
        } else {
            self.last_success(&before)
        };
        let cannot = |error: std::io::Error| {
            let message = format!("metrics file '{}' cannot be written", path.display());
            Error::new(ErrorKind::Output, message).with_source(error)
        };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut file = tempfile::Builder::new()
            .prefix(".s3haul-")
            .permissions(fs::Permissions::from_mode(0o644))
            .tempfile_in(directory.unwrap_or(Path::new(".")))
            .map_err(cannot)?;
        file.write_all(self.text(last_success).as_bytes())
            .map_err(cannot)?;
        file.persist(path).map_err(|error| cannot(error.error))?;
        Ok(())
    }

    fn last_success(&self, before: &str) -> Option<i64> {
        let head = format!("{LAST_SUCCESS}{{job=\"{}\"}} ", escaped(self.job));
        before
            .lines()
            .find_map(|line| line.strip_prefix(&head)?.parse().ok())
    }

    fn text(&self, last_success: Option<i64>) -> String {
        let job = escaped(self.job);
        let mut text = String::new();
        let mut metric = |name: &str, help: &str, values: &[(String, String)]| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (labels, value) in values {
                let _ = writeln!(text, "{name}{{job=\"{job}\"{labels}}} {value}");
            }
        };
        let one = |value: String| vec![(String::new(), value)];
        let begun = one(self.begun.to_string());
        metric(
            "s3haul_last_run_timestamp_seconds",
            "When the last run began.",
            &begun,
        );
        if let Some(success) = last_success {
            let help = "When the last run began that ended with 0.";
            metric(LAST_SUCCESS, help, &one(success.to_string()));
        }
        let code = one(self.exit_code.to_string());
        metric("s3haul_last_exit_code", "Exit code of the last run.", &code);
        let seconds = one(format!("{:.3}", self.seconds));
        metric(
            "s3haul_run_duration_seconds",
            "How long the last run took.",
            &seconds,
        );
        let by_result = |value: fn(&Row) -> u64| -> Vec<(String, String)> {
            let results = self.figures.results.iter();
            let pair = |row: &Row| (format!(",result=\"{}\"", row.0), value(row).to_string());
            results.map(pair).collect()
        };
        metric("s3haul_files", "Files of the last run.", &by_result(|row| row.1));
        metric("s3haul_bytes", "Bytes of the last run.", &by_result(|row| row.2));
        let retries = one(self.figures.retries.to_string());
        let help = "Requests of the last run that were tried again.";
        metric("s3haul_retries", help, &retries);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_the_last_success_of_its_job() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s3haul.prom");
        let figures = Figures {
            results: vec![("uploaded", 3, 300)],
            retries: 1,
        };
        let write = |job: &str, begun, exit_code| {
            let metrics = Metrics {
                job,
                begun,
                seconds: 1.5,
                exit_code,
                figures: &figures,
            };
            metrics.write(&path).expect("written");
            fs::read_to_string(&path).expect("readable")
        };
        let first = write("a\"b", 100, 0);
        assert!(first.ends_with('\n'));
        let line = "s3haul_files{job=\"a\\\"b\",result=\"uploaded\"} 3\n";
        assert!(first.contains(line), "{first}");
        let second = write("a\"b", 200, 3);
        for line in [
            "s3haul_last_success_timestamp_seconds{job=\"a\\\"b\"} 100\n",
            "s3haul_last_run_timestamp_seconds{job=\"a\\\"b\"} 200\n",
            "s3haul_last_exit_code{job=\"a\\\"b\"} 3\n",
        ] {
            assert!(second.contains(line), "{second}");
        }
        assert!(!write("other", 300, 1).contains(LAST_SUCCESS), "never");
        let names = fs::read_dir(directory.path()).expect("readable").count();
        assert_eq!(names, 1, "nothing else is left");
    }
}
