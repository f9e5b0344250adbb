//! Two reports side by side: what can be compared is, cell by cell, and what cannot is said.

use super::report::{CellResult, Group, Report, SCHEMA, VERSION};
use super::stats::{Ratio, ratio};

/// Seed of the intervals: the same reports give the same answer.
const SEED: u64 = 1;

/// One cell that both reports have.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Workload and profile.
    pub group: String,
    /// The cell.
    pub label: String,
    /// Seconds for one object in either.
    pub seconds_per_object: (f64, f64),
    /// The first divided by the second: medians of blocks, in the order of each run.
    pub ratio: Ratio,
}

/// What came of comparing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Why they should not be compared; empty when they may.
    pub refusals: Vec<String>,
    /// Cells that both have.
    pub rows: Vec<Row>,
    /// Cells that only one of them has.
    pub missing: Vec<String>,
}

/// Reads a report.
///
/// # Errors
/// In words: it is no report of the bench, or one of another version.
pub fn read(text: &[u8]) -> Result<Report, String> {
    let value: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
    if value["schema"] != SCHEMA {
        return Err(format!(
            "it is no report of 's3haul bench': its schema is not '{SCHEMA}'"
        ));
    }
    if value["v"] != VERSION {
        return Err(format!(
            "it is of version {}, and this program knows version {VERSION}",
            value["v"]
        ));
    }
    serde_json::from_value(value).map_err(|error| format!("it is not what a report should be: {error}"))
}

/// Compares `first` with `second`.
pub fn compare(first: &Report, second: &Report) -> Comparison {
    let mut comparison = Comparison::default();
    let mut refuse = |what: &str, one: &str, other: &str| {
        if one != other {
            comparison
                .refusals
                .push(format!("{what} differ: {one} and {other}"));
        }
    };
    refuse("servers", &first.server.kind, &second.server.kind);
    refuse("server builds", &first.server.software, &second.server.software);
    refuse(
        "places of the server's data",
        &first.server.data_on,
        &second.server.data_on,
    );
    refuse("checksums", &first.held.checksum, &second.held.checksum);
    refuse("builds of s3haul", &first.build, &second.build);
    refuse("processors", &first.host.cpu, &second.host.cpu);
    for group in &first.groups {
        let name = name(group);
        match second.groups.iter().find(|other| self::name(other) == name) {
            None => comparison.missing.push(format!("{name}: only in the first")),
            Some(other) => compare_groups(group, other, &mut comparison),
        }
    }
    for group in &second.groups {
        if !first.groups.iter().any(|other| name(other) == name(group)) {
            comparison
                .missing
                .push(format!("{}: only in the second", name(group)));
        }
    }
    if comparison.rows.is_empty() && comparison.refusals.is_empty() {
        comparison.refusals.push("they have no cell in common".to_owned());
    }
    comparison
}

fn name(group: &Group) -> String {
    format!("{} over {}", group.workload.name, group.profile.name)
}

fn compare_groups(first: &Group, second: &Group, comparison: &mut Comparison) {
    let name = name(first);
    if first.workload.id != second.workload.id || first.workload.extra_rounds != second.workload.extra_rounds
    {
        comparison
            .refusals
            .push(format!("{name}: the files are not the same"));
    }
    if first.profile.shape != second.profile.shape {
        comparison
            .refusals
            .push(format!("{name}: the profiles are not the same"));
    }
    for cell in &first.cells {
        let other = second
            .cells
            .iter()
            .find(|other| other.cell == cell.cell && other.role == cell.role);
        match other.and_then(|other| row(&name, cell, other)) {
            Some(row) => comparison.rows.push(row),
            None => comparison
                .missing
                .push(format!("{name}, {}: not measured in both", cell.label)),
        }
    }
}

fn row(group: &str, first: &CellResult, second: &CellResult) -> Option<Row> {
    let values = |cell: &CellResult| -> Vec<f64> {
        let arms = cell.arms.iter().map(|arm| arm.seconds_per_object);
        arms.filter(|seconds| *seconds > 0.0).collect()
    };
    let pairs: Vec<(f64, f64)> = values(first).into_iter().zip(values(second)).collect();
    Some(Row {
        group: group.to_owned(),
        label: first.label.clone(),
        seconds_per_object: (
            first.figures.as_ref()?.seconds_per_object,
            second.figures.as_ref()?.seconds_per_object,
        ),
        ratio: ratio(&pairs, SEED)?,
    })
}
