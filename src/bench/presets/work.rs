//! Articles A1 to A3 and B: work for processors, reading, and a few uploads, by threads and by processes.

use super::{Made, cores, made, makespan};
use crate::bench::cell::Cell;
use crate::bench::plan::GroupPlan;
use crate::bench::profile::Profile;
use crate::bench::report::{Measure, Published};
use crate::bench::workload::WorkloadSpec;
use crate::config::ClientMode::PerUpload;
use crate::config::StrategyKind::{Processes, Sequential, Threads};
use crate::units::MIB;

/// 50 pieces of work of the same size: SHA-256 of 64 MiB each.
pub(super) fn hash_work() -> WorkloadSpec {
    WorkloadSpec {
        extra_rounds: 64,
        ..WorkloadSpec::uniform("hash", "50 pieces of SHA-256 over 64 MiB, from memory", 50, MIB)
    }
    .into_nothing()
    .whole()
}

pub(super) fn a1() -> Made {
    let cell = Cell::new(Sequential, 1);
    made(
        vec![GroupPlan::new(hash_work(), Profile::Raw, vec![cell.clone()])],
        vec![makespan("50 x 1 M list appends, once", 4.83, &cell)],
        "other work in another language; theirs is one run by a clock that may be set, ours the median of blocks",
    )
}

pub(super) fn a2() -> Made {
    let many = Cell::new(Processes, 50);
    let cells = vec![
        Cell::new(Sequential, 1),
        Cell::new(Processes, cores()),
        many.clone(),
    ];
    made(
        vec![GroupPlan::new(hash_work(), Profile::Raw, cells)],
        vec![
            makespan("50 processes", 2.75, &many),
            Published {
                what: "starting 50 processes (not told)".to_owned(),
                measure: Measure::StartProcesses,
                ..makespan("", None, &many)
            },
        ],
        "theirs does not say whether starting the pool was timed; here work and start stand apart",
    )
}

pub(super) fn a3() -> Made {
    let many = Cell::new(Threads, 50);
    let cells = vec![
        Cell::new(Sequential, 1),
        Cell::new(Threads, cores()),
        many.clone(),
        Cell::new(Processes, 50),
    ];
    made(
        vec![GroupPlan::new(hash_work(), Profile::Raw, cells)],
        vec![makespan("50 threads", 14.09, &many)],
        "theirs is the interpreter's lock, not context switches: without one, threads do what processes do",
    )
}

pub(super) fn b1() -> Made {
    let workload = WorkloadSpec::uniform("sixteen", "16 files of 1 MiB", 16, MIB).whole();
    let fresh = |strategy, count| Cell::new(strategy, count).with_client(PerUpload);
    let sequential = fresh(Sequential, 1);
    let mut cells = vec![sequential.clone()];
    let mut published = vec![makespan("serial", 6.36, &sequential)];
    for (strategy, name, figures) in [
        (Threads, "threads", [5.83, 3.75, 2.02]),
        (Processes, "processes", [6.81, 3.52, 2.12]),
    ] {
        for (count, seconds) in [1, 2, 4].into_iter().zip(figures) {
            let cell = fresh(strategy, count);
            published.push(makespan(&format!("{count} {name}"), seconds, &cell));
            cells.push(cell);
        }
    }
    made(
        vec![GroupPlan::new(workload, Profile::Region, cells)],
        published,
        "theirs downloads one file again and again, never reads its body, and ends with the last that began; ours uploads 16 \
         and ends with the last that ends",
    )
}

pub(super) fn b2() -> Made {
    let workload = WorkloadSpec::uniform("read", "12 files of 50 MB, read and summed", 12, 50_000_000)
        .into_nothing()
        .whole();
    let sequential = Cell::new(Sequential, 1);
    let mut cells = vec![sequential.clone()];
    let mut published = vec![makespan("serial", 1.37, &sequential)];
    for (strategy, name, figures) in [
        (Threads, "threads", [0.68, 0.60]),
        (Processes, "processes", [0.94, 0.90]),
    ] {
        for (count, seconds) in [2, 4].into_iter().zip(figures) {
            let cell = Cell::new(strategy, count);
            published.push(makespan(&format!("{count} {name}"), seconds, &cell));
            cells.push(cell);
        }
    }
    made(
        vec![GroupPlan::new(workload, Profile::Raw, cells)],
        published,
        "theirs writes 12 times to one file name, into the page cache, and processes copy 50 MB with each call; ours reads 12 \
         files from a warm cache and sums them",
    )
}

fn by_four(workload: WorkloadSpec, figures: [f64; 3], why: &'static str) -> Made {
    let cells = [
        Cell::new(Sequential, 1),
        Cell::new(Threads, 4),
        Cell::new(Processes, 4),
    ];
    let names = ["serial", "4 threads", "4 processes"];
    let published = cells
        .iter()
        .zip(names)
        .zip(figures)
        .map(|((cell, name), seconds)| makespan(name, seconds, cell))
        .collect();
    made(
        vec![GroupPlan::new(workload, Profile::Raw, cells.to_vec())],
        published,
        why,
    )
}

pub(super) fn b3() -> Made {
    by_four(
        hash_work(),
        [4.2, 6.5, 1.9],
        "theirs is the interpreter's lock again, and two processes were slower than none, which was not run again",
    )
}

pub(super) fn b4() -> Made {
    let workload = WorkloadSpec {
        extra_rounds: 64,
        ..WorkloadSpec::uniform("hash-large", "8 pieces of SHA-256 over 512 MiB", 8, 8 * MIB)
    };
    by_four(
        workload.into_nothing().whole(),
        [2.8, 3.4, 3.3],
        "theirs calls a library that has threads of its own, so that neither threads nor processes can help",
    )
}
