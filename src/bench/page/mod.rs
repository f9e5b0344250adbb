//! A report as one page of HTML: pictures drawn by hand, each with what it shows in words.
//!
//! Nothing is fetched, and nothing needs a script. A pure function.

mod answer;
mod article;
mod cells;
mod cpu;
mod forest;
mod head;
mod lanes;
mod latency;
mod markup;
mod memory;
mod numbers;
mod order;
mod rates;
mod raw;
mod scale;
mod style;
mod svg;
mod sweep;
mod table;

#[cfg(test)]
mod extremes;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use super::report::{Group, Report};
use cells::View;
use markup::{chapter, escape};

/// The page of `report`: a whole document.
pub fn page(report: &Report) -> String {
    let groups: String = report
        .groups
        .iter()
        .enumerate()
        .map(|(number, group)| section(report, number, group))
        .collect();
    let raw: String = report
        .groups
        .iter()
        .map(|group| raw::details(&View::of(group)))
        .collect();
    let raw = match raw.as_str() {
        "" => String::new(),
        raw => format!("<section class=\"group\"><h2>Raw numbers</h2>\n{raw}</section>\n"),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>{}</style>\n</head>\n\
         <body>\n{}\n<main>\n{}{groups}{raw}{}</main>\n</body>\n</html>\n",
        escape(&title(report)),
        style::STYLE,
        style::PATTERNS,
        head::head(report),
        footer(report)
    )
}

fn title(report: &Report) -> String {
    let groups: Vec<String> = report
        .groups
        .iter()
        .map(|group| View::of(group).heading())
        .collect();
    match groups.as_slice() {
        [] => "s3haul bench".to_owned(),
        groups => format!("s3haul bench: {}", numbers::list(groups)),
    }
}

/// Everything about one group: what it came to first, why it came to that, and whether to believe it.
fn section(report: &Report, number: usize, group: &Group) -> String {
    let view = View::of(group);
    // With one group the head of the page has just said it.
    let answer = match report.groups.len() {
        1 => String::new(),
        _ => format!("<p>{}</p>\n", escape(&answer::answer(&view, report.quick).text)),
    };
    let gains: Vec<String> = forest::picture(&view)
        .into_iter()
        .chain(sweep::pictures(&view))
        .chain(memory::picture(&view))
        .collect();
    let times: Vec<String> = cpu::picture(&view)
        .into_iter()
        .chain(lanes::pictures(&view))
        .collect();
    let steady: Vec<String> = order::picture(&view)
        .into_iter()
        .chain(rates::picture(&view))
        .collect();
    format!(
        "<section class=\"group\" id=\"{}\">\n<h2>{}</h2>\n{}{}{}{}{}{}{}</section>\n",
        head::anchor(number),
        escape(&view.heading()),
        answer,
        article::section(&view),
        table::section(&view, report.blocks),
        chapter("What is gained, and what it costs", &gains),
        chapter("Where the time goes", &times),
        chapter("How long requests take", &latency::pictures(&view)),
        chapter("Whether the run was steady", &steady)
    )
}

fn footer(report: &Report) -> String {
    format!(
        "<footer>Written by s3haul {} from its JSON report, version {}. Intervals hold what 95 of 100 repetitions would \
         give. A ratio below 1 means less time than the baseline.</footer>\n",
        escape(&report.s3haul),
        report.v
    )
}
