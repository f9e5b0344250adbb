//! `s3haul sync`: flags to a request, one call of the library, its outcome to lines and an exit code.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::args::{ObjectArgs, RunArgs, StoreArgs, TransferArgs, config};
use super::dry_run::PlanMonitor;
use super::exit_code::ExitCode;
use super::filter_args::FilterArgs;
use super::output_args::{OutputArgs, OutputFormat};
use super::run_output::{Deed, RunMonitor, print_end};
use super::state_args::{StateArgs, with_profile};
use super::unattended::{Came, UnattendedArgs, figures};
use super::{embedded, json, logging, printer, signals};
use crate::config::BucketPolicy;
use crate::error::Result;
use crate::mirror::{
    ChangeRule, DeleteRules, Deletion, MaxDelete, MirrorRequest, MirrorSummary, Withheld, mirror,
};
use crate::pipeline::Effect;
use crate::report::Ending;
use crate::source::S3Url;
use crate::units::{ByteSize, grouped, spoken};

const RULES: &str = "\
A file goes up when nothing is stored at its key, or when its size, modification time, change time or inode is not what it
was when the object was made; where only change time or inode differ, its content decides. Without a memory of that
(another machine, a lost state), the modification time and the checksum that the object carries decide.
With --delete, what is gone from the source is deleted, last, and only if everything was read, listed and uploaded.";

/// Make a prefix what a directory is: upload what changed, delete what is gone if asked to
#[derive(Args, Clone, Debug)]
#[command(after_help = RULES, after_long_help = RULES)]
pub(super) struct SyncArgs {
    /// The directory
    #[arg(value_name = "SRC")]
    source: PathBuf,

    /// Where it is mirrored
    #[arg(value_name = "s3://BUCKET[/PREFIX/]")]
    target: S3Url,

    /// Compare contents: files are read, and nothing is believed of times
    #[arg(long, help_heading = "Changes", conflicts_with_all = ["size_only", "ignore_times", "ignore_existing"])]
    checksum: bool,

    /// Compare nothing but sizes
    #[arg(long, help_heading = "Changes", conflicts_with_all = ["ignore_times", "ignore_existing"])]
    size_only: bool,

    /// Upload everything again
    #[arg(long, help_heading = "Changes", conflicts_with = "ignore_existing")]
    ignore_times: bool,

    /// Leave what exists as it is, whatever the file is now
    #[arg(long, help_heading = "Changes")]
    ignore_existing: bool,

    /// Print what would be uploaded and deleted, and why, and change nothing: files are looked at as far as needed
    #[arg(short = 'n', long, visible_alias = "dryrun")]
    dry_run: bool,

    #[command(flatten)]
    delete: DeleteArgs,

    /// Refuse to run unless this file, relative to SRC, is there: a disk that is not mounted has none
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Safety",
        env = "S3HAUL_REQUIRE_FILE"
    )]
    require_file: Option<PathBuf>,

    #[command(flatten)]
    state: StateArgs,

    #[command(flatten)]
    filter: FilterArgs,

    /// Follow symbolic links found in directories; loops are found
    #[arg(long, help_heading = "Selection", env = "S3HAUL_FOLLOW_SYMLINKS")]
    follow_symlinks: bool,

    /// Make the bucket if it is missing
    #[arg(long, help_heading = "Server", env = "S3HAUL_CREATE_BUCKET")]
    create_bucket: bool,

    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    transfer: TransferArgs,
    #[command(flatten)]
    objects: ObjectArgs,
    #[command(flatten)]
    unattended: UnattendedArgs,
}

/// What may be deleted.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Deletion")]
struct DeleteArgs {
    /// Delete objects below the prefix whose files are gone
    #[arg(long)]
    delete: bool,

    /// Delete at most so many, a number or a percentage of what is stored, and nothing if it would be more
    ///
    /// Default: 25 % or 10 objects, whichever is more.
    #[arg(long, value_name = "N|N%", requires = "delete")]
    max_delete: Option<MaxDelete>,

    /// Delete also what --exclude leaves out now
    #[arg(long, requires = "delete")]
    delete_excluded: bool,

    /// Delete also when the source has no file at all
    #[arg(long, requires = "delete")]
    allow_empty_source: bool,

    /// Delete also when the source is on another device than last time
    #[arg(long, requires = "delete")]
    allow_other_device: bool,

    /// Copy what is deleted to this prefix of the bucket before; what cannot be copied is not deleted
    #[arg(long, value_name = "PREFIX", requires = "delete")]
    backup_dir: Option<String>,
}

impl DeleteArgs {
    fn rules(&self) -> Option<DeleteRules> {
        self.delete.then(|| DeleteRules {
            max: self.max_delete.unwrap_or_default(),
            allows_empty_source: self.allow_empty_source,
            allows_other_device: self.allow_other_device,
            deletes_excluded: self.delete_excluded,
            backup_prefix: self.backup_dir.clone(),
        })
    }
}

impl SyncArgs {
    fn request(&self, output: &OutputArgs) -> Result<MirrorRequest> {
        let transfer = self.transfer.settings(&self.objects, self.follow_symlinks)?;
        let streams = ["/dev/stdout", "/dev/stderr"].map(PathBuf::from);
        Ok(MirrorRequest {
            source: self.source.clone(),
            target: self.target.clone(),
            filter: Arc::new(self.filter.filter()?),
            own_outputs: output.log_file.iter().cloned().chain(streams).collect(),
            bucket_policy: if self.create_bucket {
                BucketPolicy::Create
            } else {
                BucketPolicy::MustExist
            },
            config: config(
                self.run.with_engine(self.store.settings_without_server()),
                transfer,
                &self.run,
            ),
            effect: if self.dry_run { Effect::Plan } else { Effect::Apply },
            change: self.change(),
            delete: self.delete.rules(),
            required_file: self.require_file.clone(),
            state: self.state.settings()?,
            deadline: None,
        })
    }

