//! `s3haul backup`: named jobs, each run a snapshot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::args::config;
use super::dry_run::PlanMonitor;
use super::exit_code::ExitCode;
use super::jobs::{Job, JobsArgs};
use super::output_args::{OutputArgs, OutputFormat};
use super::restore::RestoreArgs;
use super::run_output::{Deed, RunMonitor, print_end};
use super::state_args::with_profile;
use super::unattended::{Came, figures};
use super::{embedded, json, logging, printer, signals};
use crate::backup::manifest::{Entry, EntryKind};
use crate::backup::{
    BackupRequest, BackupSummary, GiveBackRequest, GivenBack, Snapshot, Which, backup, give_back,
    list_snapshots, open_manifest, resolve,
};
use crate::config::{BucketPolicy, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::Effect;
use crate::report::RunSummary;
use crate::units::{ByteSize, grouped, spoken};

const EXAMPLE: &str = "\
A file of jobs:

    [jobs.home]
    sources = [\"/home\"]
    target = \"s3://backups/home/\"
    endpoint-url = \"http://127.0.0.1:9000\"
    exclude = [\".cache/\"]

Keys are the long flags of s3haul sync. Each source goes under its own name; each content is stored once.";

/// Back up named jobs: each run adds a snapshot, and nothing that is stored is overwritten
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLE, after_long_help = EXAMPLE)]
pub(super) struct BackupArgs {
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum BackupCommand {
    /// Add a snapshot of a job's sources
    Run {
        /// Name of the job
        job: String,
        #[command(flatten)]
        jobs: JobsArgs,
    },
    /// List snapshots, of one job or of all
    List {
        /// Name of the job
        job: Option<String>,
        #[command(flatten)]
        jobs: JobsArgs,
    },
    /// List what is in a snapshot
    Ls {
        /// The job, and which snapshot: its name, a date or a time, or 'latest', which is the default
        #[arg(value_name = "JOB[@SNAPSHOT]")]
        snapshot: String,
        /// What is at this path and below it
        path: Option<String>,
        #[command(flatten)]
        jobs: JobsArgs,
    },
}

/// Runs the command.
pub(super) fn run(args: &BackupArgs, output: &OutputArgs) -> Result<ExitCode> {
    match &args.command {
        BackupCommand::Run { job, jobs } => run_job(&jobs.job(job)?, output),
        BackupCommand::List { job, jobs } => {
            let jobs = match job {
                Some(job) => vec![jobs.job(job)?],
                None => jobs.jobs()?,
            };
            jobs.iter().try_for_each(|job| list(job, output))?;
            Ok(ExitCode::Done)
        }
        BackupCommand::Ls { snapshot, path, jobs } => {
            let (name, which) = named(snapshot)?;
            ls(
                &jobs.job(name)?,
                &which,
                path.as_deref().unwrap_or_default(),
                output,
            )
        }
    }
}

/// The job and the snapshot that `text` names.
fn named(text: &str) -> Result<(&str, Which)> {
    let (job, which) = text.split_once('@').unwrap_or((text, "latest"));
    let which = which
        .parse()
        .map_err(|why: String| Error::new(ErrorKind::Usage, why))?;
    Ok((job, which))
}

impl Job {
    /// How requests are made for this job, on the server that its flags name.
    fn config(&self) -> Result<Config> {
        let transfer = self.transfer.settings(&self.objects, false)?;
        Ok(config(
            self.run.with_engine(self.store.settings_without_server()),
            transfer,
            &self.run,
        ))
    }
}

fn run_job(job: &Job, output: &OutputArgs) -> Result<ExitCode> {
    job.unattended.attend(&job.name, |deadline| {
        let streams = ["/dev/stdout", "/dev/stderr"].map(PathBuf::from);
        let mut request = BackupRequest {
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
            config: job.config()?,
            state: job.state.settings()?,
            deadline,
        };
        embedded::refuse_data_inside(&job.store, &job.sources, &request.filter)?;
        let (store, _server) = embedded::settings(&job.store)?;
        let store = with_profile(store, Some(&request.state), &job.target.bucket);
        request.config.store = job.run.with_engine(store);
        let cancel = signals::cancel_on_signals();
        tracing::info!(target: logging::RUN, job = job.name, target = %request.target, "begins");
        let mut monitor = RunMonitor::new(Deed::Uploads, output);
        let outcome = backup(&request, &cancel, &mut monitor);
        monitor.finish();
        let summary = outcome?;
        tracing::info!(target: logging::RUN, totals = ?summary.run.totals, tally = ?summary.tally, "ends");
        let code = code(&summary);
        summary.state_notes.iter().for_each(|note| printer::note(note));
        if output.output == OutputFormat::Json {
            json::backup(&job.name, &summary);
        }
        let headline = headline(&job.name, &summary);
        print_end(&summary.run, headline.clone(), code, output);
        Ok(Came {
            code,
            figures: figures(&summary.run, "uploaded", (summary.tally.unchanged, 0)),
            headline,
            stamp: Some(summary.home.join("last-success")),
        })
    })
}

fn code(summary: &BackupSummary) -> ExitCode {
    match (ExitCode::of_summary(&summary.run), &summary.snapshot) {
        (ExitCode::Done, Some(_)) => ExitCode::Done,
        // The sources did not come to their end in time.
        (ExitCode::Done, None) => ExitCode::OutOfTime,
        (code, _) => code,
    }
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
        Some((id, there)) => format!(
            "{job}@{id} in {time}: {} files ({}), {uploaded}",
            grouped(there.files),
            ByteSize(there.bytes)
        ),
        None => format!("no snapshot of {job}, stopped early after {time}: {uploaded}"),
    }
}

fn list(job: &Job, output: &OutputArgs) -> Result<()> {
    for Snapshot { id, manifest_bytes } in
        list_snapshots(&job.config()?, &job.target, &signals::cancel_on_signals())?
    {
        match output.output {
            OutputFormat::Json => json::snapshot(&job.name, &id, manifest_bytes),
            OutputFormat::Text => {
                let here = id.time().to_zoned(jiff::tz::TimeZone::system());
                let when = here.strftime("%Y-%m-%d %H:%M:%S");
                printer::data(&format!("{when}  {}@{id}", job.name));
            }
        }
    }
    Ok(())
}

fn ls(job: &Job, which: &Which, path: &str, output: &OutputArgs) -> Result<ExitCode> {
    let config = job.config()?;
    let snapshots = list_snapshots(&config, &job.target, &signals::cancel_on_signals())?;
    let snapshot = resolve(&snapshots, which)?;
    let path = path.trim_matches('/');
    let below = format!("{path}/");
    let is_wanted = |entry: &Entry| path.is_empty() || entry.path == path || entry.path.starts_with(&below);
    let mut found = false;
    for entry in open_manifest(&config, &job.target, &snapshot.id)?.entries()? {
        let entry = entry.map_err(|error| {
            Error::new(ErrorKind::Server, "the manifest cannot be read any more").with_source(error)
        })?;
        if is_wanted(&entry) {
            found = true;
            match output.output {
                OutputFormat::Json => json::entry(&entry),
                OutputFormat::Text => printer::data(&line(&entry)),
            }
        }
    }
    if found {
        return Ok(ExitCode::Done);
    }
    let message = format!("there is no '{path}' in {}@{}", job.name, snapshot.id);
    Err(Error::new(ErrorKind::NothingStored, message))
}

/// Brings a snapshot of a job back.
pub(super) fn restore(args: &RestoreArgs, output: &OutputArgs) -> Result<ExitCode> {
    let (name, which) = named(&args.source)?;
    let job = args.jobs.job(name)?;
    refuse_source(&job, &args.dest)?;
    args.unattended.attend(&job.name, |deadline| {
        let mut config = job.config()?;
        let (store, _server) = embedded::settings(&job.store)?;
        config.store = job.run.with_engine(store);
        let cancel = signals::cancel_on_signals();
        let snapshots = list_snapshots(&config, &job.target, &cancel)?;
        let request = GiveBackRequest {
            target: job.target.clone(),
            snapshot: resolve(&snapshots, &which)?.clone(),
            dest: args.dest.clone(),
            filter: Arc::new(args.filter.filter()?),
            overwrite: args.restoring.overwrite(),
            effect: if args.dry_run { Effect::Plan } else { Effect::Apply },
            config,
            state: job.state.settings().ok(),
            deadline,
        };
        let outcome = if args.dry_run {
            give_back(
                &request,
                &cancel,
                &mut PlanMonitor::new(Deed::Restores, &job.target.bucket, output),
            )
        } else {
            let mut monitor = RunMonitor::new(Deed::Restores, output);
            let outcome = give_back(&request, &cancel, &mut monitor);
            monitor.finish();
            outcome
        };
        let (run, given) = outcome?;
        let code = match ExitCode::of_summary(&run) {
            ExitCode::Done if given.failed > 0 => ExitCode::Incomplete,
            code => code,
        };
        let headline = restored(&format!("{}@{}", job.name, request.snapshot.id), &run, &given);
        print_end(&run, headline.clone(), code, output);
        for (path, why) in given.failures.iter().take(10) {
            printer::failure(&format!("'{path}' cannot be made: {why}"));
        }
        Ok(Came {
            code,
            figures: figures(&run, "restored", (0, 0)),
            headline,
            stamp: None,
        })
    })
}

/// What a restore came to, in one line.
fn restored(snapshot: &str, run: &RunSummary, given: &GivenBack) -> String {
    let totals = &run.totals;
    let mut line = format!(
        "{snapshot} in {}: restored {} ({}), unchanged {}",
        spoken(run.elapsed),
        grouped(totals.done),
        ByteSize(totals.bytes_done),
        grouped(totals.unchanged)
    );
    for (what, count) in [
        ("links", given.links),
        ("directories", given.directories),
        ("pipes, sockets and devices left out", given.left_out),
        ("without content in the snapshot", given.without_content),
    ] {
        if count > 0 {
            line.push_str(&format!(", {} {what}", grouped(count)));
        }
    }
    line
}

/// A restore into what is backed up would change what it is of.
fn refuse_source(job: &Job, dest: &Path) -> Result<()> {
    let there = dest.ancestors().find_map(|path| path.canonicalize().ok());
    let lies_in = |source: &PathBuf| {
        let source = source.canonicalize().ok();
        there
            .as_ref()
            .zip(source)
            .is_some_and(|(there, source)| there.starts_with(source))
    };
    match job.sources.iter().find(|source| lies_in(source)) {
        None => Ok(()),
        Some(source) => Err(Error::new(
            ErrorKind::Usage,
            format!(
                "'{}' lies in '{}', which job '{}' backs up",
                dest.display(),
                source.display(),
                job.name
            ),
        )
        .with_hint("restore into another directory, and move from there what is wanted")),
    }
}

fn line(entry: &Entry) -> String {
    let letter = match entry.kind {
        EntryKind::File => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::Device => 'b',
    };
    let size = entry.size.map(|size| size.to_string()).unwrap_or_default();
    let mode = entry.mode.as_deref().unwrap_or("????");
    let more = match (&entry.target, &entry.error) {
        (_, Some(error)) => format!("  [{error}]"),
        (Some(target), None) => format!(" -> {target}"),
        (None, None) => String::new(),
    };
    format!("{letter}{mode} {size:>14} {}{more}", entry.path)
}
