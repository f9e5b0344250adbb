//! What keeps a cell, whose arms all count, from being believed.

use super::{MOST_EXCLUDED, suspect};
use crate::bench::report::Finding;
use crate::bench::stats::{Ratio, has_trend, median};

/// Share of the machine that client, server and relay may take before a shaped profile shows CPU time and not waiting.
pub(in crate::bench) const SATURATED: f64 = 0.9;
/// Shortest arm that says something, in seconds.
const SHORTEST_ARM: f64 = 1.0;
/// Widest interval that says something: half of it, as a share of the estimate.
const WIDEST: f64 = 0.25;

/// Drift that matters: with many cells, some rise or fall by chance.
const DRIFT: f64 = 0.05;

/// What is known of a cell when its arms are done.
#[derive(Clone, Debug, Default)]
pub(in crate::bench) struct CellFacts {
    /// Findings of its arms, each kind once.
    pub(in crate::bench) of_arms: Vec<Finding>,
    /// Seconds of its arms: the middle one.
    pub(in crate::bench) typical_arm: f64,
    /// Client, server and relay as a share of the machine.
    pub(in crate::bench) busy_share: f64,
    /// Time passes on the way to the server.
    pub(in crate::bench) is_shaped: bool,
    /// Requests in flight on average, and at most.
    pub(in crate::bench) in_flight: (f64, usize),
    /// Its ratio in each block, in the order of time.
    pub(in crate::bench) ratios: Vec<f64>,
    /// Share of blocks that were disturbed.
    pub(in crate::bench) disturbed: f64,
    /// What disturbed one of them.
    pub(in crate::bench) disturbance: Option<String>,
    pub(in crate::bench) on_battery: bool,
    /// Nothing is sent, so the processor is all that there is.
    pub(in crate::bench) sends_nothing: bool,
}

/// All reasons not to believe a cell.
pub(in crate::bench) fn cell_findings(facts: &CellFacts, ratio: Option<&Ratio>) -> Vec<Finding> {
    let mut findings = facts.of_arms.clone();
    findings.extend(of_the_machine(facts));
    findings.extend(of_the_figures(facts, ratio));
    findings
}

/// How far the second half of a run lies from the first, as a share.
fn drift(ratios: &[f64]) -> f64 {
    let (first, second) = ratios.split_at(ratios.len() / 2);
    match (median(first), median(second)) {
        (Some(first), Some(second)) if first > 0.0 => (second / first - 1.0).abs(),
        _ => 0.0,
    }
}

/// What the machine did meanwhile.
fn of_the_machine(facts: &CellFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.is_shaped && !facts.sends_nothing && facts.busy_share >= SATURATED {
        let busy = facts.busy_share * 100.0;
        findings.push(suspect(
            "cpu-saturated",
            format!("the processors were {busy:.0} % busy, so this is not about waiting"),
            "use fewer requests in flight, or read it as CPU cost: --profile raw",
        ));
    }
    if facts.disturbed > MOST_EXCLUDED {
        let how = facts.disturbance.as_deref().unwrap_or("foreign load");
        findings.push(suspect(
            "foreign-load",
            format!(
                "{:.0} % of the blocks were disturbed: {how}",
                facts.disturbed * 100.0
            ),
            "stop other programs, or wait for a quiet hour",
        ));
    }
    if facts.on_battery {
        findings.push(suspect(
            "battery",
            "the machine runs on battery",
            "plug it in: on battery its speed changes",
        ));
    }
    findings
}

/// What the figures themselves say against it.
fn of_the_figures(facts: &CellFacts, ratio: Option<&Ratio>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.typical_arm < SHORTEST_ARM {
        findings.push(suspect(
            "short-arm",
            format!(
                "its arms took {:.2} s, less than {SHORTEST_ARM} s",
                facts.typical_arm
            ),
            "use a larger workload",
        ));
    }
    let (mean, most) = facts.in_flight;
    if mean > most as f64 * 1.05 {
        findings.push(suspect(
            "little",
            format!("{mean:.1} requests were in flight on average where {most} are allowed (Little's law)"),
            "times and counts contradict each other; this is a defect of s3haul",
        ));
    }
    if let Some(interval) = ratio.map(|ratio| ratio.interval) {
        let half = (interval.high - interval.low) / 2.0 / interval.estimate;
        if half > WIDEST {
            findings.push(suspect(
                "wide-interval",
                format!("the interval is +-{:.0} % wide", half * 100.0),
                "use more blocks, or a quieter machine",
            ));
        }
    }
    if has_trend(&facts.ratios) && drift(&facts.ratios) > DRIFT {
        findings.push(suspect(
            "trend",
            "the ratio rises or falls with the order of the run",
            "something drifts: run it again, longer",
        ));
    }
    findings
}
