//! `s3haul restore JOB[@SNAPSHOT] DEST`: a snapshot becomes files again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{find, named};
use crate::backup::{RestoredEntries, SnapshotRestoreRequest, restore_snapshot};
use crate::cli::dry_run::PlanMonitor;
use crate::cli::exit_code::ExitCode;
use crate::cli::jobs::Job;
use crate::cli::output_args::OutputArgs;
use crate::cli::restore::RestoreArgs;
use crate::cli::run_output::{Deed, RunMonitor, print_end};
use crate::cli::unattended::{Came, figures};
use crate::cli::{printer, signals};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::Effect;
use crate::report::{Ending, RunSummary};
use crate::units::{ByteSize, grouped, spoken};

/// Failures that are printed.
const SHOWN: usize = 10;

/// Brings a snapshot of a job back.
pub(in crate::cli) fn restore(args: &RestoreArgs, output: &OutputArgs) -> Result<ExitCode> {
    let (name, which) = named(&args.source)?;
    let mut job = args.jobs.job(name)?;
    if args.dest.as_os_str().as_encoded_bytes().starts_with(b"s3://") {
        let message = format!(
            "a snapshot is restored to a directory, and '{}' is none",
            args.dest.display()
        );
        return Err(Error::new(ErrorKind::Usage, message));
    }
    refuse_source(&job, &args.dest)?;
    // What was typed counts more than what the job says.
    job.store = args.store.over(&job.store);
    job.run = args.run.clone();
    let cancel = signals::cancel_on_signals();
    args.unattended.attend(&job.name, |deadline| {
        let open = job.open(&cancel)?;
        let snapshot = find(&open.repository, &which)?;
        let manifest = open.repository.manifest(&snapshot)?;
        let mut config = open.config.clone();
        config.transfer = args.reading.settings(false);
        let request = SnapshotRestoreRequest {
            dest: args.dest.clone(),
            filter: Arc::new(args.filter.filter()?),
            overwrite: args.restoring.overwrite(),
            gives_owners: args.restoring.owner,
            effect: if args.dry_run { Effect::Plan } else { Effect::Apply },
            config,
            // Without a place for the books, large objects begin anew after a kill.
            state: args.state.settings().ok(),
            deadline,
        };
        let stored = (&open.repository, &manifest);
        let outcome = if args.dry_run {
            let mut monitor = PlanMonitor::new(Deed::Restores, &job.target.bucket, output);
            restore_snapshot(stored, &request, &cancel, &mut monitor)
        } else {
            let mut monitor = RunMonitor::new(Deed::Restores, output);
            let outcome = restore_snapshot(stored, &request, &cancel, &mut monitor);
            monitor.finish();
            outcome
        };
        let (run, entries) = outcome?;
        let code = code(&run, &entries);
        let headline = headline(&format!("{}@{}", job.name, snapshot.id), &run, &entries);
        print_end(&run, headline.clone(), code, output);
        tell_failures(&entries);
        Ok(Came {
            code,
            figures: figures(&run, "restored", (0, 0)),
            headline,
            stamp: None,
        })
    })
}

fn code(run: &RunSummary, entries: &RestoredEntries) -> ExitCode {
    match ExitCode::of_summary(run) {
        ExitCode::Done if entries.failed + entries.without_content > 0 => ExitCode::Incomplete,
        code => code,
    }
}

fn tell_failures(entries: &RestoredEntries) {
    for (path, why) in entries.failures.iter().take(SHOWN) {
        printer::failure(&format!("'{}' cannot be made: {why}", path.escape_debug()));
    }
    for (path, why) in entries.lost.iter().take(SHOWN) {
        printer::failure(&format!(
            "'{path}' has no content in the snapshot: {}",
            why.escape_debug()
        ));
    }
    let more = entries.failed.saturating_sub(SHOWN as u64);
    if more > 0 {
        printer::failure(&format!("{} more could not be made", grouped(more)));
    }
}

/// What a restore came to, in one line.
fn headline(snapshot: &str, run: &RunSummary, entries: &RestoredEntries) -> String {
    let totals = &run.totals;
    let done = match totals.planned {
        0 => format!(
            "restored {} ({}), unchanged {}",
            grouped(totals.done),
            ByteSize(totals.bytes_done),
            grouped(totals.unchanged)
        ),
        planned => format!(
            "would restore {} ({})",
            grouped(planned),
            ByteSize(totals.bytes_planned)
        ),
    };
    let mut line = format!("{snapshot} in {}: {done}", spoken(run.elapsed));
    for (what, count) in [
        ("links", entries.links),
        ("directories", entries.directories),
        ("pipes, sockets and devices left out", entries.left_out),
        ("in whose place something else stays", entries.kept),
        ("without content in the snapshot", entries.without_content),
    ] {
        if count > 0 {
            line.push_str(&format!(", {} {what}", grouped(count)));
        }
    }
    match &run.ending {
        Ending::Finished => line,
        _ => format!("stopped early: {line}; {} not tried", grouped(totals.cancelled)),
    }
}

/// A restore into what is backed up would change what it is of, whichever lies in which.
fn refuse_source(job: &Job, dest: &Path) -> Result<()> {
    // The part of it that is there, with its links resolved, and the rest as it was typed.
    let absolute = std::path::absolute(dest).unwrap_or_else(|_| dest.to_owned());
    let there = absolute.ancestors().find_map(|path| {
        let real = path.canonicalize().ok()?;
        Some(real.join(absolute.strip_prefix(path).ok()?))
    });
    let dest = there.unwrap_or(absolute);
    let overlaps = |source: &PathBuf| {
        let real = source.canonicalize().unwrap_or_else(|_| source.clone());
        let written = source.file_name().map(|name| dest.join(name));
        dest.starts_with(&real)
            || written.is_some_and(|written| written.starts_with(&real) || real.starts_with(written))
    };
    match job.sources.iter().find(|source| overlaps(source)) {
        None => Ok(()),
        Some(source) => Err(Error::new(
            ErrorKind::Usage,
            format!(
                "a restore to '{}' would write into '{}', which job '{}' backs up",
                dest.display(),
                source.display(),
                job.name
            ),
        )
        .with_hint("restore into another directory, and move from there what is wanted")),
    }
}
