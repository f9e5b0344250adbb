//! `s3haul serve`: the embedded server in the foreground, until Ctrl-C.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::discard::DiscardArgs;
use super::exit_code::ExitCode;
use super::output_args::OutputArgs;
use super::{embedded, printer, signals};
use crate::error::{Error, ErrorKind, Result};
use crate::server::FaultPlan;

/// Run the embedded S3 server, or a null sink, in the foreground, on 127.0.0.1
#[derive(Args, Clone, Debug)]
pub(super) struct ServeArgs {
    /// Directory of its data [default: s3haul/embedded below $XDG_DATA_HOME or ~/.local/share]
    #[arg(
        long,
        visible_alias = "embedded-data",
        value_name = "DIR",
        env = "S3HAUL_EMBEDDED_DATA"
    )]
    data: Option<PathBuf>,

    /// Port; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 9000)]
    port: u16,

    /// JSON file with faults to inject, for testing clients
    #[arg(long, value_name = "FILE.json", conflicts_with = "discard")]
    fault_plan: Option<PathBuf>,

    #[command(flatten)]
    discard: DiscardArgs,
}

/// Made at the first start and kept with the data, readable by its owner only.
#[derive(Serialize, Deserialize)]
struct Keys {
    access_key: String,
    secret_key: String,
}

const KEYS_FILE: &str = "keys.json";

fn keys(directory: &Path) -> Result<Keys> {
    let path = directory.join(KEYS_FILE);
    let cannot = |error: std::io::Error| {
        Error::new(
            ErrorKind::Configuration,
            format!("'{}' cannot be used", path.display()),
        )
        .with_source(error)
    };
    match fs::read(&path) {
        Ok(text) => return serde_json::from_slice(&text).map_err(|error| cannot(error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(error)),
    }
    fs::create_dir_all(directory).map_err(cannot)?;
    let keys = Keys {
        access_key: "s3haul".to_owned(),
        secret_key: embedded::random_secret(),
    };
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(cannot)?;
    serde_json::to_writer(file, &keys).map_err(|error| cannot(error.into()))?;
    Ok(keys)
}

fn fault_plan(path: &Path) -> Result<FaultPlan> {
    let cannot = |error: std::io::Error| {
        Error::new(
            ErrorKind::Configuration,
            format!("fault plan '{}' cannot be used", path.display()),
        )
        .with_source(error)
    };
    let text = fs::read(path).map_err(cannot)?;
    serde_json::from_slice(&text).map_err(|error| cannot(error.into()))
}

/// What a client needs to know, as lines for people and for a shell's `eval`.
pub(super) fn print_environment(endpoint_url: &str, access_key: &str, secret_key: &str) {
    printer::data(&format!("export AWS_ENDPOINT_URL={endpoint_url}"));
    printer::data(&format!("export AWS_ACCESS_KEY_ID={access_key}"));
    printer::data(&format!("export AWS_SECRET_ACCESS_KEY={secret_key}"));
    printer::data("export AWS_REGION=us-east-1");
}

pub(super) fn run(args: &ServeArgs, output: &OutputArgs) -> Result<ExitCode> {
    if args.discard.wanted() {
        return args.discard.run(args.port, output);
    }
    let directory = match &args.data {
        Some(directory) => directory.clone(),
        None => embedded::default_data()?,
    };
    let faults = args.fault_plan.as_deref().map(fault_plan).transpose()?;
    let keys = keys(&directory)?;
    let cancel = signals::cancel_on_signals();
    let server = embedded::start(&directory, args.port, &keys.access_key, &keys.secret_key)?;
    if let Some(faults) = faults {
        server.set_fault_plan(faults);
    }
    print_environment(&server.endpoint_url(), &keys.access_key, &keys.secret_key);
    if !output.quiet {
        printer::note(&format!("serving {} until Ctrl-C", directory.display()));
    }
    futures::executor::block_on(cancel.cancelled());
    if output.verbose > 0 {
        printer::note(&serde_json::to_string_pretty(&server.counters()).unwrap_or_default());
    }
    server.shutdown();
    Ok(signals::received().unwrap_or(ExitCode::Done))
}
