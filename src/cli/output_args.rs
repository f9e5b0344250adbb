//! What is printed, and where to: flags that every command takes.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::printer::ColorChoice;

/// How the program speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON event a line on standard output; everything for people on standard error
    Json,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressArg {
    /// A bar on a terminal, else nothing
    #[default]
    Auto,
    /// A bar
    Bar,
    /// A line every 30 s
    Plain,
    /// Nothing
    None,
}

/// What is printed, and where to.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// Form of the output
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, env = "S3HAUL_OUTPUT", global = true)]
    pub(super) output: OutputFormat,

    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Print every file; twice, every request that is tried again
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(super) verbose: u8,

    /// How progress is shown
    #[arg(long, value_enum, default_value_t = ProgressArg::Auto, env = "S3HAUL_PROGRESS", global = true)]
    pub(super) progress: ProgressArg,

    /// Append a log to this file; one of 10 MiB is put aside as FILE.1, and three of those are kept
    #[arg(long, value_name = "FILE", env = "S3HAUL_LOG_FILE", global = true)]
    pub(super) log_file: Option<PathBuf>,

    /// When to use colour; NO_COLOR is honoured
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, env = "S3HAUL_COLOR", global = true)]
    pub(super) color: ColorChoice,
}

impl OutputArgs {
    /// Whether nothing is said when all is well: asked for, or nobody looks, as under cron.
    pub(super) fn is_silent(&self) -> bool {
        let is_watched = std::io::stdout().is_terminal() || std::io::stderr().is_terminal();
        self.quiet || (self.verbose == 0 && !is_watched)
    }
}
