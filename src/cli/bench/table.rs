//! A report as tables for a terminal: one a group, with what is held constant above and every doubt below.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use crate::bench::model::Term;
use crate::bench::report::{CellResult, Group, Report, Role, Verdict};
use crate::units::{ByteSize, grouped, spoken};

const COLUMNS: [&str; 12] = [
    "strategy",
    "objects",
    "makespan",
    "ratio\n[95 % interval]",
    "verdict",
    "objects/s",
    "MiB/s",
    "service ms\np50 / p95",
    "CPU ms\n/object",
    "peak RSS",
    "conns",
    "of bound",
];

/// All of a report.
pub(super) fn tables(report: &Report) -> String {
    let mut parts = vec![head(report)];
    parts.extend(report.groups.iter().map(group));
    parts.join("\n\n")
}

fn head(report: &Report) -> String {
    let server = &report.server;
    let place = match server.kind.as_str() {
        "endpoint" => format!("{} at {}", server.software, server.endpoint),
        kind => format!(
            "{kind} ({}), started for this, data in {}",
            server.software, server.data_on
        ),
    };
    let mut lines = vec![format!(
        "s3haul {} against {place}; {}, {} cores, kernel {}",
        report.s3haul, report.host.cpu, report.host.cores, report.host.kernel
    )];
    lines.push(format!(
        "held constant: {} checksums, one retry, which is found out; {} blocks, seed {}",
        report.held.checksum, report.blocks, report.seed
    ));
    if report.quick {
        lines.push("quick: direction only".to_owned());
    }
    if report.partial {
        lines.push("PARTIAL: it was stopped before its end; this is what was measured until then".to_owned());
    }
    if report.build != "release" {
        lines.push("DEBUG BUILD: nothing of this is to be believed".to_owned());
    }
    lines.join("\n")
}

