//! `s3haul backup status`: when jobs ran, what they have, and when they run next.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::backup::{Census, LastRun, census};
use crate::cli::exit_code::ExitCode;
use crate::cli::jobs::Job;
use crate::cli::output_args::{OutputArgs, OutputFormat};
use crate::cli::{json, printer, signals};
use crate::error::{ErrorKind, Result, chain};
use crate::units::{ByteSize, grouped, spoken};

/// All that is known of a job.
struct JobStatus {
    last_run: Option<LastRun>,
    /// What is stored, or why nobody knows.
    census: Result<Census>,
    /// When the last run began that did all, as far as anybody knows.
    last_success: Option<Timestamp>,
    next: Option<Timestamp>,
    /// None where nothing says how old it may be.
    is_late: Option<bool>,
}

impl JobStatus {
    fn of(job: &Job, census: Result<Census>, now: Timestamp) -> Result<Self> {
        let last_run = LastRun::read(&job.place_of_last_run()?);
        let noted = last_run.as_ref().and_then(|run| run.last_success);
        // What is stored counts, and not what was noted of it: the bucket may be empty by now.
        let last_success = match &census {
            Ok(Census {
                latest: Some(latest),
                last: Some(totals),
                ..
            }) if totals.errors == 0 => Some(latest.time()),
            Ok(Census { last: None, .. }) => None,
            _ => noted,
        };
        let next = job
            .schedule
            .as_ref()
            .and_then(|schedule| schedule.next_after(&now.to_zoned(job.zone())));
        Ok(Self {
            is_late: job.max_age.map(|most| {
                let most = SignedDuration::try_from(most).unwrap_or(SignedDuration::MAX);
                last_success.is_none_or(|last| now.duration_since(last) > most)
            }),
            last_run,
            census,
            last_success,
            next: next.map(|next| next.timestamp()),
        })
    }

    fn is_bad(&self) -> bool {
        self.is_late == Some(true)
            || self
                .census
                .as_ref()
                .map_or(true, |census| census.latest.is_some() && census.last.is_none())
    }
}

pub(super) fn status(jobs: &[Job], output: &OutputArgs) -> Result<ExitCode> {
    let (cancel, now) = (signals::cancel_on_signals(), Timestamp::now());
    let mut is_bad = false;
    for job in jobs {
        let census = job.open(&cancel).and_then(|open| census(&open.repository, now));
        if let Err(error) = &census
            && error.kind() == ErrorKind::Interrupted
        {
            return census.map(|_| ExitCode::Failed);
        }
        let status = JobStatus::of(job, census, now)?;
        is_bad |= status.is_bad();
        match output.output {
            OutputFormat::Json => tell(job, &status, now),
            OutputFormat::Text => {
                if !output.quiet {
                    printer::data(&text(job, &status, now));
                }
                if let Err(error) = &status.census {
                    printer::failure(&format!("{}: {}", job.name, chain(error)));
                }
                if let Ok(Census {
                    latest: Some(latest),
                    last: None,
                    ..
                }) = &status.census
                {
                    let message = format!(
                        "{}@{latest} cannot be read; s3haul backup verify says why",
                        job.name
                    );
                    printer::failure(&message);
                }
                if status.is_late == Some(true) {
                    let most = spoken(job.max_age.unwrap_or_default());
                    printer::failure(&match status.last_success {
                        Some(_) => format!("{}: the last success is older than {most}", job.name),
                        None => format!("{}: there was no success yet", job.name),
                    });
                }
            }
        }
    }
    Ok(if is_bad { ExitCode::Failed } else { ExitCode::Done })
}

fn age(time: Timestamp, now: Timestamp) -> std::time::Duration {
    now.duration_since(time).unsigned_abs()
}

fn text(job: &Job, status: &JobStatus, now: Timestamp) -> String {
    let when = |time: Timestamp| {
        time.to_zoned(job.zone())
            .strftime("%Y-%m-%d %H:%M:%S %Z")
            .to_string()
    };
    let past = |time: Timestamp| format!("{} ({} ago)", when(time), spoken(age(time, now)));
    let mut lines = vec![format!("{}: {}", job.name, job.target)];
    let mut line = |name: &str, value: String| lines.push(format!("  {name:<13} {value}"));
    line(
        "last run",
        match &status.last_run {
            None => "none is noted here".to_owned(),
            Some(run) => format!(
                "{}, took {}, exit {}",
                past(run.begun),
                spoken(age(run.begun, run.ended)),
                run.exit_code
            ),
        },
    );
    line(
        "last success",
        status.last_success.map_or_else(|| "none".to_owned(), past),
    );
    if let Ok(census) = &status.census {
        line(
            "snapshots",
            match &census.latest {
                None => "none".to_owned(),
                Some(latest) => format!("{}, the last is {latest}", grouped(census.snapshots)),
            },
        );
        line(
            "stored",
            format!(
                "{} contents ({})",
                grouped(census.stored.0),
                ByteSize(census.stored.1)
            ),
        );
        if let Some(totals) = census.last {
            let files = format!("{} files ({})", grouped(totals.files), ByteSize(totals.bytes));
            line("last snapshot", files);
        }
    }
    line(
        "next run",
        match (status.next, &job.schedule) {
            (Some(next), Some(schedule)) => format!("{} ({schedule})", when(next)),
            _ => "it has no schedule".to_owned(),
        },
    );
    lines.join("\n")
}

fn tell(job: &Job, status: &JobStatus, now: Timestamp) {
    let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let census = status.census.as_ref().ok();
    json::line(
        "status",
        json!({
            "job": job.name,
            "target": job.target.to_string(),
            "last_run": status.last_run,
            "last_success": text(status.last_success),
            "age_seconds": status.last_success.map(|last| age(last, now).as_secs()),
            "is_late": status.is_late,
            "snapshots": census.map(|census| census.snapshots),
            "latest": census.and_then(|census| census.latest.as_ref()),
            "stored": census.map(|census| json!({ "contents": census.stored.0, "bytes": census.stored.1 })),
            "logical": census.and_then(|census| census.last),
            "next_run": text(status.next),
            "error": status.census.as_ref().err().map(|error| chain(error)),
        }),
    );
}
