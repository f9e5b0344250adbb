//! What a group comes to, in one sentence: which cell is the fastest with certainty, or why nothing can be said.

use crate::bench::report::{CellResult, Figures, Finding, Group, Role, Verdict};
use crate::bench::stats::Ratio;

use super::cells::View;
use super::numbers::{count, interval, list, ratio, significant};

/// The answer of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The sentence.
    pub(super) text: String,
    /// The cell that is the fastest with certainty.
    pub(super) winner: Option<usize>,
}

/// A cell that may be compared: its position, the cell, its ratio.
type Compared<'a> = (usize, &'a CellResult, &'a Ratio);

/// The answer of the group that `view` shows; `quick` is whether it was too short for verdicts.
pub(super) fn answer(view: &View<'_>, quick: bool) -> Answer {
    let group = view.group;
    let open = |text: String| Answer { text, winner: None };
    if view.measured().next().is_none() {
        return open(format!(
            "Nothing can be said: nothing was measured.{}",
            because_of(group)
        ));
    }
    let compared = compared(group);
    if compared.is_empty() {
        return open(format!("Nothing can be said: {}", nothing_to_compare(group)));
    }
    if quick {
        return open(direction(view, &compared));
    }
    if group.noise.is_none() {
        return open(
            "Nothing can be said: the baseline was not compared with itself, so nobody knows what noise is."
                .to_owned(),
        );
    }
    match certain(group, &compared) {
        Fastest::One(position) => one(view, position),
        Fastest::Several(positions) => open(several(view, &positions)),
        Fastest::Unknown => open(unknown(view, &compared)),
    }
}

/// Candidates with a ratio that may be trusted.
fn compared(group: &Group) -> Vec<Compared<'_>> {
    let cells = group.cells.iter().enumerate();
    cells
        .filter(|(_, cell)| cell.role == Role::Candidate)
        .filter(|(_, cell)| !matches!(cell.verdict, Verdict::Suspect { .. } | Verdict::Invalid { .. }))
        .filter_map(|(position, cell)| Some((position, cell, cell.ratio.as_ref()?)))
        .filter(|(_, _, ratio)| ratio.interval.estimate.is_finite() && ratio.interval.estimate > 0.0)
        .collect()
}

enum Fastest {
    /// This one, beyond noise.
    One(usize),
    /// One of these, all faster than the baseline, but not surely than each other.
    Several(Vec<usize>),
    /// None is faster than the baseline for certain, and the baseline not faster than all.
    Unknown,
}

fn certain(group: &Group, compared: &[Compared<'_>]) -> Fastest {
    let noise = group.noise.as_ref().map_or(1.0, |noise| noise.factor.max(1.0));
    let faster = compared
        .iter()
        .filter(|(_, cell, _)| cell.verdict == Verdict::Faster);
    let best = faster.min_by(|a, b| a.2.interval.estimate.total_cmp(&b.2.interval.estimate));
    if let Some((position, _, best)) = best {
        // Both are ratios to the same baseline; what separates them must be more than noise, too.
        let near = compared.iter().filter(|(other, _, ratio)| {
            other != position && best.interval.high * noise >= ratio.interval.low
        });
        let mut near: Vec<usize> = near.map(|(position, ..)| *position).collect();
        if near.is_empty() {
            return Fastest::One(*position);
        }
        near.insert(0, *position);
        return Fastest::Several(near);
    }
    let all_slower = compared
        .iter()
        .all(|(_, cell, _)| cell.verdict == Verdict::Slower);
    let baseline = group.cells.iter().position(|cell| cell.role == Role::Baseline);
    match baseline {
        Some(baseline) if all_slower => Fastest::One(baseline),
        _ => Fastest::Unknown,
    }
}

fn one(view: &View<'_>, position: usize) -> Answer {
    let name = view.name(position);
    let cell = &view.group.cells[position];
    let rate = rate_of(cell.figures.as_ref());
    let text = match &cell.ratio {
        Some(found) => format!(
            "{name} is the fastest with certainty{rate}: it takes {} of the time of {}, {}.{}",
            ratio(found.interval.estimate),
            baseline_name(view),
            interval(&found.interval),
            left_out(view)
        ),
        None => format!(
            "{name}, the baseline, is the fastest with certainty{rate}: every other cell takes more time, beyond noise.{}",
            left_out(view)
        ),
    };
    Answer {
        text,
        winner: Some(position),
    }
}

fn several(view: &View<'_>, positions: &[usize]) -> String {
    let names: Vec<String> = positions.iter().map(|position| view.name(*position)).collect();
    let figure = view.group.cells[positions[0]].ratio.as_ref().map(|found| {
        format!(
            ": it takes {} of its time, {}",
            ratio(found.interval.estimate),
            interval(&found.interval)
        )
    });
    format!(
        "{} is faster than {} with certainty{}; but it cannot be told from {}, whose intervals are not further away \
         than the noise. More blocks would narrow them.{}",
        names[0],
        baseline_name(view),
        figure.unwrap_or_default(),
        list(&names[1..]),
        left_out(view)
    )
}

fn unknown(view: &View<'_>, compared: &[Compared<'_>]) -> String {
    let open = compared
        .iter()
        .find_map(|(position, cell, _)| match &cell.verdict {
            Verdict::Inconclusive { because } => Some(format!(" {}: {because}.", view.name(*position))),
            _ => None,
        });
    format!(
        "No cell is faster than {}, the baseline, with certainty; {} of {} cannot be told from it.{}{}",
        baseline_name(view),
        compared
            .iter()
            .filter(|(_, cell, _)| cell.verdict != Verdict::Slower)
            .count(),
        count(compared.len(), "candidate"),
        open.unwrap_or_default(),
        left_out(view)
    )
}

