//! `s3haul bench`: flags to a plan, one call of the library, its report to a table, files and an exit code.

mod articles;
mod compare;
mod plan;
mod sweep;
mod table;
mod watch;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use self::plan::{CellName, workload};
use super::exit_code::ExitCode;
use super::output_args::{OutputArgs, OutputFormat};
use super::report_file::{ReportFile, json_text};
use super::{json, printer, signals};
use crate::bench::page::page;
use crate::bench::plan::Plan;
use crate::bench::profile::Profile;
use crate::bench::report::{Report, schema};
use crate::bench::run::run as run_plan;
use crate::bench::workload::WorkloadSpec;
use crate::config::{ClientMode, Engine};
use crate::error::Result;
use crate::units::{grouped, spoken};

const EXAMPLES: &str = "\
Examples:
  s3haul bench                                  what is best here: raw and region, in under 5 minutes
  s3haul bench --quick                          the same, directions only, in under a minute
  s3haul bench --strategies threads,async --concurrency 4,16,64 --workload mixed --profile region
  s3haul bench --sweep --workload /data         the best --concurrency for these files, as flags for cp
  s3haul bench --report A.json --html A.html    everything that was measured, and a page of it

Strategies: sequential, threads, chunked, thread-per-file, async, processes, hybrid, auto (what cp chooses). async:1 is on
one event loop, hybrid:4 in four processes, past-relay:threads does without the relay. Workloads: tiny, inline-step, mixed, large, large:put, cpu, cpu:ROUNDS, errors,
read, or a directory. Profiles: raw, relay, lan, region, s3-doc, far, capped, stall, article.";

/// `--engine` as typed; what is compared has to be said, so there is no choice of the program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BenchEngine {
    /// Uploads on requests of our own
    Direct,
    /// Every request through the AWS SDK
    Sdk,
}

/// `--clients` as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BenchClient {
    /// One client for all
    Shared,
    /// Each worker has its own
    PerWorker,
    /// A fresh one for every object
    PerUpload,
}

impl From<BenchEngine> for Engine {
    fn from(typed: BenchEngine) -> Self {
        match typed {
            BenchEngine::Direct => Self::Direct,
            BenchEngine::Sdk => Self::Sdk,
        }
    }
}

impl From<BenchClient> for ClientMode {
    fn from(typed: BenchClient) -> Self {
        match typed {
            BenchClient::Shared => Self::Shared,
            BenchClient::PerWorker => Self::PerWorker,
            BenchClient::PerUpload => Self::PerUpload,
        }
    }
}

/// A length of time as typed: `90s`, `5m`, `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TimeArg(Duration);

impl FromStr for TimeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed: jiff::SignedDuration = text
            .parse()
            .map_err(|_| format!("'{text}' is no length of time; write it as 90s, 5m or 1h30m"))?;
        Duration::try_from(parsed)
            .map(Self)
            .map_err(|_| format!("'{text}' is less than nothing"))
    }
}

