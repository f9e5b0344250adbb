//! What a sweep found: how many requests in flight are enough, as flags for `cp`.

use crate::bench::cell::Cell;
use crate::bench::knee::{KneePoint, knee};
use crate::bench::report::{CellResult, Group, Report, Role, Verdict};
use crate::bench::stats::Interval;
use crate::units::grouped;

/// Numbers in flight that make up a sweep, whether it was asked for or not.
const A_SWEEP: usize = 4;

/// A line or two for each strategy of each group that was swept; all of them when a sweep was `asked_for`.
pub(super) fn knees(report: &Report, asked_for: bool) -> Vec<String> {
    let least = if asked_for { 2 } else { A_SWEEP };
    report
        .groups
        .iter()
        .flat_map(|group| of_group(group, least))
        .collect()
}

fn of_group(group: &Group, least: usize) -> Vec<String> {
    let counted = |cell: &&CellResult| {
        cell.role != Role::Twin
            && cell.cell.concurrency.is_some()
            && !matches!(cell.verdict, Verdict::Invalid { .. })
    };
    let cells: Vec<&CellResult> = group.cells.iter().filter(counted).collect();
    let mut families: Vec<Cell> = Vec::new();
    for cell in &cells {
        if !families.contains(&cell.cell.family()) {
            families.push(cell.cell.family());
        }
    }
    let place = format!("{} over {}", group.workload.name, group.profile.name);
    families
        .iter()
        .filter_map(|own| {
            let members: Vec<_> = cells.iter().filter(|cell| cell.cell.family() == *own).collect();
            let points: Vec<(usize, Interval)> = members
                .iter()
                .filter_map(|cell| Some((cell.cell.concurrency?, cell.rate()?)))
                .collect();
            (points.len() >= least).then(|| line(&place, &members, &points))
        })
        .collect()
}

fn line(place: &str, members: &[&&CellResult], points: &[(usize, Interval)]) -> String {
    let knee_points: Vec<KneePoint> = points
        .iter()
        .map(|(in_flight, rate)| KneePoint {
            in_flight: *in_flight,
            rate: *rate,
        })
        .collect();
    let Some(enough) = knee(&knee_points) else {
        return format!(
            "{place}: no knee: the intervals are too wide; use more --blocks, or a quieter machine"
        );
    };
    let rate_at = |wanted: usize| {
        points
            .iter()
            .find(|(in_flight, _)| *in_flight == wanted)
            .map(|(_, rate)| *rate)
    };
    let Some(rate) = rate_at(enough) else {
        return String::new();
    };
    let cell = members.iter().find(|cell| cell.cell.concurrency == Some(enough));
    let flags = cell.map_or_else(String::new, |cell| cell.cell.flags());
    let modelled = cell.and_then(|cell| cell.model?.knee);
    let model = modelled.map_or_else(String::new, |knee| format!("; the model says {knee:.0}"));
    let most = points
        .iter()
        .map(|(in_flight, _)| *in_flight)
        .max()
        .unwrap_or(enough);
    let beyond = match rate_at(most) {
        Some(beyond) if most > enough => {
            format!("; {most} do {:.2} times that", beyond.estimate / rate.estimate)
        }
        _ => "; more than were tried may do better".to_owned(),
    };
    format!(
        "{place}: {enough} in flight are enough: {} objects/s [{}, {}]{beyond}{model}\n  from now on: s3haul cp ... {flags}",
        grouped(rate.estimate as u64),
        grouped(rate.low as u64),
        grouped(rate.high as u64),
    )
}