fn direction(view: &View<'_>, compared: &[Compared<'_>]) -> String {
    let best = compared
        .iter()
        .min_by(|a, b| a.2.interval.estimate.total_cmp(&b.2.interval.estimate));
    let Some((position, _, found)) = best else {
        return String::new();
    };
    let (name, baseline) = (view.name(*position), baseline_name(view));
    let figure = ratio(found.interval.estimate);
    if found.interval.estimate < 1.0 {
        return format!(
            "A direction only, from too few blocks for a verdict: {name} is ahead, with {figure} of the time of {baseline}."
        );
    }
    format!(
        "A direction only, from too few blocks for a verdict: {baseline}, the baseline, is ahead; next is {name} with \
         {figure} of its time."
    )
}

fn nothing_to_compare(group: &Group) -> String {
    if group.cells.iter().all(|cell| cell.role != Role::Candidate) {
        return "there is nothing but the baseline to compare.".to_owned();
    }
    format!("no cell has a ratio that may be trusted.{}", because_of(group))
}

/// The first reason for there being nothing.
fn because_of(group: &Group) -> String {
    let reason = group.cells.iter().find_map(|cell| {
        let finding = findings(cell).first()?;
        Some(format!(
            " {}: {}.",
            cell.label,
            finding.reason.trim_end_matches('.')
        ))
    });
    reason.unwrap_or_default()
}

fn left_out(view: &View<'_>) -> String {
    let names = |wanted: fn(&Verdict) -> bool| -> Vec<String> {
        let cells = view.cells().filter(|(_, cell)| wanted(&cell.verdict));
        cells.map(|(position, _)| view.name(position)).collect()
    };
    let suspect = names(|verdict| matches!(verdict, Verdict::Suspect { .. }));
    let invalid = names(|verdict| matches!(verdict, Verdict::Invalid { .. }));
    let mut text = String::new();
    if !suspect.is_empty() {
        text += &format!(" Suspect and not judged: {}.", list(&suspect));
    }
    if !invalid.is_empty() {
        text += &format!(" Invalid and not judged: {}.", list(&invalid));
    }
    text
}

/// What is wrong with a cell, as its verdict has it.
pub(super) fn findings(cell: &CellResult) -> &[Finding] {
    match &cell.verdict {
        Verdict::Suspect { findings } | Verdict::Invalid { findings } => findings,
        _ => &[],
    }
}

/// The name of the baseline.
pub(super) fn baseline_name(view: &View<'_>) -> String {
    let baseline = view.cells().find(|(_, cell)| cell.role == Role::Baseline);
    baseline.map_or_else(|| "the baseline".to_owned(), |(position, _)| view.name(position))
}

fn rate_of(figures: Option<&Figures>) -> String {
    match figures {
        Some(figures) if figures.objects_per_second.is_finite() => {
            format!(" ({} objects a second)", significant(figures.objects_per_second))
        }
        _ => String::new(),
    }
}
