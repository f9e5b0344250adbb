//! `s3haul bench compare`: two reports, cell by cell.

use std::path::{Path, PathBuf};

use clap::Args;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::super::exit_code::ExitCode;
use super::super::output_args::{OutputArgs, OutputFormat};
use super::super::{json, printer};
use crate::bench::compare::{Comparison, Row, compare, read};
use crate::bench::report::Report;
use crate::error::{Error, ErrorKind, Result};

/// Compare two reports of 'bench --report', cell by cell
#[derive(Args, Clone, Debug)]
pub(super) struct CompareArgs {
    /// The first report
    #[arg(value_name = "A.json")]
    first: PathBuf,

    /// The second report: ratios are the first's times divided by its times
    #[arg(value_name = "B.json")]
    second: PathBuf,

    /// Compare also what should not be compared; what differs is said all the same
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &CompareArgs, output: &OutputArgs) -> Result<ExitCode> {
    let comparison = compare(&load(&args.first)?, &load(&args.second)?);
    if !comparison.refusals.is_empty() && !args.force {
        return Err(Error::new(
            ErrorKind::Usage,
            format!(
                "these reports cannot be compared: {}",
                comparison.refusals.join("; ")
            ),
        )
        .with_hint("run both over the same files, profile and server; --force compares them all the same"));
    }
    for refusal in &comparison.refusals {
        printer::note(&format!("not comparable: {refusal}"));
    }
    match output.output {
        OutputFormat::Json => comparison.rows.iter().for_each(print_json),
        OutputFormat::Text => print_text(&comparison),
    }
    Ok(ExitCode::Done)
}

fn load(path: &Path) -> Result<Report> {
    let cannot = || {
        Error::new(
            ErrorKind::Usage,
            format!("report '{}' cannot be used", path.display()),
        )
    };
    let text = std::fs::read(path).map_err(|error| cannot().with_source(error))?;
    read(&text).map_err(|why| {
        cannot()
            .with_source(why)
            .with_hint("make it with 's3haul bench --report FILE.json'")
    })
}

fn print_json(row: &Row) {
    let (first, second) = row.seconds_per_object;
    let line = serde_json::json!({
        "group": row.group, "cell": row.label, "first_seconds_per_object": first,
        "second_seconds_per_object": second, "ratio": row.ratio,
    });
    json::line("comparison", line);
}

fn print_text(comparison: &Comparison) {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header([
        "",
        "cell",
        "ms/obj, first",
        "ms/obj, second",
        "ratio [95 % interval]",
    ]);
    for row in &comparison.rows {
        let (first, second) = row.seconds_per_object;
        let interval = row.ratio.interval;
        table.add_row([
            row.group.clone(),
            row.label.clone(),
            format!("{:.4}", first * 1e3),
            format!("{:.4}", second * 1e3),
            format!(
                "{:.3} [{:.3}, {:.3}]",
                interval.estimate, interval.low, interval.high
            ),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    printer::data(&table.to_string());
    for missing in &comparison.missing {
        printer::note(missing);
    }
    printer::note("two runs differ by whatever the machine did in either; within one run, cells share it");
}