fn group(group: &Group) -> String {
    let mut lines = vec![format!(
        "{} ({}, parts of {} above {}) over {} ({})",
        group.workload.name,
        group.workload.description,
        ByteSize(group.workload.part_size_bytes),
        ByteSize(group.workload.multipart_threshold_bytes),
        group.profile.name,
        group.profile.name.describe()
    )];
    lines.push(ground(group));
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(COLUMNS);
    for cell in &group.cells {
        table.add_row(row(cell));
    }
    for (number, column) in table.column_iter_mut().enumerate() {
        if ![0, 4, 11].contains(&number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    lines.push(table.to_string());
    lines.extend(checks(group));
    lines.extend(notes(group));
    lines.join("\n")
}

/// Figures that have to agree with each other, of the arms of the last block: requests in flight by Little's law, and what
/// the relay saw beside what was uploaded.
fn checks(group: &Group) -> Vec<String> {
    let of_cell = |cell: &CellResult| {
        let arm = cell.arms.last().filter(|_| cell.role != Role::Twin)?;
        let mut line = format!(
            "{} {:.2} of {}",
            cell.label, arm.mean_in_flight, arm.peak_in_flight
        );
        if arm.answers > 0 {
            line += &format!(
                ", {} answers for {}, {} for {}",
                grouped(arm.answers),
                grouped((cell.objects_per_job * cell.jobs_per_arm) as u64),
                ByteSize(arm.bytes_at_relay),
                ByteSize(arm.bytes)
            );
        }
        Some(line)
    };
    let lines: Vec<String> = group.cells.iter().filter_map(of_cell).collect();
    if lines.is_empty() {
        return lines;
    }
    let relay = if group.profile.achieved.is_some() {
        "; what the relay saw for what was uploaded"
    } else {
        ""
    };
    vec![format!(
        "checks: in flight, mean of most{relay}: {}",
        lines.join("; ")
    )]
}

/// Noise, blocks, and what the way to the server turned out to be.
fn ground(group: &Group) -> String {
    let noise = match &group.noise {
        Some(noise) => format!(
            "noise band {:.3} to {:.3} (the baseline against itself)",
            1.0 / noise.factor,
            noise.factor
        ),
        None => "no noise band yet".to_owned(),
    };
    let done = group.cells.iter().map(|cell| cell.arms.len()).max().unwrap_or(0);
    let mut line = format!("{noise}; {done} blocks");
    if let Some(first) = group.disturbed_blocks.first() {
        let fate = if group.excludes_disturbed {
            "left out"
        } else {
            "disturbed, too many to leave out"
        };
        line += &format!(", {} {fate} ({})", group.disturbed_blocks.len(), first.reason);
    }
    let ceilings = group
        .ceilings
        .and_then(|ceilings| ceilings.nowhere.zip(ceilings.discarded));
    if let Some((nowhere, discarded)) = ceilings {
        line += &format!(
            "; ceilings {} objects/s sent nowhere, {} into a sink",
            grouped(nowhere as u64),
            grouped(discarded as u64)
        );
    }
    if let Some(achieved) = group
        .profile
        .achieved
        .filter(|achieved| achieved.latency_mean > 0.0)
    {
        line += &format!(
            "; latency came out as {:.2} ms, p95 {:.2}",
            achieved.latency_mean * 1e3,
            achieved.latency_p95 * 1e3
        );
    }
    if let Some(added) = group.profile.relay_adds {
        line += &format!(
            "; the relay itself adds {:.3} ms [{:.3}, {:.3}] to a request",
            added.estimate * 1e3,
            added.low * 1e3,
            added.high * 1e3
        );
    }
    line
}

fn row(cell: &CellResult) -> Vec<String> {
    let none = || "-".to_owned();
    let label = match cell.role {
        Role::Twin => format!("{} (again)", cell.label),
        _ => cell.label.clone(),
    };
    let ratio = cell.ratio.as_ref().map_or_else(none, |ratio| {
        let interval = ratio.interval;
        format!(
            "{:.3} [{:.3}, {:.3}]",
            interval.estimate, interval.low, interval.high
        )
    });
    let objects = match cell.jobs_per_arm {
        1 => grouped(cell.objects_per_job as u64),
        jobs => format!("{jobs} x {}", grouped(cell.objects_per_job as u64)),
    };
    let verdict = verdict(&cell.verdict).to_owned();
    let Some(figures) = &cell.figures else {
        let mut row = vec![label, objects, none(), ratio, verdict];
        row.resize(COLUMNS.len(), none());
        return row;
    };
    let millis = |seconds: Option<f64>| seconds.map_or_else(none, |seconds| format!("{:.1}", seconds * 1e3));
    let service = &cell.latencies.service;
    let bound = cell.model.as_ref().map_or_else(none, |model| {
        let knee = model
            .knee
            .map_or_else(String::new, |knee| format!(", N* {knee:.0}"));
        format!("{:.0} % {}{knee}", model.reached * 100.0, term(model.term))
    });
    vec![
        label,
        objects,
        seconds(figures.makespan.estimate),
        ratio,
        verdict,
        grouped(figures.objects_per_second as u64),
        format!("{:.1}", figures.bytes_per_second / 1_048_576.0),
        match service.p95 {
            Some(_) => format!("{} / {}", millis(service.p50), millis(service.p95)),
            None => format!("{} / n too small", millis(service.p50)),
        },
        format!("{:.3}", figures.client_cpu_per_object * 1e3),
        ByteSize(figures.peak_rss_bytes).to_string(),
        format!("{:.0}", figures.connections),
        bound,
    ]
}

fn seconds(seconds: f64) -> String {
    spoken(std::time::Duration::from_secs_f64(seconds))
}

/// What a verdict is called.
fn verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Baseline => "baseline",
        Verdict::Twin => "noise",
        Verdict::Faster => "faster",
        Verdict::Slower => "slower",
        Verdict::Inconclusive { .. } => "inconclusive",
        Verdict::DirectionOnly => "direction only",
        Verdict::Suspect { .. } => "SUSPECT",
        Verdict::Invalid { .. } => "INVALID",
    }
}

/// What a bound is called.
fn term(term: Term) -> &'static str {
    match term {
        Term::Latency => "latency",
        Term::PerConnection => "connection",
        Term::Link => "link",
        Term::RequestRate => "requests",
        Term::Cpu => "CPU",
        Term::Tail => "tail",
    }
}

/// Every doubt, with what to do about it.
fn notes(group: &Group) -> Vec<String> {
    let mut notes = Vec::new();
    for cell in &group.cells {
        match &cell.verdict {
            Verdict::Invalid { findings } | Verdict::Suspect { findings } => {
                for finding in findings {
                    notes.push(format!(
                        "{}: {} ({}); {}",
                        cell.label, finding.reason, finding.code, finding.fix
                    ));
                }
            }
            Verdict::Inconclusive { because } => notes.push(format!("{}: {because}", cell.label)),
            _ => {}
        }
    }
    notes
}
