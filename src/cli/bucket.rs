//! `s3haul ls` and `s3haul mb`: one question to a bucket each.

use clap::Args;

use super::args::StoreArgs;
use super::exit_code::ExitCode;
use super::output_args::{OutputArgs, OutputFormat};
use super::{embedded, json, printer};
use crate::config::{Config, TransferSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::connect;
use crate::source::S3Url;
use crate::store::{ListPage, ListRequest, StoreErrorKind, explain};

/// List objects
#[derive(Args, Clone, Debug)]
pub(super) struct LsArgs {
    /// What to list, as s3://BUCKET/PREFIX
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    target: S3Url,

    /// All objects below the prefix, not only down to the next '/'
    #[arg(short, long)]
    recursive: bool,

    #[command(flatten)]
    store: StoreArgs,
}

/// Make a bucket
#[derive(Args, Clone, Debug)]
pub(super) struct MbArgs {
    /// The bucket, as s3://BUCKET
    #[arg(value_name = "s3://BUCKET")]
    target: S3Url,

    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn list(args: &LsArgs, output: &OutputArgs) -> Result<ExitCode> {
    let (store, _server) = embedded::settings(&args.store)?;
    let config = Config {
        store,
        transfer: TransferSettings::default(),
        ..Config::default()
    };
    let (host, connector, store) = connect(&config, &args.target.bucket)?;
    let mut continuation: Option<String> = None;
    loop {
        let request = ListRequest {
            prefix: &args.target.key,
            recursive: args.recursive,
            continuation: continuation.as_deref(),
            ..ListRequest::default()
        };
        let page = store.list_objects(&request);
        let page = host
            .runtime
            .block_on(page)
            .map_err(|error| explain(&error, &args.target.bucket, &connector))?;
        print_page(&page, output);
        match page.continuation {
            // A server that names the same place again would keep us here for ever.
            Some(next) if continuation.as_ref() != Some(&next) => continuation = Some(next),
            Some(_) => return Err(Error::new(ErrorKind::Server, "the server's listing does not end")),
            None => return Ok(ExitCode::Done),
        }
    }
}

fn print_page(page: &ListPage, output: &OutputArgs) {
    for prefix in &page.common_prefixes {
        match output.output {
            OutputFormat::Text => printer::data(&format!("{:>20} {:>14} {prefix}", "", "PRE")),
            OutputFormat::Json => json::prefix(prefix),
        }
    }
    for object in &page.objects {
        let modified = object
            .last_modified
            .and_then(|time| jiff::Timestamp::try_from(time).ok());
        match output.output {
            OutputFormat::Text => {
                let modified = modified
                    .map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
                    .unwrap_or_default();
                printer::data(&format!(
                    "{modified:>20} {:>14} {}",
                    object.size_bytes, object.key
                ));
            }
            OutputFormat::Json => json::object(object, modified),
        }
    }
}

pub(super) fn make(args: &MbArgs, output: &OutputArgs) -> Result<ExitCode> {
    if !args.target.key.is_empty() {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("'{}' names more than a bucket", args.target),
        )
        .with_hint(format!("s3haul mb s3://{}", args.target.bucket)));
    }
    let (store, _server) = embedded::settings(&args.store)?;
    let config = Config {
        store,
        ..Config::default()
    };
    let (host, connector, store) = connect(&config, &args.target.bucket)?;
    host.runtime
        .block_on(store.create_bucket())
        .map_err(|error| match error.kind {
            StoreErrorKind::Refused if error.code.as_deref() == Some("BucketAlreadyExists") => Error::new(
                ErrorKind::Server,
                format!("bucket '{}' belongs to somebody else", args.target.bucket),
            )
            .with_source(error)
            .with_hint("bucket names are shared by all; take another one"),
            _ => explain(&error, &args.target.bucket, &connector),
        })?;
    if !output.quiet {
        printer::note(&format!("bucket {} is there", args.target.bucket));
    }
    Ok(ExitCode::Done)
}
