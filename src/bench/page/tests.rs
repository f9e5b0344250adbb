//! Tests of whole pages: they are well formed, they fetch nothing, and they say what the report says.

use std::collections::BTreeSet;

use super::sample::few;
use super::*;
use crate::bench::report::Verdict;

/// Elements that have no end.
const VOID: [&str; 2] = ["meta", "br"];

/// What is between the tags, once every one of them was found to have its end in the right place.
fn text_of(html: &str) -> String {
    let body = html.strip_prefix("<!DOCTYPE html>").expect("a document type");
    let (mut open, mut text, mut rest) = (Vec::new(), String::new(), body);
    while let Some(begin) = rest.find('<') {
        text += &rest[..begin];
        let end = begin + rest[begin..].find('>').expect("a tag ends");
        let tag = &rest[begin + 1..end];
        rest = &rest[end + 1..];
        assert!(!tag.contains('<'), "an unescaped sign in <{tag}>");
        assert!(
            tag.matches('"').count().is_multiple_of(2),
            "a quote is open in <{tag}>"
        );
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "before {:.60}", rest);
            continue;
        }
        let name = tag.split([' ', '/', '\n']).next().expect("a name");
        if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
        if name == "style" {
            rest = &rest[rest.find("</style>").expect("style ends")..];
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    text + rest
}

