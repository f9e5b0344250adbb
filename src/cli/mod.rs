//! The command line: parse, turn into the library's types, call it once, print, exit code.
//!
//! The only module that knows clap and prints.

mod args;
mod backup;
mod base_directory;
mod bench;
mod bucket;
mod choices;
mod cleanup;
mod cp;
mod demo;
mod demo_tree;
mod discard;
mod doctor;
mod dry_run;
mod embedded;
mod exit_code;
mod filter_args;
mod jobs;
mod jobs_file;
mod json;
mod log_file;
mod logging;
mod metrics;
mod output_args;
mod printer;
mod progress;
mod read_args;
mod report_file;
mod restore;
mod run_output;
mod serve;
mod signals;
mod state_args;
mod sync;
mod unattended;
mod verify;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use self::exit_code::ExitCode;
use self::output_args::{OutputArgs, OutputFormat};
use crate::bench::helper_main;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::strategy::child_main;

/// Upload files to S3-compatible storage in parallel, and prove that they are there
#[derive(Parser, Debug)]
#[command(name = "s3haul", version, after_help = exit_code::TABLE, max_term_width = 110, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    #[command(visible_aliases = ["put", "upload"])]
    Cp(Box<cp::CpArgs>),
    Sync(Box<sync::SyncArgs>),
    #[command(visible_alias = "check")]
    Verify(Box<verify::VerifyArgs>),
    Restore(Box<restore::RestoreArgs>),
    Backup(backup::BackupArgs),
    Cleanup(cleanup::CleanupArgs),
    Doctor(doctor::DoctorArgs),
    Ls(bucket::LsArgs),
    Mb(bucket::MbArgs),
    Serve(serve::ServeArgs),
    Bench(Box<bench::BenchArgs>),
    Demo(demo::DemoArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

/// What a parent process starts for `processes` and `hybrid`. Not a subcommand: nobody should see it offered.
const WORKER: &str = "__worker";

/// A file of jobs, read and forgotten.
#[cfg(fuzzing)]
pub(crate) fn fuzz_jobs(text: &str) {
    let path = std::path::Path::new("jobs.toml");
    let _ = jobs_file::JobsFile { path, text }.jobs();
}

/// What `bench` starts for arms, relays and servers.
const BENCH_HELPER: &str = "__bench";

/// The whole program. Returns its exit code.
pub fn main() -> std::process::ExitCode {
    match std::env::args_os().nth(1) {
        Some(hidden) if hidden == WORKER => {
            return hidden_main(|| child_main(stdin(), std::io::stdout())).into();
        }
        Some(hidden) if hidden == BENCH_HELPER => {
            return hidden_main(|| helper_main(stdin(), std::io::stdout())).into();
        }
        _ => {}
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            printer::parsed(&answer);
            let code = if answer.use_stderr() {
                ExitCode::Usage
            } else {
                ExitCode::Done
            };
            return with_output_errors(code, OutputFormat::Text).into();
        }
    };
    printer::set_color(cli.output.color);
    let code = dispatch(&cli).unwrap_or_else(|error| {
        let code = tell(&error, cli.output.output);
        if let Some(log_file) = &cli.output.log_file {
            tracing::info!(target: logging::RUN, error = chain(&error), exit_code = code as u8, "failed");
            printer::note(&format!("the log is in {}", log_file.display()));
        }
        code
    });
    with_output_errors(code, cli.output.output).into()
}

/// Says why the command failed, in the form that was asked for and for people.
fn tell(error: &Error, output: OutputFormat) -> ExitCode {
    let code = ExitCode::of_error(error);
    if output == OutputFormat::Json {
        json::error(error, code);
    }
    printer::error(error);
    code
}

/// A command whose output is incomplete has not done all, also when everything else went well.
fn with_output_errors(code: ExitCode, output: OutputFormat) -> ExitCode {
    let mut told = Vec::new();
    if let Some(error) = logging::output_error() {
        told.push(tell(&error, output));
    }
    // Last, because telling the other one in JSON writes there, too.
    if let Some(error) = printer::output_error() {
        told.push(tell(&error, OutputFormat::Text));
    }
    match told.first() {
        Some(failed) if code == ExitCode::Done => *failed,
        _ => code,
    }
}

fn stdin() -> std::io::BufReader<std::io::Stdin> {
    std::io::BufReader::new(std::io::stdin())
}

/// What this program starts itself as, with its standard streams for pipes.
fn hidden_main(serve: impl FnOnce() -> Result<()>) -> ExitCode {
    match logging::init(0, None).and_then(|()| serve()) {
        Ok(()) => ExitCode::Done,
        Err(error) => {
            printer::error(&error);
            ExitCode::of_error(&error)
        }
    }
}

fn dispatch(cli: &Cli) -> Result<ExitCode> {
    logging::init(cli.output.verbose, cli.output.log_file.as_deref())?;
    match &cli.command {
        Command::Cp(args) => cp::run(args, &cli.output),
        Command::Sync(args) => sync::run(args, &cli.output),
        Command::Verify(args) => verify::run(args, &cli.output),
        Command::Restore(args) => restore::run(args, &cli.output),
        Command::Backup(args) => backup::run(args, &cli.output),
        Command::Cleanup(args) => cleanup::run(args, &cli.output),
        Command::Doctor(args) => doctor::run(args, &cli.output),
        Command::Ls(args) => bucket::list(args, &cli.output),
        Command::Mb(args) => bucket::make(args, &cli.output),
        Command::Serve(args) => serve::run(args, &cli.output),
        Command::Bench(args) => bench::run(args, &cli.output),
        Command::Demo(args) => demo::run(args, &cli.output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "s3haul", &mut script);
            printer::raw(&script);
            Ok(ExitCode::Done)
        }
        Command::Man => man(),
    }
}

fn man() -> Result<ExitCode> {
    let cannot = |error: std::io::Error| {
        Error::new(ErrorKind::Internal, "the manual cannot be made").with_source(error)
    };
    let mut page = Vec::new();
    let command = Cli::command();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(cannot)?;
    for subcommand in command.get_subcommands() {
        clap_mangen::Man::new(subcommand.clone())
            .render(&mut page)
            .map_err(cannot)?;
    }
    printer::raw(&page);
    Ok(ExitCode::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
