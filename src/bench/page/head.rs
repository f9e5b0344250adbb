//! The head of the page: what was found, what must be known before it is believed, and where and how it was measured.

use crate::bench::report::{Held, Host, Report, ServerInfo};
use crate::units::{ByteSize, grouped};

use super::answer::answer;
use super::cells::View;
use super::markup::{escape, facts};
use super::numbers::{count, list, seconds, short, significant};

/// The head of the page of `report`.
pub(super) fn head(report: &Report) -> String {
    format!(
        "<header>\n<h1>Which way to upload is the fastest here?</h1>\n{}{}{}</header>\n",
        warnings(report),
        answers(report),
        circumstances(report)
    )
}

/// What keeps the figures from being what they look like, loudly.
fn warnings(report: &Report) -> String {
    let host = &report.host;
    let warnings = [
        (
            report.partial,
            "Partial",
            "the run was stopped before its end; this is what was measured until then.".to_owned(),
        ),
        (
            report.quick,
            "Quick",
            format!(
                "{} are too few for verdicts; ratios show a direction only.",
                count(report.blocks, "block")
            ),
        ),
        (
            report.build != "release",
            "Not a release",
            format!(
                "the program was a {} build; its times say nothing of a release.",
                report.build
            ),
        ),
        (
            report.is_invalid(),
            "Invalid cells",
            "at least one cell did not do what it should have done, and has no ratio.".to_owned(),
        ),
        (
            host.on_battery == Some(true),
            "On battery",
            "the machine may have slowed its processors down.".to_owned(),
        ),
    ];
    warnings
        .into_iter()
        .filter(|(applies, ..)| *applies)
        .map(|(_, word, text)| format!("<p class=\"loud\"><b>{word}</b>: {}</p>\n", escape(&text)))
        .collect()
}

fn answers(report: &Report) -> String {
    if report.groups.is_empty() {
        return "<p>Nothing was measured: the report has no groups.</p>\n".to_owned();
    }
    let items: String = report
        .groups
        .iter()
        .enumerate()
        .map(|(number, group)| {
            let view = View::of(group);
            let answer = answer(&view, report.quick);
            let class = if answer.winner.is_some() {
                ""
            } else {
                " class=\"open\""
            };
            let cell = answer.winner.and_then(|winner| group.cells.get(winner));
            let flags = match cell {
                Some(cell) if !group.workload.sends_nothing => format!(
                    "<p class=\"quiet-text\">The same by hand: <code>{}</code></p>",
                    command(&cell.cell.flags())
                ),
                _ => String::new(),
            };
            format!(
                "<li{class}><a href=\"#{}\"><b>{}</b></a><p>{}</p>{flags}</li>\n",
                anchor(number),
                escape(&view.heading()),
                escape(&answer.text)
            )
        })
        .collect();
    format!("<ul class=\"answers\">\n{items}</ul>\n")
}

/// The command with these flags, as HTML whose lines break between words only.
fn command(flags: &str) -> String {
    let words = ["s3haul", "cp"].into_iter().chain(flags.split_whitespace());
    let words: Vec<String> = words
        .map(|word| format!("<span class=\"whole\">{}</span>", escape(word)))
        .collect();
    words.join(" ")
}

/// Where a group begins.
pub(super) fn anchor(number: usize) -> String {
    format!("group-{}", number + 1)
}

fn circumstances(report: &Report) -> String {
    let preset = report.preset.as_deref();
    let preset = preset.map_or(String::new(), |preset| format!(", preset {preset}"));
    facts(&[
        ("Begun", escape(&report.started_at)),
        ("Took", escape(&seconds(report.elapsed))),
        (
            "Program",
            escape(&format!(
                "s3haul {}, {} build{preset}",
                report.s3haul, report.build
            )),
        ),
        (
            "Design",
            escape(&format!(
                "{} of all cells, each in random order; seed {}",
                count(report.blocks, "block"),
                report.seed
            )),
        ),
        ("Machine", escape(&machine(&report.host))),
        ("Server", escape(&server(&report.server))),
        ("Held constant", escape(&held(&report.held))),
    ])
}

fn machine(host: &Host) -> String {
    let power = match host.on_battery {
        Some(true) => Some("on battery".to_owned()),
        Some(false) => Some("on mains".to_owned()),
        None => None,
    };
    let parts = [
        host.cpu.clone(),
        count(host.cores, "core"),
        ByteSize(host.memory_bytes).to_string(),
        host.kernel.clone(),
        format!("load {} at the begin", short(&significant(host.load))),
    ];
    let parts = parts.into_iter().chain(power).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(", ")
}

fn server(server: &ServerInfo) -> String {
    // As text it would not be fetched, but a page without addresses is one that anybody can check for that.
    let endpoint = match server.endpoint.split_once("://") {
        Some((scheme, rest)) => format!("{rest} ({scheme})"),
        None => server.endpoint.clone(),
    };
    let cpu = if server.cpu_is_known {
        "its CPU time is known"
    } else {
        "its CPU time is not known"
    };
    let parts = [
        server.kind.clone(),
        server.software.clone(),
        endpoint,
        format!("data on: {}", server.data_on),
        cpu.to_owned(),
    ];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(", ")
}

fn held(held: &Held) -> String {
    list(&[
        format!("checksum {}", held.checksum),
        format!("{} tries after the first", grouped(u64::from(held.retries))),
        format!("{} of memory for contents", ByteSize(held.memory_bytes)),
    ])
}
