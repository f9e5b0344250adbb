//! `s3haul backup run`: flags of a job to a request, one call of the library, its outcome to lines and an exit code.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::tend;
use crate::backup::{BackupRequest, BackupSummary, LastRun, SnapshotId, backup, refuse_nothing};
use crate::cli::exit_code::ExitCode;
use crate::cli::jobs::Job;
use crate::cli::output_args::{OutputArgs, OutputFormat};
use crate::cli::run_output::{Deed, RunMonitor, print_end};
use crate::cli::unattended::{Came, figures};
use crate::cli::{embedded, json, logging, printer};
use crate::config::BucketPolicy;
use crate::error::{Error, ErrorKind, Result};
use crate::units::{ByteSize, grouped, spoken};

/// Runs a job; forgets what it does not keep any more if that is asked for and all went well. What came of it is noted.
pub(super) fn run_job(
    job: &Job,
    forgets: bool,
    cancel: &CancellationToken,
    output: &OutputArgs,
) -> Result<ExitCode> {
    if forgets {
        refuse_nothing(&job.keep.keep())?;
    }
    let begun = Timestamp::now();
    let mut snapshot = None;
    let outcome = job.unattended.attend(&job.name, |deadline| {
        let request = request(job, deadline, output)?;
        add_snapshot(job, (request, forgets), cancel, output, &mut snapshot)
    });
    let code = match &outcome {
        Ok(code) => *code,
        Err(error) => ExitCode::of_error(error),
    };
    if let Err(error) = note(job, begun, code, snapshot) {
        tracing::info!(target: logging::RUN, %error, "what the run came to cannot be noted");
    }
    outcome
}

fn note(job: &Job, begun: Timestamp, code: ExitCode, snapshot: Option<SnapshotId>) -> std::io::Result<()> {
    let place = job.place_of_last_run().map_err(std::io::Error::other)?;
    let before = LastRun::read(&place).and_then(|before| before.last_success);
    let run = LastRun {
        begun,
        ended: Timestamp::now(),
        exit_code: code as u8,
        snapshot,
        last_success: if code == ExitCode::Done {
            Some(begun)
        } else {
            before
        },
    };
    run.write(&place)
}

fn request(job: &Job, deadline: Option<std::time::Instant>, output: &OutputArgs) -> Result<BackupRequest> {
    // Below each source, if it is no whole path: where the job was started from says nothing.
    let required = job.require_file.iter();
    let required = required.flat_map(|file| job.sources.iter().map(move |source| source.join(file)));
    if let Some(missing) = required.into_iter().find(|file| !file.exists()) {
        let message = format!(
            "'{}' is not there, and job '{}' requires it",
            missing.display(),
            job.name
        );
        return Err(Error::new(ErrorKind::Refused, message).with_hint("look whether the disk is mounted"));
    }
    let streams = ["/dev/stdout", "/dev/stderr"].map(PathBuf::from);
    Ok(BackupRequest {
        job: job.name.clone(),
        sources: job.sources.clone(),
        target: job.target.clone(),
        filter: Arc::new(job.filter.filter()?),
        own_outputs: output.log_file.iter().cloned().chain(streams).collect(),
        bucket_policy: if job.create_bucket {
            BucketPolicy::Create
        } else {
            BucketPolicy::MustExist
        },
        // Before a server is started for it, so that nothing is made for what cannot be.
        config: crate::config::Config::default(),
        state: job.state.settings()?,
        allows_empty_source: job.allow_empty_source,
        deadline,
        now: Timestamp::now(),
    })
}

fn add_snapshot(
    job: &Job,
    (mut request, forgets): (BackupRequest, bool),
    cancel: &CancellationToken,
    output: &OutputArgs,
    snapshot: &mut Option<SnapshotId>,
) -> Result<Came> {
    embedded::refuse_data_inside(&job.store, &job.sources, &request.filter)?;
    let (config, _server) = job.config()?;
    request.config = config;
    tracing::info!(target: logging::RUN, job = job.name, target = %request.target, "begins");
    let mut monitor = RunMonitor::new(Deed::Uploads, output);
    let outcome = backup(&request, cancel, &mut monitor);
    monitor.finish();
    let summary = outcome?;
    *snapshot = summary.snapshot.as_ref().map(|(id, _)| id.clone());
    tracing::info!(target: logging::RUN, totals = ?summary.run.totals, tally = ?summary.tally, "ends");
    let mut code = code(&summary);
    summary.state_notes.iter().for_each(|note| printer::note(note));
    if output.output == OutputFormat::Json {
        tell(&job.name, &summary);
    }
    let headline = headline(&job.name, &summary);
    if forgets && code == ExitCode::Done {
        code = tend::forget_after_run(job, &request.config, cancel, output);
    }
    print_end(&summary.run, headline.clone(), code, output);
    for why in &summary.missing {
        printer::failure(why);
    }
    Ok(Came {
        code,
        figures: figures(&summary.run, "uploaded", (summary.tally.unchanged, 0)),
        headline,
        stamp: Some(summary.home.join("last-success")),
    })
}

fn code(summary: &BackupSummary) -> ExitCode {
    match (ExitCode::of_summary(&summary.run), &summary.snapshot) {
        (ExitCode::Done, Some((_, totals))) if totals.errors > 0 => ExitCode::Incomplete,
        (ExitCode::Done, Some(_)) => ExitCode::Done,
        // The sources did not come to their end in time, or it was stopped just before.
        (ExitCode::Done, None) => crate::cli::signals::received().unwrap_or(ExitCode::OutOfTime),
        (code, _) => code,
    }
}

fn tell(job: &str, summary: &BackupSummary) {
    let snapshot = summary.snapshot.as_ref();
    json::line(
        "backup",
        json!({
            "job": job,
            "snapshot": snapshot.map(|(id, _)| id),
            "entries": snapshot.map(|(_, totals)| totals),
            "unchanged": summary.tally.unchanged,
            "excluded": summary.tally.excluded,
        }),
    );
}

/// What a run came to, in one line.
fn headline(job: &str, summary: &BackupSummary) -> String {
    let (totals, tally) = (&summary.run.totals, &summary.tally);
    let time = spoken(summary.run.elapsed);
    let uploaded = format!(
        "uploaded {} ({}), unchanged {}",
        grouped(totals.done),
        ByteSize(totals.bytes_done),
        grouped(tally.unchanged)
    );
    match &summary.snapshot {
        Some((id, there)) => {
            let errors = match there.errors {
                0 => String::new(),
                errors => format!("; {} entries could not be read", grouped(errors)),
            };
            format!(
                "{job}@{id} in {time}: {} files ({}), {uploaded}{errors}",
                grouped(there.files),
                ByteSize(there.bytes)
            )
        }
        None => format!("no snapshot of {job}, stopped early after {time}: {uploaded}"),
    }
}
