//! The table of a group, as the terminal shows it, and the notes under it.

use crate::bench::model::Term;
use crate::bench::report::{CellResult, Figures, Finding, Group, Severity, Verdict};

use crate::units::ByteSize;

use super::answer::findings;
use super::cells::{View, letter};
use super::markup::{Column, escape, facts, table};
use super::numbers::{
    NOTHING, bytes, count, interval, list, maybe_seconds, mebibytes, percent, ratio, ratio_range, seconds,
    significant,
};

const COLUMNS: [Column; 13] = [
    column("Way to upload", ""),
    column("Makespan", "median"),
    column("Ratio", "95 % interval"),
    column("Verdict", ""),
    column("Objects", "per second"),
    column("Content", "MiB/s"),
    column("Service", "p50"),
    column("Service", "p95"),
    column("Client CPU", "ms/object"),
    column("Peak memory", "MiB"),
    column("Connections", "per job"),
    column("Of the bound", ""),
    column("Bound by", ""),
];

pub(super) const fn column(title: &'static str, unit: &'static str) -> Column {
    Column { title, unit }
}

/// What a resource is called.
fn term(term: Term) -> &'static str {
    match term {
        Term::Latency => "latency",
        Term::PerConnection => "connections' bandwidth",
        Term::Link => "link",
        Term::RequestRate => "request rate",
        Term::Cpu => "CPU",
        Term::Tail => "longest object",
    }
}

/// Facts, table and notes of the group.
pub(super) fn section(view: &View<'_>, planned: usize) -> String {
    let mut html = facts(&about(view.group, planned));
    if view.group.cells.is_empty() {
        return html + "<p>The group has no cells.</p>\n";
    }
    let rows: Vec<Vec<String>> = view
        .cells()
        .map(|(position, cell)| row(view, position, cell))
        .collect();
    html += &table(
        &format!(
            "All cells of {}; times are medians over the arms that count",
            view.heading()
        ),
        &COLUMNS,
        &rows,
    );
    html += &notes(view);
    html
}

fn row(view: &View<'_>, position: usize, cell: &CellResult) -> Vec<String> {
    let figures = cell.figures.as_ref();
    let of = |text: fn(&Figures) -> String| figures.map_or_else(|| NOTHING.to_owned(), text);
    let model = cell.model.as_ref();
    let compared = cell.ratio.as_ref().map(|found| {
        let range = ratio_range(&found.interval).replace(" to ", ", ");
        format!("<b>{}</b> [{range}]", ratio(found.interval.estimate))
    });
    vec![
        format!("<i>{} </i>{}", letter(position), escape(&view.name(position))),
        of(|figures| seconds(figures.makespan.estimate)),
        compared.unwrap_or_else(|| NOTHING.to_owned()),
        format!(
            "<span class=\"{}\">{}</span>",
            verdict_class(&cell.verdict),
            View::word(cell)
        ),
        of(|figures| significant(figures.objects_per_second)),
        of(|figures| mebibytes(figures.bytes_per_second)),
        maybe_seconds(cell.latencies.service.p50),
        maybe_seconds(cell.latencies.service.p95),
        of(|figures| significant(figures.client_cpu_per_object * 1e3)),
        of(|figures| mebibytes(figures.peak_rss_bytes as f64)),
        of(|figures| significant_or_whole(figures.connections)),
        model.map_or_else(|| NOTHING.to_owned(), |model| percent(model.reached)),
        model.map_or_else(|| NOTHING.to_owned(), |model| term(model.term).to_owned()),
    ]
}

fn verdict_class(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Faster => "faster",
        Verdict::Slower => "slower",
        Verdict::Suspect { .. } => "suspect",
        Verdict::Invalid { .. } => "invalid",
        _ => "quiet-text",
    }
}

/// A median of counts is whole or a half.
fn significant_or_whole(value: f64) -> String {
    if value.is_finite() && value.fract() == 0.0 && (0.0..1e15).contains(&value) {
        return crate::units::grouped(value as u64);
    }
    significant(value)
}

fn about(group: &Group, planned: usize) -> Vec<(&'static str, String)> {
    vec![
        ("Workload", escape(&workload(group))),
        ("Way to it", escape(&way(group))),
        ("One at a time", escape(&pilot(group))),
        ("Noise", escape(&noise(group))),
        ("Blocks", escape(&blocks(group, planned))),
    ]
}

fn workload(group: &Group) -> String {
    let workload = &group.workload;
    let sizes = if workload.smallest == workload.largest {
        format!("{} each", ByteSize(workload.smallest))
    } else {
        format!(
            "{} to {}",
            ByteSize(workload.smallest),
            ByteSize(workload.largest)
        )
    };
    let mut text = format!(
        "{}: {}, {} in all, {sizes}; parts of {} above {}",
        workload.description,
        count(workload.objects, "object"),
        bytes(workload.bytes as f64),
        ByteSize(workload.part_size_bytes),
        ByteSize(workload.multipart_threshold_bytes)
    );
    if workload.extra_rounds > 0 {
        text += &format!(
            "; {} more of SHA-256 over each",
            count(workload.extra_rounds as usize, "round")
        );
    }
    if workload.sends_nothing {
        text += "; nothing is sent";
    }
    if workload.expects_errors {
        text += "; the server answers some requests with 503 on purpose, so do not compare it with other workloads";
    }
    let id: String = workload.id.chars().take(12).collect();
    if !id.is_empty() {
        text += &format!("; id {id}");
    }
    text
}

