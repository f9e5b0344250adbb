//! What keeps an arm from counting, and a comparison from being believed. Pure functions.

mod arms;
mod cells;

use super::report::{Arm, Finding, Noise, Role, Severity, Verdict};
use super::stats::{Difference, NoiseBand, Ratio};

pub(super) use arms::{ArmFacts, JobFacts, arm_findings};
pub(super) use cells::{CellFacts, SATURATED, cell_findings};

/// Share of the machine that others may take.
const FOREIGN: f64 = 0.10;
/// Share of the machine that its host may give to others.
const STOLEN: f64 = 0.02;
/// Blocks that may be left out.
pub(super) const MOST_EXCLUDED: f64 = 0.25;

fn finding(severity: Severity, code: &str, reason: impl Into<String>, fix: &str) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        reason: reason.into(),
        fix: fix.to_owned(),
    }
}

pub(super) fn invalid(code: &str, reason: impl Into<String>, fix: &str) -> Finding {
    finding(Severity::Invalid, code, reason, fix)
}

pub(super) fn suspect(code: &str, reason: impl Into<String>, fix: &str) -> Finding {
    finding(Severity::Suspect, code, reason, fix)
}

/// Why a block with these arms does not count, for reasons that have nothing to do with their outcome.
///
/// Where the server's CPU time cannot be told from that of others, nobody can say who took how much.
pub(super) fn disturbance(arms: &[&Arm], knows_the_server: bool) -> Option<String> {
    arms.iter().find_map(|arm| {
        let cpu = &arm.cpu;
        let all = cpu.all();
        if all <= 0.0 {
            return None;
        }
        let (stolen, foreign) = (cpu.steal / all, cpu.other / all);
        if stolen > STOLEN {
            return Some(format!("{:.0} % of the CPU time was stolen", stolen * 100.0));
        }
        (knows_the_server && foreign > FOREIGN)
            .then(|| format!("others took {:.0} % of the CPU time", foreign * 100.0))
    })
}

/// The refusal that `findings` call for, if they do.
fn refused(findings: &[Finding]) -> Option<Verdict> {
    let invalid = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Invalid);
    let findings: Vec<Finding> = invalid.cloned().collect();
    (!findings.is_empty()).then_some(Verdict::Invalid { findings })
}

/// What may be said of the baseline, or of it when it runs again.
pub(super) fn own_verdict(role: Role, findings: Vec<Finding>, is_quick: bool) -> Verdict {
    match refused(&findings) {
        Some(refused) => refused,
        None if !findings.is_empty() && !is_quick => Verdict::Suspect { findings },
        None if role == Role::Twin => Verdict::Twin,
        None => Verdict::Baseline,
    }
}

/// What may be said of a cell with these findings.
pub(super) fn verdict(
    findings: Vec<Finding>,
    ratio: Option<&Ratio>,
    noise: Option<&Noise>,
    is_quick: bool,
) -> Verdict {
    if let Some(refused) = refused(&findings) {
        return refused;
    }
    let (Some(ratio), Some(noise)) = (ratio, noise) else {
        return Verdict::Inconclusive {
            because: "no block was done with it and the baseline".to_owned(),
        };
    };
    if is_quick {
        return Verdict::DirectionOnly;
    }
    if !findings.is_empty() {
        return Verdict::Suspect { findings };
    }
    let band = NoiseBand { factor: noise.factor };
    match ratio.difference(band) {
        Difference::Less => Verdict::Faster,
        Difference::More => Verdict::Slower,
        Difference::Inconclusive => {
            let interval = ratio.interval;
            let holds_one = interval.low <= 1.0 && interval.high >= 1.0;
            let because = if holds_one {
                "the interval holds 1: no difference, or too few blocks to see it"
            } else {
                "the difference is within what the baseline differs from itself"
            };
            Verdict::Inconclusive {
                because: format!("{because}; more blocks or a quieter machine would tell"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
