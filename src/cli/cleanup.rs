//! `s3haul cleanup`: multipart uploads that nobody will end.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::args::StoreArgs;
use super::choices::duration;
use super::exit_code::ExitCode;
use super::output_args::{OutputArgs, OutputFormat};
use super::{embedded, json as lines, printer};
use crate::config::Config;
use crate::error::Result;
use crate::pipeline::{Cleaned, Effect, cleanup};
use crate::source::S3Url;
use crate::store::OpenUpload;
use crate::units::{grouped, spoken};

/// Abort multipart uploads that were never completed: their parts are stored, paid for, and in no listing
#[derive(Args, Clone, Debug)]
pub(super) struct CleanupArgs {
    /// Uploads of keys that begin with PREFIX
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    target: S3Url,

    /// Only what began so long ago, by the server's clock: a run that goes on has uploads, too
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    older_than: Duration,

    /// Print what would be aborted, and abort nothing
    #[arg(short = 'n', long, visible_alias = "dryrun")]
    dry_run: bool,

    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(args: &CleanupArgs, output: &OutputArgs) -> Result<ExitCode> {
    let (store, _server) = embedded::settings(&args.store)?;
    let config = Config {
        store,
        ..Config::default()
    };
    let effect = if args.dry_run { Effect::Plan } else { Effect::Apply };
    let (mut found, mut young, mut failed) = (0, 0, 0);
    cleanup(
        &config,
        &args.target,
        args.older_than,
        effect,
        |upload, cleaned| {
            match &cleaned {
                Cleaned::Aborted | Cleaned::Planned => found += 1,
                Cleaned::TooYoung => young += 1,
                Cleaned::Failed(_) => failed += 1,
            }
            print(upload, &cleaned, output);
        },
    )?;
    if !output.is_silent() {
        let what = if args.dry_run { "would abort" } else { "aborted" };
        printer::note(&format!(
            "{what} {} uploads; {} are younger than {}",
            grouped(found),
            grouped(young),
            spoken(args.older_than)
        ));
    }
    Ok(if failed > 0 {
        ExitCode::Incomplete
    } else {
        ExitCode::Done
    })
}

fn print(upload: &OpenUpload, cleaned: &Cleaned, output: &OutputArgs) {
    let age = upload
        .age
        .map_or("of unknown age".to_owned(), |age| format!("{} old", spoken(age)));
    let OpenUpload { key, upload_id, .. } = upload;
    let (what, why) = match cleaned {
        Cleaned::Aborted => ("aborted", ""),
        Cleaned::Planned => ("would abort", ""),
        Cleaned::TooYoung => ("kept", ""),
        Cleaned::Failed(why) => ("failed", why.as_str()),
    };
    match output.output {
        OutputFormat::Json => lines::line(
            "upload",
            json!({
                "key": key, "upload_id": upload_id, "age": upload.age.map(|age| age.as_secs_f64()), "outcome": what,
                "message": why,
            }),
        ),
        OutputFormat::Text => match cleaned {
            Cleaned::Failed(why) => {
                printer::failure(&format!("upload {upload_id} of {key} cannot be aborted: {why}"))
            }
            Cleaned::TooYoung if output.verbose == 0 => {}
            _ => printer::data(&format!("{what} {key}, {age}, upload {upload_id}")),
        },
    }
}
