//! `s3haul demo`: every strategy x client mode once, against the embedded server, proven object by object.
//!
//! Each upload is a `s3haul cp` of its own process, so that its CPU time is its own; the server lives in this
//! one and counts connections. Reading back goes through a client that took no part in uploading.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Args;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::demo_tree::{self, Tree};
use super::exit_code::ExitCode;
use super::output_args::{OutputArgs, OutputFormat};
use super::{embedded, json, printer, signals};
use crate::config::{ClientMode, Config, FixedCredentials, Secret, StrategyKind, impossible};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::connect;
use crate::report::RunSummary;
use crate::server::ServerHandle;
use crate::store::GetObject;
use crate::units::{ByteSize, grouped, spoken};

const BUCKET: &str = "demo";
/// Few enough that one thread for each file and eight processes are no burden on a laptop.
const CONCURRENCY: &str = "8";

/// Upload a made-up tree through every strategy and client mode to the embedded server, and check every byte
#[derive(Args, Clone, Debug)]
pub(super) struct DemoArgs {
    /// Keep the tree and the server's directory, and say how to use them
    #[arg(long)]
    keep: bool,
}

/// One row of the table.
struct Row {
    strategy: StrategyKind,
    client: ClientMode,
    summary: RunSummary,
    connections: u64,
    verified: u64,
}

/// What all rows share.
struct Demo {
    server: ServerHandle,
    secret: String,
    tree: Tree,
    cancel: CancellationToken,
}

fn internal(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, what).with_source(error)
}

pub(super) fn run(args: &DemoArgs, output: &OutputArgs) -> Result<ExitCode> {
    let directory = tempfile::Builder::new()
        .prefix("s3haul-demo-")
        .tempdir()
        .map_err(|error| internal("no temporary directory can be made", error))?;
    let cancel = signals::cancel_on_signals();
    let tree = demo_tree::make(&directory.path().join("tree"))?;
    let secret = embedded::random_secret();
    let data = directory.path().join("server");
    let server = embedded::start(&data, 0, "s3haul", &secret)?;
    let demo = Demo {
        server,
        secret,
        tree,
        cancel,
    };
    let rows = demo.rows(output)?;
    let expected = demo.tree.files.len() as u64;
    let proven = rows
        .iter()
        .all(|row| row.verified == expected && row.summary.totals.done == expected);
    show(&rows, output);
    demo.server.shutdown();
    if args.keep {
        keep(directory.keep().as_path());
    }
    Ok(match (signals::received(), proven) {
        (Some(code), _) => code,
        (None, true) => ExitCode::Done,
        (None, false) => ExitCode::Failed,
    })
}

fn keep(directory: &Path) {
    let directory = directory.display();
    printer::data(&format!(
        "kept {directory}; to use it:\n  \
         s3haul ls s3://{BUCKET}/ --endpoint-url embedded --embedded-data {directory}/server\n  \
         s3haul cp {directory}/tree s3://{BUCKET}/again/ --endpoint-url embedded --embedded-data {directory}/server\n\
         and for other tools, run 's3haul serve --data {directory}/server' and use the variables that it prints"
    ));
}

impl Demo {
    fn rows(&self, output: &OutputArgs) -> Result<Vec<Row>> {
        let config = self.config();
        let (host, _, store) = connect(&config, BUCKET)?;
        host.runtime
            .block_on(store.create_bucket())
            .map_err(|error| internal("the bucket cannot be made", error))?;
        let mut rows = Vec::new();
        for strategy in StrategyKind::ALL {
            for client in ClientMode::ALL {
                if impossible(strategy, client).is_some() || self.cancel.is_cancelled() {
                    continue;
                }
                if !output.quiet {
                    printer::note(&format!("{} x {} ...", strategy.name(), client.name()));
                }
                rows.push(self.row(strategy, client)?);
            }
        }
        Ok(rows)
    }

    fn config(&self) -> Config {
        let mut config = Config::default();
        config.store.endpoint_url = Some(self.server.endpoint_url());
        config.store.credentials = Some(FixedCredentials {
            access_key: "s3haul".to_owned(),
            secret_key: Secret::new(self.secret.clone()),
        });
        config
    }

