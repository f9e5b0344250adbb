//! `s3haul backup forget` and `prune`: what is not to be kept, and what nobody needs any more.

use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::backup::{Forgotten, PruneRules, Pruned, Repository, forget, prune, refuse_nothing};
use crate::cli::choices::duration;
use crate::cli::exit_code::ExitCode;
use crate::cli::jobs::{Job, KeepArgs};
use crate::cli::output_args::{OutputArgs, OutputFormat};
use crate::cli::unattended::UnattendedArgs;
use crate::cli::{json, printer, signals};
use crate::config::{BucketPolicy, Config};
use crate::error::{Result, chain};
use crate::mirror::MaxDelete;
use crate::pipeline::Effect;
use crate::units::{ByteSize, grouped};

/// Forget snapshots that are not to be kept; what only they named stays until a prune
///
/// The rules are those of the flags, or of the job's keep-... keys when there is no such flag.
#[derive(Args, Clone, Debug)]
pub(super) struct ForgetArgs {
    /// Name of the job
    pub(super) job: String,
    #[command(flatten)]
    keep: KeepArgs,
    /// Say what would be forgotten, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Remove contents that no snapshot names any more
///
/// All snapshots are read first; one that cannot be read ends it. Contents of runs that were killed are younger than --grace
/// for a while: the next run uses them.
#[derive(Args, Clone, Debug)]
pub(super) struct PruneArgs {
    /// Name of the job
    pub(super) job: String,
    /// Remove only what is older than this by the server's clock; longer than the longest run
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "24h")]
    grace: Duration,
    /// Remove at most so many, a number or a percentage of what is stored, and nothing if it would be more
    ///
    /// Default: 25 % or 10 objects, whichever is more.
    #[arg(long, value_name = "N|N%")]
    max_delete: Option<MaxDelete>,
    /// Remove also when there is no snapshot, which leaves nothing
    #[arg(long)]
    allow_no_snapshots: bool,
    /// Say what would be removed, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    unattended: UnattendedArgs,
}

fn effect(is_dry: bool) -> Effect {
    if is_dry { Effect::Plan } else { Effect::Apply }
}

pub(super) fn forget_of(job: &Job, args: &ForgetArgs, output: &OutputArgs) -> Result<ExitCode> {
    let cancel = signals::cancel_on_signals();
    let keep = match args.keep.keep() {
        keep if keep.is_nothing() => job.keep.keep(),
        keep => keep,
    };
    let now = Timestamp::now().to_zoned(job.zone());
    let how = (effect(args.dry_run), &now);
    // Said before a server is asked.
    refuse_nothing(&keep)?;
    let open = job.open(&cancel)?;
    let forgotten = forget(&open.repository, &keep, how, &job.state.settings()?, &cancel)?;
    Ok(tell_forgotten(job, &forgotten, args.dry_run, output))
}

/// Forgets by the job's own rules, after a run. What goes wrong is said, and is worth an exit code.
pub(super) fn forget_after_run(
    job: &Job,
    config: &Config,
    cancel: &CancellationToken,
    output: &OutputArgs,
) -> ExitCode {
    let keep = job.keep.keep();
    if keep.is_nothing() {
        return ExitCode::Done;
    }
    let forgotten =
        Repository::open(config, &job.target, BucketPolicy::MustExist, cancel).and_then(|repository| {
            let now = Timestamp::now().to_zoned(job.zone());
            forget(
                &repository,
                &keep,
                (Effect::Apply, &now),
                &job.state.settings()?,
                cancel,
            )
        });
    match forgotten {
        Ok(forgotten) => tell_forgotten(job, &forgotten, false, output),
        Err(error) => {
            printer::failure(&format!("old snapshots stay: {}", chain(&error)));
            ExitCode::Incomplete
        }
    }
}

fn tell_forgotten(job: &Job, forgotten: &Forgotten, is_dry: bool, output: &OutputArgs) -> ExitCode {
    let words = [
        ("kept", &forgotten.kept),
        (
            if is_dry { "would forget" } else { "forgot" },
            &forgotten.forgotten,
        ),
    ];
    for (word, ids) in words {
        for id in ids {
            match output.output {
                OutputFormat::Json => {
                    json::line("forget", json!({ "job": job.name, "id": id, "outcome": word }))
                }
                OutputFormat::Text if output.is_silent() && !is_dry => {}
                OutputFormat::Text => printer::data(&format!("{word} {}@{id}", job.name)),
            }
        }
    }
    for id in &forgotten.damaged {
        printer::failure(&format!(
            "{}@{id} cannot be read; s3haul backup verify says why",
            job.name
        ));
    }
    for (id, why) in &forgotten.failures {
        printer::failure(&format!("{}@{id} cannot be forgotten: {why}", job.name));
    }
    if forgotten.failures.is_empty() && forgotten.damaged.is_empty() {
        ExitCode::Done
    } else {
        ExitCode::Incomplete
    }
}