    fn change(&self) -> ChangeRule {
        match (
            self.checksum,
            self.size_only,
            self.ignore_times,
            self.ignore_existing,
        ) {
            (true, ..) => ChangeRule::Checksum,
            (_, true, ..) => ChangeRule::SizeOnly,
            (_, _, true, _) => ChangeRule::IgnoreTimes,
            (_, _, _, true) => ChangeRule::IgnoreExisting,
            _ => ChangeRule::Times,
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &SyncArgs, output: &OutputArgs) -> Result<ExitCode> {
    let job = args.target.to_string();
    args.unattended.attend(&job, |deadline| {
        let request = args.request(output)?;
        mirror_all(args, MirrorRequest { deadline, ..request }, output)
    })
}

fn mirror_all(args: &SyncArgs, mut request: MirrorRequest, output: &OutputArgs) -> Result<Came> {
    request.config.validate()?;
    embedded::refuse_data_inside(&args.store, std::slice::from_ref(&args.source), &request.filter)?;
    let (store, _server) = embedded::settings(&args.store)?;
    let store = with_profile(store, Some(&request.state), &request.target.bucket);
    request.config.store = args.run.with_engine(store);
    let cancel = signals::cancel_on_signals();
    tracing::info!(target: logging::RUN, source = %request.source.display(), target = %request.target, "begins");
    let summary = if args.dry_run {
        mirror(
            &request,
            &cancel,
            &mut PlanMonitor::new(Deed::Uploads, &request.target.bucket, output),
        )?
    } else {
        let mut monitor = RunMonitor::new(Deed::Uploads, output);
        let outcome = mirror(&request, &cancel, &mut monitor);
        monitor.finish();
        outcome?
    };
    tracing::info!(target: logging::RUN, totals = ?summary.run.totals, tally = ?summary.tally, "ends");
    let code = code(&summary);
    tell(&summary, code, output);
    let tally = &summary.tally;
    let mut figures = figures(&summary.run, "uploaded", (tally.unchanged, tally.bytes_unchanged));
    if let Some(Deletion::Done(deleted)) = &summary.deletion {
        figures.results.push(("deleted", deleted.objects, deleted.bytes));
    }
    Ok(Came {
        code,
        figures,
        headline: headline(&summary),
        stamp: (!args.dry_run).then(|| summary.home.join("last-success")),
    })
}

fn code(summary: &MirrorSummary) -> ExitCode {
    let of_run = ExitCode::of_summary(&summary.run);
    match &summary.deletion {
        _ if of_run != ExitCode::Done => of_run,
        Some(Deletion::Withheld(Withheld::Refused(..))) => ExitCode::Refused,
        Some(Deletion::Withheld(Withheld::Incomplete(_))) => ExitCode::Incomplete,
        Some(Deletion::Done(deleted)) if deleted.failed > 0 => ExitCode::Incomplete,
        Some(Deletion::Done(deleted)) if deleted.is_cut => ExitCode::OutOfTime,
        _ => ExitCode::Done,
    }
}

fn tell(summary: &MirrorSummary, code: ExitCode, output: &OutputArgs) {
    for note in &summary.state_notes {
        printer::note(note);
    }
    if output.output == OutputFormat::Json {
        json::mirror(summary);
    }
    print_end(&summary.run, headline(summary), code, output);
    match &summary.deletion {
        Some(Deletion::Withheld(Withheld::Refused(why, flag))) => {
            printer::failure(&format!("nothing is deleted: {why}"));
            printer::note(&format!("use {flag}"));
        }
        Some(Deletion::Withheld(Withheld::Incomplete(why))) => printer::failure(why),
        Some(Deletion::Done(deleted)) => {
            for (key, failure) in deleted.failures.iter().take(10) {
                printer::failure(&format!("'{key}' cannot be deleted: {failure}"));
            }
        }
        Some(Deletion::Planned { .. }) | None => {}
    }
}

/// What a mirror came to, in one line.
fn headline(summary: &MirrorSummary) -> String {
    let (totals, tally) = (&summary.run.totals, &summary.tally);
    let sized =
        |what: &str, count: u64, bytes: u64| format!("{what} {} ({})", grouped(count), ByteSize(bytes));
    let mut pieces = vec![
        match totals.planned {
            0 => sized("uploaded", totals.done, totals.bytes_done),
            planned => sized("would upload", planned, totals.bytes_planned),
        },
        format!("unchanged {}", grouped(tally.unchanged + totals.unchanged)),
    ];
    match &summary.deletion {
        Some(Deletion::Done(deleted)) => pieces.push(sized("deleted", deleted.objects, deleted.bytes)),
        Some(Deletion::Planned { objects, bytes }) => pieces.push(sized("would delete", *objects, *bytes)),
        Some(Deletion::Withheld(_)) | None => {}
    }
    if tally.sheltered > 0 {
        pieces.push(format!(
            "kept {} whose files are left out",
            grouped(tally.sheltered)
        ));
    }
    let (target, time) = (&summary.run.target, spoken(summary.run.elapsed));
    let head = format!("{target} in {time}: {}", pieces.join(", "));
    match &summary.run.ending {
        Ending::Finished => head,
        _ => format!("stopped early: {head}; {} not tried", grouped(totals.cancelled)),
    }
}