    fn row(&self, strategy: StrategyKind, client: ClientMode) -> Result<Row> {
        let prefix = format!("{}-{}/", strategy.name(), client.name());
        let before = self.server.counters().connections_accepted;
        let summary = self.upload(strategy, client, &prefix)?;
        let connections = self.server.counters().connections_accepted - before;
        let verified = if self.cancel.is_cancelled() {
            0
        } else {
            self.verify(&prefix)?
        };
        Ok(Row {
            strategy,
            client,
            summary,
            connections,
            verified,
        })
    }

    /// Runs `s3haul cp` as a process of its own and takes the last line that it prints.
    fn upload(&self, strategy: StrategyKind, client: ClientMode, prefix: &str) -> Result<RunSummary> {
        let program =
            std::env::current_exe().map_err(|error| internal("this program cannot be found", error))?;
        let mut command = Command::new(program);
        // What the user has set for other runs is not part of the demo.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("S3HAUL_"))
        {
            command.env_remove(name);
        }
        let child = command
            .args([
                "cp",
                "--output",
                "json",
                "--quiet",
                "--progress",
                "none",
                "--concurrency",
                CONCURRENCY,
            ])
            .args(["--strategy", strategy.name(), "--client", client.name()])
            .args([
                "--endpoint-url",
                &self.server.endpoint_url(),
                "--region",
                "us-east-1",
            ])
            .arg(&self.tree.root)
            .arg(format!("s3://{BUCKET}/{prefix}"))
            .env("AWS_ACCESS_KEY_ID", "s3haul")
            .env("AWS_SECRET_ACCESS_KEY", &self.secret)
            .env_remove("AWS_SESSION_TOKEN")
            .env_remove("AWS_PROFILE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| internal("'s3haul cp' cannot be started", error))?;
        let answer = child
            .wait_with_output()
            .map_err(|error| internal("'s3haul cp' was lost", error))?;
        let text = String::from_utf8_lossy(&answer.stdout);
        let summary = text.lines().last().and_then(summary_of);
        summary.ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                format!("'s3haul cp' ended with {} and no summary", answer.status),
            )
        })
    }

    /// Reads every object back and compares its SHA-256 with its file's. Returns how many are the same.
    fn verify(&self, prefix: &str) -> Result<u64> {
        let (host, _, store) = connect(&self.config(), BUCKET)?;
        let mut verified = 0;
        for (name, expected) in &self.tree.files {
            let mut digest = Sha256::new();
            let key = format!("{prefix}{name}");
            let mut sink = |bytes: &[u8]| {
                digest.update(bytes);
                Ok(())
            };
            let request = GetObject::whole(&key);
            let read = host.runtime.block_on(store.get_object(&request, &mut sink));
            verified += u64::from(read.is_ok() && digest.finalize().as_slice() == expected);
        }
        Ok(verified)
    }
}

/// The summary in a line of `--output json`; its failures are lines of their own.
fn summary_of(line: &str) -> Option<RunSummary> {
    let mut object: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).ok()?;
    object
        .entry("failures".to_owned())
        .or_insert_with(|| serde_json::json!([]));
    serde_json::from_value(serde_json::to_value(object).ok()?).ok()
}

const COLUMNS: [&str; 8] = [
    "strategy",
    "client mode",
    "files",
    "bytes",
    "wall",
    "CPU ms/object",
    "connections",
    "verified",
];

fn show(rows: &[Row], output: &OutputArgs) {
    if output.output == OutputFormat::Json {
        for row in rows {
            let line = serde_json::json!({
                "strategy": row.strategy, "client": row.client, "files": row.summary.totals.done,
                "bytes": row.summary.totals.bytes_done, "wall_seconds": row.summary.elapsed.as_secs_f64(),
                "cpu_seconds": row.summary.cpu_seconds, "connections": row.connections, "verified": row.verified,
            });
            json::line("combination", line);
        }
        return;
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(COLUMNS);
    for row in rows {
        let totals = row.summary.totals;
        let per_object = row.summary.cpu_seconds * 1_000.0 / totals.done.max(1) as f64;
        table.add_row([
            row.strategy.name().to_owned(),
            row.client.name().to_owned(),
            grouped(totals.done),
            ByteSize(totals.bytes_done).to_string(),
            spoken(row.summary.elapsed),
            format!("{per_object:.2}"),
            grouped(row.connections),
            grouped(row.verified),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    printer::data(&table.to_string());
}
