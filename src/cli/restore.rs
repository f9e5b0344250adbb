//! `s3haul restore`: what is stored becomes files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::args::{RunArgs, StoreArgs};
use super::dry_run::PlanMonitor;
use super::exit_code::ExitCode;
use super::filter_args::FilterArgs;
use super::jobs::JobsArgs;
use super::output_args::OutputArgs;
use super::read_args::ReadArgs;
use super::report_file::ReportFile;
use super::run_output::{Deed, RunMonitor, print_end};
use super::state_args::{StateArgs, with_profile};
use super::unattended::{Came, UnattendedArgs, figures};
use super::{backup, embedded, logging, signals};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::Effect;
use crate::report::{Ending, RunSummary};
use crate::restore::{RestoreRequest, restore};
use crate::transfer::Overwrite;
use crate::units::{ByteSize, grouped, mean_rate, spoken};

/// Bring back what is stored: each object a file, checked, with its time of modification
///
/// Nothing is written outside of DEST and no link is followed, whatever keys are called. A file has its name only when it
/// is whole. What is the same already is not transferred.
#[derive(Args, Clone, Debug)]
pub(super) struct RestoreArgs {
    /// A prefix or one object; or a job of backups, and which of its snapshots: 'latest' is the default
    #[arg(value_name = "s3://BUCKET[/PREFIX/]|JOB[@SNAPSHOT]")]
    pub(super) source: String,

    /// The directory, made if it is missing; for one object it may be the file
    #[arg(value_name = "DEST")]
    pub(super) dest: PathBuf,

    #[command(flatten)]
    pub(super) restoring: RestoringArgs,

    /// Print what would be restored, and change nothing
    #[arg(short = 'n', long, visible_alias = "dryrun")]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) filter: FilterArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) run: RunArgs,
    #[command(flatten)]
    pub(super) reading: ReadArgs,
    #[command(flatten)]
    pub(super) unattended: UnattendedArgs,
    #[command(flatten)]
    pub(super) jobs: JobsArgs,
}

/// What happens to what is there.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct RestoringArgs {
    /// What happens to a file that is there and is something else [default: it stays, and the object counts as failed]
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        help_heading = "Restoring",
        env = "S3HAUL_OVERWRITE"
    )]
    overwrite: Option<OverwriteArg>,

    /// Give what comes from a snapshot to the users and groups that had it, by their numbers: for root
    #[arg(long, help_heading = "Restoring")]
    pub(super) owner: bool,
}

/// `--overwrite` as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OverwriteArg {
    /// It is replaced
    Always,
    /// It is replaced if it was modified before the object's file was
    Older,
    /// It stays, and the object counts as skipped
    Never,
}

impl RestoringArgs {
    pub(super) fn overwrite(&self) -> Overwrite {
        match self.overwrite {
            None => Overwrite::Refuse,
            Some(OverwriteArg::Always) => Overwrite::Always,
            Some(OverwriteArg::Older) => Overwrite::Older,
            Some(OverwriteArg::Never) => Overwrite::Never,
        }
    }
}

impl RestoreArgs {
    fn request(&self) -> Result<RestoreRequest> {
        Ok(RestoreRequest {
            source: self.source.parse().map_err(|error| {
                Error::new(ErrorKind::Usage, "the source cannot be used").with_source(error)
            })?,
            dest: self.dest.clone(),
            filter: Arc::new(self.filter.filter()?),
            overwrite: self.restoring.overwrite(),
            effect: if self.dry_run { Effect::Plan } else { Effect::Apply },
            config: Config {
                store: self.run.with_engine(self.store.settings_without_server()),
                transfer: self.reading.settings(false),
                run: self.run.settings(),
            },
            // Without a place for the books, large objects begin anew after a kill.
            state: self.state.settings().ok(),
            deadline: None,
        })
    }
}

/// Runs the command.
pub(super) fn run(args: &RestoreArgs, output: &OutputArgs) -> Result<ExitCode> {
    if !args.source.starts_with("s3://") {
        return backup::restore(args, output);
    }
    run_request(
        (args.request()?, None),
        (&args.store, &args.run),
        &args.unattended,
        output,
    )
}

/// Restores what `request` names from the server that the flags name, and writes a report if a file is named for it.
pub(super) fn run_request(
    (request, report): (RestoreRequest, Option<&Path>),
    server: (&StoreArgs, &RunArgs),
    unattended: &UnattendedArgs,
    output: &OutputArgs,
) -> Result<ExitCode> {
    let job = request.source.to_string();
    unattended.attend(&job, |deadline| {
        restore_all((RestoreRequest { deadline, ..request }, report), server, output)
    })
}

fn restore_all(
    (mut request, report): (RestoreRequest, Option<&Path>),
    (store, run): (&StoreArgs, &RunArgs),
    output: &OutputArgs,
) -> Result<Came> {
    request.config.validate()?;
    let (store, _server) = embedded::settings(store)?;
    let store = with_profile(store, request.state.as_ref(), &request.source.bucket);
    request.config.store = run.with_engine(store);
    let report = report.map(ReportFile::create).transpose()?;
    let cancel = signals::cancel_on_signals();
    tracing::info!(target: logging::RUN, source = %request.source, dest = %request.dest.display(), "begins");
    let summary = if request.effect == Effect::Plan {
        let mut monitor = PlanMonitor::new(Deed::Restores, &request.source.bucket, output);
        restore(&request, &cancel, &mut monitor)?
    } else {
        let mut monitor = RunMonitor::new(Deed::Restores, output);
        let outcome = restore(&request, &cancel, &mut monitor);
        monitor.finish();
        outcome?
    };
    tracing::info!(target: logging::RUN, totals = ?summary.totals, elapsed = ?summary.elapsed, "ends");
    let code = ReportFile::conclude(report, &request.config, &summary, ExitCode::of_summary(&summary));
    let headline = headline(&summary);
    print_end(&summary, headline.clone(), code, output);
    Ok(Came {
        code,
        figures: figures(&summary, "restored", (0, 0)),
        headline,
        stamp: None,
    })
}

/// What a restore came to, in one line.
fn headline(summary: &RunSummary) -> String {
    let totals = &summary.totals;
    let sized =
        |what: &str, count: u64, bytes: u64| format!("{what} {} ({})", grouped(count), ByteSize(bytes));
    let done = match totals.planned {
        0 => sized("restored", totals.done, totals.bytes_done),
        planned => sized("would restore", planned, totals.bytes_planned),
    };
    let rate = mean_rate(totals.bytes_done, summary.elapsed);
    let head = format!(
        "{} in {} ({rate}): {done}, unchanged {}",
        summary.target,
        spoken(summary.elapsed),
        grouped(totals.unchanged)
    );
    match &summary.ending {
        Ending::Finished => head,
        _ => format!("stopped early: {head}; {} not tried", grouped(totals.cancelled)),
    }
}
