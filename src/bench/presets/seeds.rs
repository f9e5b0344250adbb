//! Articles A4 to A7: ten tiny uploads, one after the other, by a pool, by a thread each, by a queue.

use super::{Made, made, makespan};
use crate::bench::cell::Cell;
use crate::bench::plan::GroupPlan;
use crate::bench::profile::Profile;
use crate::bench::report::{Measure, Published};
use crate::bench::workload::WorkloadSpec;
use crate::config::ClientMode::PerUpload;
use crate::config::StrategyKind::{Sequential, ThreadPerFile, Threads};

const WHY_SEED: &str = "theirs asked for the bucket before each upload, so that each was two round trips of some 65 ms and \
                        nobody saw it; ours sends its HEAD after the PUT, and without it half the time is gone";

/// What all uploads of A do: 10 x 12 bytes.
fn seed() -> WorkloadSpec {
    WorkloadSpec::uniform("seed", "10 files of 12 bytes", 10, 12).whole()
}

fn seed_cells() -> (Cell, Cell) {
    let fixed = Cell::new(Sequential, 1);
    (fixed.clone().asking_again(), fixed)
}

fn over_article(cells: Vec<Cell>) -> Vec<GroupPlan> {
    vec![GroupPlan::new(seed(), Profile::Article, cells)]
}

pub(super) fn a4() -> Made {
    let (exact, fixed) = seed_cells();
    let published = vec![
        makespan("sequential", 1.3, &exact),
        makespan("sequential without HEAD", None, &fixed),
    ];
    made(over_article(vec![exact, fixed]), published, WHY_SEED)
}

pub(super) fn seed_exact() -> Made {
    let (exact, _) = seed_cells();
    made(
        over_article(vec![exact.clone()]),
        vec![makespan("sequential", 1.3, &exact)],
        WHY_SEED,
    )
}

pub(super) fn seed_fixed() -> Made {
    let (_, fixed) = seed_cells();
    made(
        over_article(vec![fixed.clone()]),
        vec![makespan("sequential", 1.3, &fixed)],
        WHY_SEED,
    )
}

pub(super) fn a5() -> Made {
    let (exact, _) = seed_cells();
    let pool = Cell::new(Threads, 10);
    let asking = pool.clone().asking_again();
    made(
        over_article(vec![exact, asking.clone(), pool]),
        vec![makespan("ThreadPool(10)", 0.3, &asking)],
        "two round trips are 0.13 s; the rest of theirs is making the pool and its connections, which nobody told apart",
    )
}

pub(super) fn a6() -> Made {
    let (exact, _) = seed_cells();
    let each = Cell::new(ThreadPerFile, 10).with_client(PerUpload).asking_again();
    let shared = Cell::new(ThreadPerFile, 10).asking_again();
    let started = Published {
        measure: Measure::AllBegun,
        ..makespan("thread per file: \"72 x faster\"", 0.018, &each)
    };
    made(
        over_article(vec![exact, each.clone(), shared]),
        vec![
            started,
            makespan("thread per file, until all is there", None, &each),
        ],
        "theirs is the time to start threads: none was waited for, and one HEAD alone takes 65 ms; ours are joined",
    )
}

pub(super) fn a7() -> Made {
    let (exact, _) = seed_cells();
    let queue = Cell::new(Threads, 4).with_client(PerUpload).asking_again();
    made(
        over_article(vec![exact, queue.clone()]),
        vec![makespan("queue and 4 daemon threads", None, &queue)],
        "theirs never ends, because nothing says that the queue is done, and a failure kills a worker silently; ours is joined",
    )
}
