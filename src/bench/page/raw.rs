//! Every arm of a group, folded away at its end: what all figures come from.

use crate::bench::report::Arm;
use crate::units::grouped;

use super::cells::{View, letter};
use super::markup::{Column, escape, table};
use super::numbers::{bytes, significant};
use super::table::column;

const COLUMNS: [Column; 28] = [
    column("Arm", ""),
    column("Order", "in the run"),
    column("Began", "s"),
    column("Time", "s/object"),
    column("Makespans", "s"),
    column("First done", "s"),
    column("All begun", "s"),
    column("Connecting", "s"),
    column("Starting processes", "s"),
    column("Client, user", "CPU s"),
    column("Client, kernel", "CPU s"),
    column("Server", "CPU s"),
    column("Relay", "CPU s"),
    column("Others", "CPU s"),
    column("Idle", "CPU s"),
    column("Steal", "CPU s"),
    column("Peak memory", ""),
    column("Threads", "most"),
    column("Connections", ""),
    column("Answers", "at the relay"),
    column("Content", ""),
    column("At the relay", ""),
    column("Switches", "waited / pushed"),
    column("In flight", "mean / most"),
    column("Workers", "busy / begun"),
    column("Longest", "s"),
    column("Retries", ""),
    column("Findings", ""),
];

/// The raw numbers of the group; nothing without arms.
pub(super) fn details(view: &View<'_>) -> String {
    let rows: Vec<Vec<String>> = view
        .cells()
        .flat_map(|(position, cell)| cell.arms.iter().map(move |arm| (position, arm)))
        .map(|(position, arm)| row(view, position, arm))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<details><summary>Raw numbers of {} of {}</summary>\n<p>Workload id: <code>{}</code>. The exact numbers are in \
         the JSON report.</p>\n{}</details>\n",
        super::numbers::count(rows.len(), "arm"),
        escape(&view.heading()),
        escape(&view.group.workload.id),
        table(&format!("Every arm of {}", view.heading()), &COLUMNS, &rows)
    )
}

fn row(view: &View<'_>, position: usize, arm: &Arm) -> Vec<String> {
    let excluded = if view.is_excluded(arm) {
        ", not counted"
    } else {
        ""
    };
    let makespans: Vec<String> = arm.makespans.iter().copied().map(significant).collect();
    let mut row = vec![
        format!(
            "<i>{} </i>{}, block {}{excluded}",
            letter(position),
            escape(&view.name(position)),
            arm.block
        ),
        arm.order.to_string(),
        significant(arm.at),
        significant(arm.seconds_per_object),
        makespans.join(" "),
    ];
    let times = [
        arm.first_done,
        arm.all_begun,
        arm.connecting,
        arm.starting_processes,
    ];
    let cpu = &arm.cpu;
    let shares = [
        cpu.client_user,
        cpu.client_system,
        cpu.server,
        cpu.relay,
        cpu.other,
        cpu.idle,
        cpu.steal,
    ];
    row.extend(times.into_iter().chain(shares).map(significant));
    row.extend([
        bytes(arm.peak_rss_bytes as f64),
        grouped(arm.threads_peak),
        grouped(arm.connections),
        grouped(arm.answers),
        bytes(arm.bytes as f64),
        bytes(arm.bytes_at_relay as f64),
        format!(
            "{} / {}",
            grouped(arm.switches_voluntary),
            grouped(arm.switches_involuntary)
        ),
        format!("{} / {}", significant(arm.mean_in_flight), arm.peak_in_flight),
        format!("{} / {}", arm.workers_busy, arm.workers),
        significant(arm.longest_service),
        grouped(arm.retries),
        escape(&codes(arm)),
    ]);
    row
}

fn codes(arm: &Arm) -> String {
    let codes: Vec<&str> = arm.findings.iter().map(|finding| finding.code.as_str()).collect();
    codes.join(", ")
}
