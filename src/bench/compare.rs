//! Two reports side by side: what can be compared is, cell by cell, and what cannot is said.

use super::report::{CellResult, Group, Report, SCHEMA, VERSION, Verdict};
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
    refuse(
        "numbers of cores",
        &first.host.cores.to_string(),
        &second.host.cores.to_string(),
    );
    let kind = |report: &Report| if report.quick { "quick" } else { "full" };
    refuse("kinds of run", kind(first), kind(second));
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
    let mut taken = vec![false; second.cells.len()];
    for cell in &first.cells {
        // The same cell may stand there more than once: each has its own counterpart.
        let mut others = second.cells.iter().zip(&mut taken);
        let other =
            others.find(|(other, taken)| !**taken && other.cell == cell.cell && other.role == cell.role);
        let other = other.map(|(other, taken)| {
            *taken = true;
            other
        });
        match other.and_then(|other| row(&name, (first, cell), (second, other))) {
            Some(row) => comparison.rows.push(row),
            None => comparison
                .missing
                .push(format!("{name}, {}: not measured in both", cell.label)),
        }
    }
}

fn row(name: &str, first: (&Group, &CellResult), second: (&Group, &CellResult)) -> Option<Row> {
    let pairs: Vec<(f64, f64)> = counted(first)?.into_iter().zip(counted(second)?).collect();
    Some(Row {
        group: name.to_owned(),
        label: first.1.label.clone(),
        seconds_per_object: (
            first.1.figures.as_ref()?.seconds_per_object,
            second.1.figures.as_ref()?.seconds_per_object,
        ),
        ratio: ratio(&pairs, SEED)?,
    })
}

/// Seconds for an object of each arm that counts, in the order of time; none of a cell that is invalid.
fn counted((group, cell): (&Group, &CellResult)) -> Option<Vec<f64>> {
    if matches!(cell.verdict, Verdict::Invalid { .. }) {
        return None;
    }
    let is_excluded = |block: usize| {
        group
            .excluded_blocks()
            .iter()
            .any(|excluded| excluded.block == block)
    };
    let arms = cell.arms.iter().filter(|arm| !is_excluded(arm.block));
    Some(arms.map(|arm| arm.seconds_per_object).collect())
}
