//! `s3haul backup list`, `ls` and `diff`: what is stored, for people and programs.

use serde_json::json;

use super::{find, named, split, which};
use crate::backup::manifest::{Entry, EntryKind};
use crate::backup::{ChangeOfEntry, Manifest, Snapshot, Which, compare};
use crate::cli::exit_code::ExitCode;
use crate::cli::jobs::{Job, JobsArgs};
use crate::cli::output_args::{OutputArgs, OutputFormat};
use crate::cli::{json, printer, signals};
use crate::error::{Error, ErrorKind, Result, chain};
use crate::units::shown;

pub(super) fn list(jobs: &[Job], output: &OutputArgs) -> Result<ExitCode> {
    let cancel = signals::cancel_on_signals();
    let mut code = ExitCode::Done;
    for job in jobs {
        let snapshots = match job.open(&cancel).and_then(|open| open.repository.snapshots()) {
            Err(error) if jobs.len() > 1 => {
                printer::failure(&format!("{}: {}", job.name, chain(&error)));
                code = ExitCode::Failed;
                continue;
            }
            snapshots => snapshots?,
        };
        for Snapshot { id, manifest_bytes } in snapshots {
            match output.output {
                OutputFormat::Json => json::line(
                    "snapshot",
                    json!({ "job": job.name, "id": id, "time": id.time().to_string(), "manifest_bytes": manifest_bytes }),
                ),
                OutputFormat::Text => {
                    let here = id.time().to_zoned(jiff::tz::TimeZone::system());
                    let when = here.strftime("%Y-%m-%d %H:%M:%S");
                    printer::data(&format!("{when}  {}@{id}", job.name));
                }
            }
        }
    }
    Ok(code)
}

pub(super) fn ls(job: &Job, which: &Which, path: &str, output: &OutputArgs) -> Result<ExitCode> {
    let open = job.open(&signals::cancel_on_signals())?;
    let snapshot = find(&open.repository, which)?;
    let path = path.trim_matches('/');
    let below = format!("{path}/");
    let is_wanted = |entry: &Entry| path.is_empty() || entry.path == path || entry.path.starts_with(&below);
    let mut is_found = false;
    for entry in open.repository.manifest(&snapshot)?.entries()? {
        let entry = entry?;
        if is_wanted(&entry) {
            is_found = true;
            match output.output {
                OutputFormat::Json => json::line("entry", &entry),
                OutputFormat::Text => printer::data(&line(&entry)),
            }
        }
    }
    if is_found || path.is_empty() {
        return Ok(ExitCode::Done);
    }
    let message = format!("there is no '{}' in {}@{}", shown(path), job.name, snapshot.id);
    Err(Error::new(ErrorKind::NothingStored, message)
        .with_hint("paths begin with the name of a source; s3haul backup ls JOB@SNAPSHOT shows them"))
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
    let mode = shown(entry.mode.as_deref().unwrap_or("????"));
    let more = match (&entry.target, &entry.error) {
        (_, Some(error)) => format!("  [{}]", shown(error)),
        (Some(target), None) => format!(" -> {}", shown(target)),
        (None, None) => String::new(),
    };
    format!("{letter}{mode} {size:>14} {}{more}", shown(&entry.path))
}

pub(super) fn diff(jobs: &JobsArgs, before: &str, after: &str, output: &OutputArgs) -> Result<ExitCode> {
    let (name, first) = named(before)?;
    let (other, second) = split(after);
    let second = which(second.unwrap_or("latest"))?;
    let job = jobs.job(name)?;
    let cancel = signals::cancel_on_signals();
    let open = job.open(&cancel)?;
    let manifest = |snapshot: &Snapshot| open.repository.manifest(snapshot);
    let before = manifest(&find(&open.repository, &first)?)?;
    let after: Manifest = if other.is_empty() || other == name {
        manifest(&find(&open.repository, &second)?)?
    } else {
        let other = jobs.job(other)?;
        let open = other.open(&cancel)?;
        open.repository.manifest(&find(&open.repository, &second)?)?
    };
    compare((&before, &after), |change, entry| match output.output {
        OutputFormat::Json => json::line("change", json!({ "change": word(change), "entry": entry })),
        OutputFormat::Text => printer::data(&format!("{} {}", letter(change), shown(&entry.path))),
    })?;
    Ok(ExitCode::Done)
}

fn letter(change: ChangeOfEntry) -> char {
    match change {
        ChangeOfEntry::Added => '+',
        ChangeOfEntry::Removed => '-',
        ChangeOfEntry::Content => 'M',
        ChangeOfEntry::Kind => 'T',
        ChangeOfEntry::Looks => 'U',
    }
}

fn word(change: ChangeOfEntry) -> &'static str {
    match change {
        ChangeOfEntry::Added => "added",
        ChangeOfEntry::Removed => "removed",
        ChangeOfEntry::Content => "content",
        ChangeOfEntry::Kind => "kind",
        ChangeOfEntry::Looks => "looks",
    }
}