pub(super) fn prune_of(job: &Job, args: &PruneArgs, output: &OutputArgs) -> Result<ExitCode> {
    use crate::cli::metrics::Figures;
    use crate::cli::unattended::Came;
    let cancel = signals::cancel_on_signals();
    args.unattended
        .attend(&format!("{} prune", job.name), |deadline| {
            let open = job.open(&cancel)?;
            let rules = rules(args, deadline);
            let told = |record: &crate::event::DeletionRecord| match output.output {
                OutputFormat::Json => json::line("delete", record),
                OutputFormat::Text if output.verbose > 0 || args.dry_run => {
                    printer::data(&format!("{} {}", record.key, ByteSize(record.size_bytes)));
                }
                OutputFormat::Text => {}
            };
            let pruned = prune(&open.repository, &rules, &job.state.settings()?, &cancel, told)?;
            let (code, headline) = (code(&pruned), headline(job, &pruned));
            match output.output {
                OutputFormat::Json => tell_pruned(job, &pruned),
                OutputFormat::Text if output.is_silent() && code == ExitCode::Done && !args.dry_run => {}
                OutputFormat::Text => printer::data(&headline),
            }
            let deleted = pruned.deleted.clone().unwrap_or_default();
            Ok(Came {
                code,
                figures: Figures {
                    results: vec![
                        ("deleted", deleted.objects, deleted.bytes),
                        ("failed", deleted.failed, 0),
                    ],
                    retries: 0,
                },
                headline,
                stamp: None,
            })
        })
}

fn rules(args: &PruneArgs, deadline: Option<Instant>) -> PruneRules {
    PruneRules {
        grace: args.grace,
        max: args.max_delete.unwrap_or_default(),
        allows_no_snapshots: args.allow_no_snapshots,
        effect: effect(args.dry_run),
        deadline,
    }
}

fn code(pruned: &Pruned) -> ExitCode {
    match &pruned.deleted {
        Some(deleted) if deleted.failed > 0 => ExitCode::Incomplete,
        Some(deleted) if deleted.is_cut => ExitCode::OutOfTime,
        _ => ExitCode::Done,
    }
}

fn tell_pruned(job: &Job, pruned: &Pruned) {
    json::line(
        "prune",
        json!({
            "job": job.name,
            "snapshots": pruned.snapshots,
            "stored": { "contents": pruned.stored.0, "bytes": pruned.stored.1 },
            "unnamed": { "contents": pruned.unnamed.0, "bytes": pruned.unnamed.1 },
            "to_go": { "contents": pruned.to_go.0, "bytes": pruned.to_go.1 },
            "deleted": pruned.deleted.as_ref().map(|deleted| json!({ "contents": deleted.objects, "bytes": deleted.bytes, "failed": deleted.failed })),
        }),
    );
}

fn headline(job: &Job, pruned: &Pruned) -> String {
    let sized = |(count, bytes): (u64, u64)| format!("{} contents ({})", grouped(count), ByteSize(bytes));
    let done = match &pruned.deleted {
        None => format!("would remove {}", sized(pruned.to_go)),
        Some(deleted) => {
            let mut done = format!("removed {}", sized((deleted.objects, deleted.bytes)));
            if deleted.failed > 0 {
                let why = deleted.failures.first().map(|(_, failure)| failure.to_string());
                done.push_str(&format!(
                    ", {} could not be removed ({})",
                    grouped(deleted.failed),
                    why.unwrap_or_default()
                ));
            }
            done
        }
    };
    let young = (
        pruned.unnamed.0 - pruned.to_go.0,
        pruned.unnamed.1 - pruned.to_go.1,
    );
    format!(
        "{}: {done} of {}; {} that no snapshot names are too young; {} snapshots were read",
        job.name,
        sized(pruned.stored),
        sized(young),
        grouped(pruned.snapshots)
    )
}