/// The page of `report` and its text, once it was found to be a valid one.
pub(super) fn valid(report: &Report) -> (String, String) {
    let html = page(report);
    let text = text_of(&html);
    for forbidden in [
        "http://", "https://", "<script", "<link", "<img", "@import", "src=", "NaN", "inf ",
    ] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    let ids: Vec<&str> = html
        .split(" id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let different: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), different.len(), "every id is there once");
    for reference in html
        .split("url(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
    {
        assert!(
            different.contains(reference.trim_start_matches('#')),
            "{reference}"
        );
    }
    for figure in html.split("<figure>").skip(1) {
        let figure = figure.split("</figure>").next().expect("its end");
        for part in [
            "<h4>",
            "<svg viewBox=\"0 0 360 ",
            "role=\"img\" aria-label=\"",
            "<figcaption>",
        ] {
            assert!(figure.contains(part), "a figure lacks {part}");
        }
        assert!(
            !figure.contains("<figcaption></figcaption>"),
            "a figure without a finding"
        );
    }
    (html, text)
}

pub(super) fn report_of(group: Group) -> Report {
    sample::empty_report(vec![group])
}

#[test]
fn a_page_is_whole_and_names_every_cell() {
    let report = sample::report();
    let (html, text) = valid(&report);
    assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
    assert!(html.contains("<title>s3haul bench: tiny over region and tiny over raw</title>"));
    for cell in report.groups.iter().flat_map(|group| &group.cells) {
        assert!(text.contains(&cell.label), "{}", cell.label);
    }
    for words in [
        "Time compared with the baseline",
        "How many in flight: threads",
        "Peak memory",
        "Who had the processors",
        "What the workers did: F  threads x16",
        "Service time of an object",
        "Waiting in the queue",
        "Waiting for the answer",
        "Every arm, in the order of the run",
        "Within one arm of each",
        "Raw numbers",
        "seed 424242",
        "MinIO RELEASE.2025-09-07, 127.0.0.1:9000 (http)",
        "block 3 (4.1 % of the time was stolen by other machines)",
    ] {
        assert!(text.contains(words), "{words}");
    }
    assert!(
        !text.contains("Making a connection"),
        "of which there are no values"
    );
    assert_eq!(html, page(&report), "the same report, the same page");
}

#[test]
fn a_page_fits_a_file() {
    let kept = tempfile::tempdir().expect("a directory");
    let path = kept.path().join("page.html");
    std::fs::write(&path, page(&sample::report())).expect("written");
    assert!(path.metadata().expect("a file").len() < 2_000_000);
}

#[test]
fn text_of_a_report_is_never_markup() {
    let mut group = few();
    let hostile = "<script>alert(\"&'\")</script>\u{1}";
    group.workload.name = hostile.to_owned();
    group.workload.description = hostile.to_owned();
    for cell in &mut group.cells {
        cell.label = hostile.to_owned();
    }
    group.cells[2].verdict = Verdict::Inconclusive {
        because: hostile.to_owned(),
    };
    sample::refuse(&mut group.cells[1]);
    let mut report = report_of(group);
    report.host.cpu = hostile.to_owned();
    report.server.software = hostile.to_owned();
    report.server.endpoint = format!("http://{hostile}");
    report.preset = Some(hostile.to_owned());
    report.started_at = hostile.to_owned();
    let (html, text) = valid(&report);
    assert!(text.contains("&lt;script&gt;alert(&quot;&amp;&#39;&quot;)&lt;/script&gt;"));
    assert!(!html.contains('\u{1}'));
}

#[test]
fn findings_name_the_right_cell() {
    let report = report_of(few());
    let (_, text) = valid(&report);
    let found = report.groups[0].cells[2].ratio.expect("it has one");
    let interval = numbers::interval(&found.interval);
    let figure = numbers::ratio(found.interval.estimate);
    let sentence = format!(
        "threads x16 takes {figure} of the baseline&#39;s time, {interval}; it took less in 12 of 12"
    );
    assert!(text.contains(&sentence), "{sentence}");
    assert!(text.contains("threads x16 is the fastest with certainty"));
    assert!(text.contains("threads x16 takes most of the machine"));
    assert!(text.contains("sequential held least, 11.2\u{a0}MiB, and threads x16 most, 13.9\u{a0}MiB"));
    assert!(text.contains("tenth of a second threads x16, the fastest, made between"));
}

#[test]
fn what_is_invalid_is_shown_and_nothing_is_said_of_it() {
    let mut group = few();
    sample::refuse(&mut group.cells[2]);
    let (_, text) = valid(&report_of(group.clone()));
    assert!(text.contains("C  threads x16 (invalid)"));
    assert!(text.contains("no ratio: a makespan of 18 ms is less than its longest object took"));
    for words in [
        "threads x16 takes",
        "with threads x16",
        "threads x16, the fastest",
        "threads x16 most",
    ] {
        assert!(!text.contains(words), "{words}");
    }
    group.cells.iter_mut().for_each(sample::refuse);
    let (_, text) = valid(&report_of(group));
    assert!(text.contains(cells::NONE_SOUND));
}

#[test]
fn a_sweep_names_its_knee() {
    let mut report = sample::report();
    let (_, text) = valid(&report);
    assert!(text.contains("threads: 128 in flight are the best"));
    assert!(text.contains("The processors are the limit with 128 and 256 in flight."));
    let mut rate = |label: &str, objects_per_second: f64| {
        let mut cells = report.groups[0].cells.iter_mut();
        let cell = cells.find(|cell| cell.label == label).expect("in the sample");
        cell.figures.as_mut().expect("measured").objects_per_second = objects_per_second;
        valid(&report).1
    };
    assert!(rate("threads x128", 2_420.0).contains("threads: 64 in flight are enough"));
    let text = rate("threads x256", 9_999.0);
    assert!(text.contains("intervals are too wide to tell a knee"));
}

#[test]
fn answers_say_what_is_certain_and_what_is_not() {
    let answer_of = |group: &Group, quick: bool| answer::answer(&View::of(group), quick);
    let group = few();
    assert_eq!(answer_of(&group, false).winner, Some(2));
    assert!(answer_of(&group, true).text.starts_with("A direction only"));
    assert_eq!(answer_of(&group, true).winner, None);

    let mut slower = few();
    slower.cells[2].verdict = Verdict::Slower;
    assert_eq!(answer_of(&slower, false).winner, Some(0), "the baseline");

    let mut equal = few();
    let again = equal.cells[2].clone();
    equal.cells.push(again);
    let answer = answer_of(&equal, false);
    assert_eq!(answer.winner, None);
    assert!(answer.text.contains("cannot be told from"), "{}", answer.text);

    let mut open = few();
    open.cells[2].verdict = Verdict::Inconclusive {
        because: "too near".to_owned(),
    };
    assert!(
        answer_of(&open, false)
            .text
            .contains("1 of 1 candidate cannot be told")
    );

    let mut unknown = few();
    unknown.noise = None;
    assert!(
        answer_of(&unknown, false)
            .text
            .contains("not compared with itself")
    );

    let mut refused = few();
    sample::refuse(&mut refused.cells[2]);
    let text = answer_of(&refused, false).text;
    assert!(text.contains("no cell has a ratio that may be trusted"), "{text}");
    assert!(text.contains("a makespan of 18 ms"), "{text}");
}

#[test]
fn what_spoils_a_run_is_said_loudly() {
    let mut report = report_of(few());
    let (html, _) = valid(&report);
    assert!(!html.contains("class=\"loud\""));
    report.partial = true;
    report.quick = true;
    report.build = "debug".to_owned();
    report.host.on_battery = Some(true);
    let (html, _) = valid(&report);
    assert_eq!(html.matches("class=\"loud\"").count(), 4);
}
