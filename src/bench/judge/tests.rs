//! Every refusal, by facts that call for it and facts that do not.

use super::*;
use crate::bench::cell::Cell;
use crate::bench::report::Cpu;
use crate::bench::stats::Interval;
use crate::config::{ClientMode, StrategyKind};

fn cell() -> Cell {
    Cell::new(StrategyKind::Threads, 4)
}

/// A job of four threads and 100 objects with which nothing is wrong.
fn good() -> JobFacts {
    JobFacts {
        expected: 100,
        done: 100,
        has_finished: true,
        makespan: 1.2,
        longest_service: 0.05,
        busy: 4.0,
        threads_started: 4,
        threads_joined: 4,
        workers: 4,
        allowed: 4,
        connections: 4,
        ..JobFacts::default()
    }
}

fn codes(cell: &Cell, job: JobFacts, arm: ArmFacts) -> Vec<String> {
    arm_findings(cell, &[job], &arm)
        .into_iter()
        .map(|finding| finding.code)
        .collect()
}

#[test]
fn an_arm_with_which_nothing_is_wrong_is_not_refused() {
    assert!(codes(&cell(), good(), ArmFacts::default()).is_empty());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases is long")]
fn every_refusal_has_a_code_of_its_own() {
    let jobs = [
        ("failed-objects", JobFacts { done: 99, ..good() }),
        (
            "failed-objects",
            JobFacts {
                has_finished: false,
                ..good()
            },
        ),
        (
            "not-joined",
            JobFacts {
                threads_joined: 3,
                ..good()
            },
        ),
        (
            "not-joined",
            JobFacts {
                processes: 2,
                processes_ended_well: 1,
                ..good()
            },
        ),
        // Threads that were started and not waited for: 18 ms for requests of 65 ms.
        (
            "faster-than-possible",
            JobFacts {
                makespan: 0.018,
                longest_service: 0.065,
                ..good()
            },
        ),
        ("workers", JobFacts { workers: 3, ..good() }),
        ("retries", JobFacts { retries: 1, ..good() }),
        (
            "connections",
            JobFacts {
                connections: 9,
                ..good()
            },
        ),
    ];
    for (code, job) in jobs {
        assert_eq!(codes(&cell(), job, ArmFacts::default()), [code]);
    }
    let arms = [
        (
            "faster-than-possible",
            ArmFacts {
                least_makespan: 2.0,
                ..ArmFacts::default()
            },
        ),
        (
            "bytes",
            ArmFacts {
                bytes: 10,
                bytes_at_relay: Some(9),
                ..ArmFacts::default()
            },
        ),
        (
            "debug-build",
            ArmFacts {
                is_debug: true,
                ..ArmFacts::default()
            },
        ),
        (
            "disk-full",
            ArmFacts {
                disk_in_use: Some(0.91),
                ..ArmFacts::default()
            },
        ),
        (
            "connections",
            ArmFacts {
                connections_at_relay: Some(100),
                ..ArmFacts::default()
            },
        ),
    ];
    for (code, arm) in arms {
        assert_eq!(codes(&cell(), good(), arm), [code]);
    }
}

#[test]
fn a_client_for_each_upload_that_keeps_connections_is_a_lie() {
    let per_upload = cell().with_client(ClientMode::PerUpload);
    assert_eq!(codes(&per_upload, good(), ArmFacts::default()), ["connections"]);
    let honest = JobFacts {
        connections: 101,
        ..good()
    };
    assert!(codes(&per_upload, honest, ArmFacts::default()).is_empty());
}

#[test]
fn event_loops_poll_on_their_own_threads_and_no_others() {
    let cell = Cell::new(StrategyKind::Async, 4).on_loops(1);
    let job = |threads_polling| JobFacts {
        threads_started: 0,
        threads_joined: 0,
        event_loops: 1,
        threads_polling,
        ..good()
    };
    assert!(codes(&cell, job(1), ArmFacts::default()).is_empty());
    for wrong in [0, 2] {
        assert_eq!(codes(&cell, job(wrong), ArmFacts::default()), ["polling-threads"]);
    }
}

#[test]
fn errors_that_were_asked_for_are_no_reason() {
    let arm = ArmFacts {
        expects_errors: true,
        ..ArmFacts::default()
    };
    assert!(codes(&cell(), JobFacts { retries: 7, ..good() }, arm).is_empty());
}

#[test]
fn a_block_is_left_out_when_others_use_the_machine() {
    let arm = |other: f64, steal: f64| Arm {
        cpu: Cpu {
            client_user: 1.0,
            idle: 1.0 - other - steal,
            other,
            steal,
            ..Cpu::default()
        },
        ..Arm::default()
    };
    assert_eq!(disturbance(&[&arm(0.1, 0.0), &arm(0.0, 0.03)], true), None);
    assert!(
        disturbance(&[&arm(0.0, 0.0), &arm(0.3, 0.0)], true)
            .expect("foreign")
            .contains("15 %")
    );
    assert!(
        disturbance(&[&arm(0.0, 0.1)], false)
            .expect("stolen")
            .contains("stolen")
    );
}

fn ratio(estimate: f64, spread: f64) -> Ratio {
    Ratio {
        interval: Interval {
            estimate,
            low: estimate / spread,
            high: estimate * spread,
        },
        wins: 6,
        blocks: 12,
    }
}

fn facts() -> CellFacts {
    CellFacts {
        typical_arm: 1.2,
        in_flight: (3.9, 4),
        ..CellFacts::default()
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases is long")]
fn every_doubt_has_a_code_of_its_own() {
    let cases = [
        (
            "cpu-saturated",
            CellFacts {
                is_shaped: true,
                busy_share: 0.95,
                ..facts()
            },
        ),
        (
            "foreign-load",
            CellFacts {
                disturbed: 0.5,
                ..facts()
            },
        ),
        (
            "battery",
            CellFacts {
                on_battery: true,
                ..facts()
            },
        ),
        (
            "short-arm",
            CellFacts {
                typical_arm: 0.4,
                ..facts()
            },
        ),
        (
            "little",
            CellFacts {
                in_flight: (4.3, 4),
                ..facts()
            },
        ),
        (
            "trend",
            CellFacts {
                ratios: (0..12).map(f64::from).collect(),
                ..facts()
            },
        ),
    ];
    for (code, facts) in cases {
        let codes: Vec<_> = cell_findings(&facts, Some(&ratio(0.5, 1.02)))
            .into_iter()
            .map(|finding| finding.code)
            .collect();
        assert_eq!(codes, [code]);
    }
    let wide = cell_findings(&facts(), Some(&ratio(0.5, 1.4)));
    assert_eq!(wide[0].code, "wide-interval");
    let raw = CellFacts {
        busy_share: 1.0,
        ..facts()
    };
    assert!(
        cell_findings(&raw, Some(&ratio(0.5, 1.02))).is_empty(),
        "raw is about CPU time"
    );
}

#[test]
fn verdicts_follow_from_findings_then_blocks_then_the_interval() {
    let noise = Noise {
        factor: 1.05,
        ratio: ratio(1.0, 1.05),
    };
    let say = |findings, ratio: Ratio, quick| verdict(findings, Some(&ratio), Some(&noise), quick);
    assert_eq!(say(vec![], ratio(0.8, 1.05), false), Verdict::Faster);
    assert_eq!(say(vec![], ratio(1.3, 1.05), false), Verdict::Slower);
    assert!(matches!(
        say(vec![], ratio(0.97, 1.1), false),
        Verdict::Inconclusive { because } if because.contains("holds 1")
    ));
    assert!(matches!(
        say(vec![], ratio(0.97, 1.01), false),
        Verdict::Inconclusive { because } if because.contains("differs from itself")
    ));
    assert_eq!(say(vec![], ratio(0.5, 1.01), true), Verdict::DirectionOnly);
    let doubt = suspect("short-arm", "", "");
    let refusal = invalid("retries", "", "");
    assert!(matches!(
        say(vec![doubt.clone()], ratio(0.5, 1.01), false),
        Verdict::Suspect { .. }
    ));
    let both = say(vec![doubt, refusal.clone()], ratio(0.5, 1.01), true);
    assert_eq!(
        both,
        Verdict::Invalid {
            findings: vec![refusal]
        }
    );
}
