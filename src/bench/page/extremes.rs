//! Tests of pages of reports that hold nothing, very much, or numbers without sense.

use serde_json::Value;

use super::sample::{self, few};
use super::tests::{report_of, valid};
use crate::bench::cell::Cell;
use crate::bench::profile::Profile;
use crate::bench::report::{CellResult, Figures, Latencies, Noise, Role};
use crate::bench::stats::Interval;
use crate::config::{ClientMode, StrategyKind};

#[test]
fn empty_reports_are_pages_too() {
    let (_, text) = valid(&sample::empty_report(Vec::new()));
    assert!(text.contains("Nothing was measured"));

    let mut group = few();
    group.cells.clear();
    valid(&report_of(group));

    let mut group = few();
    group.noise = None;
    group.pilot = None;
    for cell in &mut group.cells {
        cell.arms.clear();
        cell.figures = None;
        cell.model = None;
        cell.ratio = None;
        cell.lanes = None;
        cell.latencies = Latencies::default();
    }
    let (html, text) = valid(&report_of(group));
    assert!(!html.contains("<figure>"));
    assert!(text.contains("nothing was measured"));

    let mut group = few();
    group.cells.truncate(1);
    let (_, text) = valid(&report_of(group));
    assert!(text.contains("there is nothing but the baseline to compare"));
}

#[test]
fn forty_cells_fit() {
    let strategies = StrategyKind::ALL
        .into_iter()
        .filter(|kind| *kind != StrategyKind::Sequential);
    let cells = strategies.flat_map(|strategy| {
        (0..7_u32).map(move |power| Cell::new(strategy, 1 << power).with_client(ClientMode::PerWorker))
    });
    let baseline = Cell::new(StrategyKind::Sequential, 1);
    let cells: Vec<Cell> = [baseline.clone(), baseline]
        .into_iter()
        .chain(cells)
        .take(40)
        .collect();
    let report = report_of(sample::group("mixed", Profile::Region, cells));
    let (html, text) = valid(&report);
    assert!(text.contains("AN"), "the fortieth letter");
    assert!(text.contains("the others are faint"));
    assert!(text.contains("threads per-worker: the rate still rises up to the largest number measured"));
    assert!(html.contains("mark faint"));
}

/// Replaces all fractions in a report by `number`.
fn with_fractions(value: &mut Value, number: f64) {
    match value {
        Value::Number(old) if old.is_f64() => *value = number.into(),
        Value::Array(values) => values.iter_mut().for_each(|value| with_fractions(value, number)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|value| with_fractions(value, number)),
        _ => {}
    }
}

#[test]
fn numbers_without_sense_do_not_spoil_the_page() {
    let whole = serde_json::to_value(sample::report()).expect("data");
    for number in [0.0, -1.0, 1.0, 1e300, -1e300, 1e-300, 5e-324] {
        let mut value = whole.clone();
        with_fractions(&mut value, number);
        valid(&serde_json::from_value(value).expect("a report"));
    }
}

#[test]
fn what_is_no_number_does_not_spoil_the_page() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut report = sample::report();
        report.elapsed = number;
        report.host.load = number;
        for group in &mut report.groups {
            if let Some(Noise { factor, .. }) = &mut group.noise {
                *factor = number;
            }
            group.cells.iter_mut().for_each(|cell| spoil(cell, number));
        }
        valid(&report);
    }
}

fn spoil(cell: &mut CellResult, number: f64) {
    let interval = Interval {
        estimate: number,
        low: number,
        high: number,
    };
    if let Some(figures) = &mut cell.figures {
        *figures = Figures {
            makespan: interval,
            seconds_per_object: number,
            objects_per_second: number,
            bytes_per_second: number,
            connections: number,
            client_cpu_per_object: number,
            ..*figures
        };
        figures.cpu_shares.idle = number;
        figures.cpu_shares.client_user = number;
    }
    if let (Role::Candidate, Some(ratio)) = (cell.role, &mut cell.ratio) {
        ratio.interval = interval;
    }
    if let Some(model) = &mut cell.model {
        model.makespan = number;
        model.reached = number;
        model.knee = Some(number);
    }
    if let Some(lanes) = &mut cell.lanes {
        lanes.lanes[0].spans[0].length = number;
        lanes.lanes[0].spans[1].begin = number;
    }
    cell.latencies.service.p95 = Some(number);
    cell.latencies.service.curve.push((0.97, number));
    cell.latencies.queue_wait.curve.push((number, 0.1));
    for arm in cell.arms.iter_mut().skip(3) {
        arm.seconds_per_object = number;
        arm.makespans = vec![number];
        arm.throughput.clear();
    }
}
