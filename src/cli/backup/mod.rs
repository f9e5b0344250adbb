//! `s3haul backup`: named jobs, each run a snapshot.

mod check;
mod daemon;
mod look;
mod restore;
mod run;
mod status;
mod tend;
mod units;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::exit_code::ExitCode;
use super::jobs::JobsArgs;
use super::output_args::OutputArgs;
use super::signals;
use crate::backup::{Repository, Snapshot, Which, resolve};
use crate::error::{Error, ErrorKind, Result};

pub(super) use restore::restore;

const EXAMPLE: &str = "\
A file of jobs:

    [jobs.home]
    sources = [\"/home\"]
    target = \"s3://backups/home/\"
    endpoint-url = \"http://127.0.0.1:9000\"
    exclude = [\".cache/\"]
    schedule = \"15 2 * * *\"
    keep-daily = 7
    max-age = \"26h\"

Keys are the long flags of s3haul sync, and: sources, target, schedule, time-zone, jitter, keep-last, keep-daily,
keep-weekly, keep-monthly, keep-yearly, max-age, require-file. Each source goes under its own name; each content is
stored once. s3haul restore JOB[@SNAPSHOT] DEST brings a snapshot back.

Snapshots are named by their ids or the beginning of one, by a time or a date (the last one by then), or 'latest'.";

/// Back up named jobs: each run adds a snapshot, and nothing that is stored is overwritten
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLE, after_long_help = EXAMPLE)]
pub(super) struct BackupArgs {
    #[command(subcommand)]
    command: BackupCommand,
    #[command(flatten)]
    jobs: JobsArgs,
}

#[derive(Subcommand, Clone, Debug)]
enum BackupCommand {
    /// Add a snapshot of a job's sources
    Run {
        /// Name of the job
        job: String,
        /// When all went well, forget the snapshots that the job's keep-... keys do not keep
        #[arg(long)]
        forget: bool,
    },
    /// List snapshots, of one job or of all
    List {
        /// Name of the job
        job: Option<String>,
    },
    /// List what is in a snapshot
    Ls {
        /// The job, and which snapshot: 'latest' is the default
        #[arg(value_name = "JOB[@SNAPSHOT]")]
        snapshot: String,
        /// What is at this path and below it
        path: Option<String>,
    },
    /// Show what is different between two snapshots
    Diff {
        /// The job, and the first snapshot
        #[arg(value_name = "JOB@SNAPSHOT")]
        before: String,
        /// The second one, of the same job if none is named: 'latest' is the default
        #[arg(value_name = "[JOB]@SNAPSHOT", default_value = "@latest")]
        after: String,
    },
    Forget(tend::ForgetArgs),
    Prune(tend::PruneArgs),
    Verify(check::VerifyArgs),
    /// Show for each job when it ran, what it has and when it runs next; exit 1 when a success is older than max-age
    Status {
        /// Name of the job
        job: Option<String>,
    },
    Schedule(units::ScheduleArgs),
    /// Run all jobs by their schedules, in this process, until it is told to stop; SIGHUP reads the file of jobs again
    Daemon,
}

/// Runs the command. Hints that name flags are about keys here.
pub(super) fn run(args: &BackupArgs, output: &OutputArgs) -> Result<ExitCode> {
    let named = ["--create-bucket", "--wait-lock", "--state-dir"];
    run_command(args, output).map_err(|error| match error.hint() {
        Some(hint) if named.iter().any(|flag| hint.contains(flag)) => {
            let hint = format!("{hint}; in the file of jobs, flags are keys without '--'");
            error.with_hint(hint)
        }
        _ => error,
    })
}

fn run_command(args: &BackupArgs, output: &OutputArgs) -> Result<ExitCode> {
    let jobs = &args.jobs;
    let some = |job: &Option<String>| match job {
        Some(job) => Ok(vec![jobs.job(job)?]),
        None => jobs.jobs(),
    };
    match &args.command {
        BackupCommand::Run { job, forget } => {
            let job = jobs.job(job)?;
            run::run_job(&job, *forget, &signals::cancel_on_signals(), output)
        }
        BackupCommand::List { job } => look::list(&some(job)?, output),
        BackupCommand::Ls { snapshot, path } => {
            let (name, which) = named(snapshot)?;
            let path = path.as_deref().unwrap_or_default();
            look::ls(&jobs.job(name)?, &which, path, output)
        }
        BackupCommand::Diff { before, after } => look::diff(jobs, before, after, output),
        BackupCommand::Forget(args) => tend::forget_of(&jobs.job(&args.job)?, args, output),
        BackupCommand::Prune(args) => tend::prune_of(&jobs.job(&args.job)?, args, output),
        BackupCommand::Verify(args) => {
            let (name, which) = split(&args.snapshot);
            check::verify(&jobs.job(name)?, which, args, output)
        }
        BackupCommand::Status { job } => status::status(&some(job)?, output),
        BackupCommand::Schedule(args) => units::schedule(&jobs.job(&args.job)?, args, jobs),
        BackupCommand::Daemon => daemon::run(jobs, output),
    }
}

/// The job and, if one is named, the snapshot of `text`.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('@') {
        Some((job, snapshot)) => (job, Some(snapshot)),
        None => (text, None),
    }
}

fn which(text: &str) -> Result<Which> {
    text.parse()
        .map_err(|why: String| Error::new(ErrorKind::Usage, why))
}

/// The job and the snapshot that `text` names.
fn named(text: &str) -> Result<(&str, Which)> {
    let (job, snapshot) = split(text);
    Ok((job, which(snapshot.unwrap_or("latest"))?))
}

/// The one of the snapshots that are there that is meant.
fn find(repository: &Repository, which: &Which) -> Result<Snapshot> {
    resolve(&repository.snapshots()?, which, Timestamp::now()).cloned()
}