fn way(group: &Group) -> String {
    let profile = &group.profile;
    let asked = profile.name.describe();
    let mut text = asked.to_owned();
    if let Some(achieved) = &profile.achieved {
        text += &format!(
            "; it came out as {} on average, {} for 95 of 100",
            seconds(achieved.latency_mean),
            seconds(achieved.latency_p95)
        );
    }
    if let Some(added) = &profile.relay_adds {
        text += &format!("; the relay itself adds {} to a request", seconds(added.estimate));
    }
    text
}

fn pilot(group: &Group) -> String {
    let Some(pilot) = &group.pilot else {
        return String::new();
    };
    format!(
        "{} an object, of which {} on CPUs of client, server and relay ({})",
        seconds(pilot.seconds_per_object),
        seconds(pilot.cpu_per_object),
        count(pilot.objects, "object")
    )
}

fn noise(group: &Group) -> String {
    match &group.noise {
        Some(noise) => format!(
            "ratios from {} to {} mean nothing; the baseline against itself gave {}, {}",
            ratio(1.0 / noise.factor),
            ratio(noise.factor),
            ratio(noise.ratio.interval.estimate),
            interval(&noise.ratio.interval)
        ),
        None => "not known: the baseline was not compared with itself".to_owned(),
    }
}

fn blocks(group: &Group, planned: usize) -> String {
    let excluded: Vec<String> = group
        .excluded_blocks()
        .iter()
        .map(|block| format!("block {} ({})", block.block, block.reason))
        .collect();
    let arms = group
        .cells
        .iter()
        .filter_map(|cell| Some(cell.figures.as_ref()?.arms));
    let counting = arms.max().unwrap_or(0);
    let mut text = format!("{planned} planned, {counting} count");
    if !excluded.is_empty() {
        text += &format!("; not counted: {}", list(&excluded));
    }
    text
}

/// What is wrong, why nothing can be said, and what to do about it.
fn notes(view: &View<'_>) -> String {
    let mut items = String::new();
    for (position, cell) in view.cells() {
        for finding in findings(cell) {
            items += &note(&name(view, position), finding, "");
        }
        for (finding, arms) in of_arms(cell) {
            items += &note(
                &name(view, position),
                finding,
                &format!(" (in {})", count(arms, "arm")),
            );
        }
    }
    for (because, positions) in inconclusive(view) {
        let names: Vec<String> = positions.iter().map(|position| name(view, *position)).collect();
        items += &format!("<li>{}: inconclusive: {}</li>\n", list(&names), escape(because));
    }
    if items.is_empty() {
        return String::new();
    }
    format!("<h3>Notes</h3>\n<ul class=\"notes\">\n{items}</ul>\n")
}

/// Letter and name of a cell, as HTML.
fn name(view: &View<'_>, position: usize) -> String {
    format!("<b>{} {}</b>", letter(position), escape(&view.name(position)))
}

/// Why cells are inconclusive; those with the same reason together.
fn inconclusive<'a>(view: &View<'a>) -> Vec<(&'a str, Vec<usize>)> {
    let mut found: Vec<(&str, Vec<usize>)> = Vec::new();
    for (position, cell) in view.cells() {
        let Verdict::Inconclusive { because } = &cell.verdict else {
            continue;
        };
        match found.iter_mut().find(|(known, _)| known == because) {
            Some((_, positions)) => positions.push(position),
            None => found.push((because, vec![position])),
        }
    }
    found
}

fn note(name: &str, finding: &Finding, place: &str) -> String {
    let (class, word) = match finding.severity {
        Severity::Suspect => ("suspect", "suspect"),
        Severity::Invalid => ("invalid", "invalid"),
    };
    format!(
        "<li>{name}: <span class=\"{class}\">{word}</span>, <code>{}</code>: {}{}. To do: {}</li>\n",
        escape(&finding.code),
        escape(finding.reason.trim_end_matches('.')),
        escape(place),
        escape(&finding.fix)
    )
}

/// Findings of arms that the verdict does not name already, and in how many arms each was found.
fn of_arms(cell: &CellResult) -> Vec<(&Finding, usize)> {
    let mut found: Vec<(&Finding, usize)> = Vec::new();
    for finding in cell.arms.iter().flat_map(|arm| &arm.findings) {
        if findings(cell).iter().any(|known| known.code == finding.code) {
            continue;
        }
        match found.iter_mut().find(|(known, _)| known.code == finding.code) {
            Some((_, arms)) => *arms += 1,
            None => found.push((finding, 1)),
        }
    }
    found
}
