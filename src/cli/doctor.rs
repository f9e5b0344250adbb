//! `s3haul doctor`: what a server can do, proven before anything depends on it.

use clap::Args;
use serde_json::json;

use super::args::{ChecksumArg, StoreArgs};
use super::exit_code::ExitCode;
use super::output_args::{OutputArgs, OutputFormat};
use super::state_args::StateDirArgs;
use super::{embedded, json as lines, printer, signals};
use crate::config::{ChecksumAlgorithm, Config, ProfilePlace, TransferSettings};
use crate::doctor::{Check, Examination, ExamineRequest, Left, Verdict, examine};
use crate::error::{Error, ErrorKind, Result};
use crate::source::S3Url;
use crate::store::{Capabilities, ServerKind};

/// Prove what a server can do, with objects of its own that are removed again, before a job depends on it
///
/// Writes, parts, each checksum (also wrong ones, which must be refused), listing, conditional writes, archives, copies,
/// deletion, clock. What was found is kept for 90 days as the profile of this server and bucket, and 'cp', 'sync', 'restore'
/// and 'backup' follow it. Exit code 1 when something does not work that uploads need.
#[derive(Args, Clone, Debug)]
pub(super) struct DoctorArgs {
    /// Where jobs will store; everything is tried below it
    #[arg(value_name = "s3://BUCKET[/PREFIX/]")]
    target: S3Url,

    /// Checksum that jobs will send
    #[arg(long, value_enum, default_value_t = ChecksumArg::Crc64nvme, env = "S3HAUL_CHECKSUM_ALGORITHM")]
    checksum_algorithm: ChecksumArg,

    #[command(flatten)]
    state: StateDirArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs the command.
pub(super) fn run(args: &DoctorArgs, output: &OutputArgs) -> Result<ExitCode> {
    let place = place(args)?;
    let (store, _server) = embedded::settings(&args.store)?;
    let request = ExamineRequest {
        target: args.target.clone(),
        config: Config {
            store,
            transfer: TransferSettings {
                checksum: args.checksum_algorithm.into(),
                ..TransferSettings::default()
            },
            ..Config::default()
        },
    };
    let cancel = signals::cancel_on_signals();
    let examination = examine(&request, &cancel, &mut |check| tell(check, output))?;
    let kept = keep(&examination, place.as_ref())?;
    conclude(&examination, request.config.transfer.checksum, kept, output);
    Ok(if examination.is_stopped {
        signals::received().unwrap_or(ExitCode::Failed)
    } else if examination.is_good() {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}

/// Where the profile is kept. The embedded server of one command has another address the next time, and is known anyway.
fn place(args: &DoctorArgs) -> Result<Option<ProfilePlace>> {
    if args.store.endpoint_url.as_deref() == Some(embedded::EMBEDDED) {
        return Ok(None);
    }
    let state = args.state.settings()?;
    Ok(Some(state.server_profile(&args.target.bucket)))
}

/// Keeps what was proven, and says where.
fn keep(examination: &Examination, place: Option<&ProfilePlace>) -> Result<Option<String>> {
    let (Some(profile), Some(place)) = (&examination.profile, place) else {
        return Ok(None);
    };
    let path = profile.keep(place).map_err(|error| {
        let directory = place.directory.display();
        Error::new(
            ErrorKind::Configuration,
            format!("the profile of the server cannot be kept in '{directory}'"),
        )
        .with_source(error)
        .with_hint("name another directory with --state-dir DIR")
    })?;
    Ok(Some(path.display().to_string()))
}

fn tell(check: &Check, output: &OutputArgs) {
    if output.output == OutputFormat::Json {
        return lines::line("check", check);
    }
    let (mark, why, hint) = match &check.verdict {
        Verdict::Works => ("ok", "", None),
        Verdict::Fails { why, hint } => ("no", why.as_str(), hint.as_deref()),
        Verdict::Unsupported { why } | Verdict::Skipped { why } => ("--", why.as_str(), None),
    };
    let said = if why.is_empty() { &check.detail } else { why };
    printer::data(&format!("{mark}  {:<24}  {said}", check.name));
    if let Some(hint) = hint {
        printer::data(&format!("    hint: {hint}"));
    }
}

/// What follows for s3haul, and what was left behind.
fn conclude(
    examination: &Examination,
    checksum: ChecksumAlgorithm,
    kept: Option<String>,
    output: &OutputArgs,
) {
    let profile = examination.profile.as_ref();
    let follows = profile
        .map(|profile| consequences(examination, profile.capabilities(checksum), checksum))
        .unwrap_or_default();
    if output.output == OutputFormat::Json {
        lines::line(
            "examination",
            json!({
                "is_good": examination.is_good(), "is_stopped": examination.is_stopped, "server": examination.kind,
                "profile": profile, "kept": kept, "follows": follows, "left": examination.left,
            }),
        );
        return;
    }
    for Left { key, upload_id, why } in &examination.left {
        let what = upload_id
            .as_ref()
            .map_or("object".to_owned(), |id| format!("multipart upload {id} of"));
        // Names that are tried are odd.
        let key = key.escape_debug();
        printer::failure(&format!("the {what} '{key}' is still there: {why}"));
    }
    if output.quiet {
        return;
    }
    follows.iter().for_each(|line| printer::note(line));
    if let Some(path) = &kept {
        printer::note(&format!("what was found is kept in {path} and used for 90 days"));
    }
    printer::note(match (examination.is_stopped, examination.is_good()) {
        (true, _) => "stopped; nothing is kept",
        (false, true) => "everything that uploads need works",
        (false, false) => "something that uploads need does not work",
    });
}

/// What s3haul does because of what was found.
fn consequences(examination: &Examination, found: Capabilities, checksum: ChecksumAlgorithm) -> Vec<String> {
    let checksum = format!("checksum {}", checksum.name());
    let cases = [
        (
            found.honours_conditions,
            "conditional write",
            "conditional writes are not honoured",
            "s3haul looks before it writes with --if-none-match",
        ),
        (
            found.verifies_checksums,
            &checksum,
            "checksums are not compared by the server",
            "s3haul asks for each object afterwards",
        ),
        (
            found.md5_etags,
            "ETag",
            "ETags are not the MD5 of contents",
            "s3haul does not compare them",
        ),
        (
            found.composed_etags,
            "multipart",
            "ETags of objects of parts are not made of theirs",
            "s3haul asks for each of these afterwards",
        ),
        (
            found.reads_trailers,
            "checksum behind the body",
            "checksums are not read behind bodies",
            "s3haul reads large files twice",
        ),
    ];
    let missing = cases.iter().filter(|(holds, ..)| !holds);
    let lines = missing.filter_map(|(_, check, what, follows)| {
        let was_tried = !matches!(
            examination.verdict_on(check),
            None | Some(Verdict::Skipped { .. })
        );
        match (examination.kind, was_tried) {
            (ServerKind::Unknown, true) => Some(format!("{what}: {follows}")),
            (ServerKind::Unknown, false) => Some(format!("it is not known whether {what}: {follows}")),
            // A name is believed, as it is where nobody has examined anything.
            (_, true) => Some(format!(
                "{what}, although the server's name says otherwise; s3haul goes by the name"
            )),
            (_, false) => None,
        }
    });
    let archives = match found.extracts_archives {
        Some(true) => "--batch-small auto sends small files together",
        _ => "small files go one by one, also with --batch-small",
    };
    lines.chain([archives.to_owned()]).collect()
}