/// Find out which upload strategy is best here: measured in random order, verified, with a verdict
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: Option<BenchCommand>,

    /// Strategies; the first one is the baseline [default: threads,async,processes,sequential]
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        help_heading = "What is compared"
    )]
    strategies: Vec<CellName>,

    /// Client modes [default: the best one for each strategy]
    #[arg(
        long,
        value_delimiter = ',',
        value_enum,
        value_name = "LIST",
        help_heading = "What is compared"
    )]
    clients: Vec<BenchClient>,

    /// Requests in flight [default: 16; with --sweep 1,2,4,8,16,32,64,128]
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        help_heading = "What is compared"
    )]
    concurrency: Vec<usize>,

    /// Engines
    #[arg(
        long,
        value_delimiter = ',',
        value_enum,
        value_name = "LIST",
        default_value = "direct",
        help_heading = "What is compared"
    )]
    engine: Vec<BenchEngine>,

    /// What is uploaded: names or directories
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = workload, default_value = "tiny", help_heading = "What is compared")]
    workload: Vec<WorkloadSpec>,

    /// What lies between client and server [default: raw,region; raw only where the server speaks TLS]
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        help_heading = "What is compared"
    )]
    profile: Vec<Profile>,

    /// Experiments of the articles instead: 'articles' for all; 'bench presets' lists them
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "ID",
        conflicts_with_all = ["strategies", "clients", "concurrency", "engine", "workload", "profile", "sweep"],
        help_heading = "What is compared"
    )]
    preset: Vec<String>,

    /// Find how many requests in flight are enough, and print the flags for cp [default strategy: async]
    #[arg(long, help_heading = "What is compared")]
    sweep: bool,

    /// Blocks: each has every cell once, in random order [default: 12; 20 for what is published]
    #[arg(long, value_name = "N", conflicts_with = "quick", help_heading = "How")]
    blocks: Option<usize>,

    /// 5 blocks of short arms: directions only, in under a minute
    #[arg(long, help_heading = "How")]
    quick: bool,

    /// What the order of arms follows from [default: another one each time]
    #[arg(long, value_name = "N", help_heading = "How")]
    seed: Option<u64>,

    /// Refuse to begin what would take longer
    #[arg(long, value_name = "TIME", help_heading = "How")]
    max_time: Option<TimeArg>,

    /// Where temporary files go [default: memory where there is room]
    #[arg(long, value_name = "DIR", help_heading = "How")]
    work_dir: Option<PathBuf>,

    /// Do not refuse a debug build; nothing that it measures is believed
    #[arg(long, hide = true)]
    allow_debug_build: bool,

    /// Server, or 'embedded' [default: what the environment names, else a minio found on PATH, else embedded]
    #[arg(long, value_name = "URL", help_heading = "Server")]
    endpoint_url: Option<String>,

    /// Start the minio that is found on PATH
    #[arg(long, conflicts_with = "endpoint_url", help_heading = "Server")]
    minio: bool,

    /// Bucket; made if it is missing. Only a prefix of our own is touched
    #[arg(
        long,
        value_name = "NAME",
        default_value = "s3haul-bench",
        help_heading = "Server"
    )]
    bucket: String,

    /// Leave the objects in the bucket
    #[arg(long, help_heading = "Server")]
    keep: bool,

    /// Write everything that was measured as JSON
    #[arg(long, value_name = "FILE.json", help_heading = "Output")]
    report: Option<PathBuf>,

    /// Write a page with pictures of it, in one file
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    html: Option<PathBuf>,

    /// Write a line for each object
    #[arg(long, value_name = "FILE.csv", help_heading = "Output")]
    csv: Option<PathBuf>,
}

#[derive(Subcommand, Clone, Debug)]
enum BenchCommand {
    /// List the experiments of the articles
    Presets,
    /// Print the JSON schema of a report
    Schema,
    Compare(compare::CompareArgs),
}

/// Runs the command.
pub(super) fn run(args: &BenchArgs, output: &OutputArgs) -> Result<ExitCode> {
    match &args.command {
        Some(BenchCommand::Presets) => {
            articles::list(output);
            Ok(ExitCode::Done)
        }
        Some(BenchCommand::Schema) => {
            printer::raw(schema().as_bytes());
            Ok(ExitCode::Done)
        }
        Some(BenchCommand::Compare(args)) => compare::run(args, output),
        None => measure(plan::plan(args)?, args, output),
    }
}

fn measure(mut plan: Plan, args: &BenchArgs, output: &OutputArgs) -> Result<ExitCode> {
    plan.validate()?;
    // A path that cannot be written is said now and not in five minutes.
    let report_file = args.report.as_deref().map(ReportFile::create).transpose()?;
    let page_file = args.html.as_deref().map(ReportFile::create).transpose()?;
    let csv_file = args.csv.as_deref().map(ReportFile::create).transpose()?;
    plan.objects_csv = csv_file.as_ref().map(|file| file.place().to_owned());
    let cancel = signals::cancel_on_signals();
    if !output.quiet {
        printer::note(&budget(&plan));
    }
    let mut watch = watch::Watch::new(&plan, output);
    let report = run_plan(&plan, &cancel, &mut watch)?;
    watch.finish();
    if let Some(file) = report_file {
        file.write(&json_text(&report))?;
    }
    if let Some(file) = page_file {
        file.write(page(&report).as_bytes())?;
    }
    if let Some(file) = csv_file {
        file.put_in_place()?;
    }
    show(&report, args, output);
    Ok(match signals::received() {
        Some(code) => code,
        None if report.is_invalid() || report.partial => ExitCode::Failed,
        None => ExitCode::Done,
    })
}

/// What is about to happen, and how long it will take.
fn budget(plan: &Plan) -> String {
    let cells: usize = plan.groups.iter().map(|group| group.cells.len()).sum();
    let estimate = plan.estimate();
    format!(
        "{cells} cells and {} baselines once more, {} blocks: {} arms, about {}; seed {}",
        plan.groups.len(),
        plan.blocks,
        grouped(estimate.arms as u64),
        spoken(estimate.time),
        plan.seed
    )
}

fn show(report: &Report, args: &BenchArgs, output: &OutputArgs) {
    if output.output == OutputFormat::Json {
        return json::line("bench", serde_json::json!({ "report": report }));
    }
    printer::data(&table::tables(report));
    if let Some(text) = articles::beside_published(report) {
        printer::data(&format!("\n{text}"));
    }
    for line in sweep::knees(report, args.sweep) {
        printer::data(&line);
    }
}
