//! Articles C to E, and one slow upload in a hundred: the shapes that concurrency can have, and how much of it.

use super::work::hash_work;
use super::{Made, cores, made, makespan};
use crate::bench::cell::Cell;
use crate::bench::plan::GroupPlan;
use crate::bench::profile::Profile;
use crate::bench::report::Published;
use crate::bench::workload::WorkloadSpec;
use crate::config::ClientMode::{PerUpload, PerWorker};
use crate::config::StrategyKind::{Async, Chunked, Hybrid, Processes, Sequential, Threads};
use crate::units::{KIB, MIB};

const WHY_CHART: &str = "theirs shows charts without figures, of servers of others, once";

/// What C fetches, the other way round: 30 small pages.
fn pages() -> WorkloadSpec {
    WorkloadSpec::uniform("pages", "30 files of 100 KiB", 30, 100 * KIB).whole()
}

fn over_pages(cells: Vec<Cell>, published: Vec<Published>, why: &'static str) -> Made {
    made(
        vec![GroupPlan::new(pages(), Profile::Region, cells)],
        published,
        why,
    )
}

pub(super) fn c1() -> Made {
    let cell = Cell::new(Sequential, 1);
    over_pages(
        vec![cell.clone()],
        vec![makespan("one after the other", None, &cell)],
        WHY_CHART,
    )
}

pub(super) fn c2() -> Made {
    let queue = Cell::new(Threads, 3).with_client(PerUpload);
    over_pages(
        vec![Cell::new(Sequential, 1), queue.clone()],
        vec![makespan("queue and 3 daemon threads", None, &queue)],
        "theirs hangs for ever when a worker fails, because the queue is then never done; charts only",
    )
}

pub(super) fn c3() -> Made {
    let (processes, chunked) = (Cell::new(Processes, 6), Cell::new(Chunked, 6));
    let published = vec![
        makespan("\"the same with processes\"", None, &processes),
        makespan("Pool.map", None, &chunked),
    ];
    over_pages(
        vec![Cell::new(Sequential, 1), processes, chunked],
        published,
        "the slide cannot run: that queue cannot be joined; here every job is answered and every process reaped",
    )
}

pub(super) fn c4() -> Made {
    let one = Cell::new(Async, 30).on_loops(1);
    let cells = vec![
        Cell::new(Threads, 30),
        one.clone(),
        Cell::new(Async, 30).on_loops(cores().max(2)),
        Cell::new(Threads, 30).with_client(PerWorker),
    ];
    over_pages(
        cells,
        vec![makespan("asyncio, all at once", None, &one)],
        "theirs compares 30 in flight with 3 or 6, through another library; here N, library and reader are the same",
    )
}

pub(super) fn d1() -> Made {
    let mut cells = vec![Cell::new(Threads, 16)];
    cells.extend([1, 2, 4, 16].map(|processes| Cell::new(Hybrid, 16).in_processes(processes)));
    let published = vec![makespan("processes x threads", None, &cells[2])];
    made(
        vec![GroupPlan::new(WorkloadSpec::tiny(), Profile::Region, cells)],
        published,
        "advice without data; at the same N only the split differs, and the model says that it makes no difference",
    )
}

pub(super) fn e1() -> Made {
    let sweep = |strategy, counts: &[usize]| -> Vec<Cell> {
        counts.iter().map(|count| Cell::new(strategy, *count)).collect()
    };
    let read = WorkloadSpec::uniform("read-small", "400 files of 1 MiB, read and summed", 400, MIB)
        .into_nothing()
        .whole();
    let uploads = sweep(Threads, &[16, 1, 2, 4, 8, 32, 64, 128]);
    let published = vec![makespan("thumbnails: flat from 6 workers on", None, &uploads[0])];
    made(
        vec![
            GroupPlan::new(WorkloadSpec::tiny(), Profile::Region, uploads),
            GroupPlan::new(read, Profile::Raw, sweep(Threads, &[1, 2, 4, 8, 16])),
            GroupPlan::new(hash_work(), Profile::Raw, sweep(Threads, &[1, 2, 4, 8, 16])),
        ],
        published,
        "theirs does not say how often and in which order it ran, and guesses why it is flat; here the order is random, and \
         what binds is named",
    )
}

pub(super) fn e2() -> Made {
    let group = |names| GroupPlan {
        most_blocks: Some(3),
        ..GroupPlan::new(
            WorkloadSpec::lazy(names),
            Profile::Raw,
            vec![Cell::new(Async, 16)],
        )
    };
    made(
        vec![group(10_000), group(1_000_000)],
        vec![makespan("\"for millions\"", None, &Cell::new(Async, 16))],
        "theirs makes a list of the generator before the first upload, so that memory is not flat; ours is",
    )
}

pub(super) fn slow1() -> Made {
    let workload = WorkloadSpec::uniform("hundred", "100 files of 4 KiB", 100, 4 * KIB).whole();
    let cells = vec![
        Cell::new(Threads, 10),
        Cell::new(Chunked, 10),
        Cell::new(Async, 10),
        Cell::new(Sequential, 1),
    ];
    let published = vec![makespan("one slow upload", None, &cells[0])];
    made(
        vec![GroupPlan::new(workload, Profile::Stall, cells)],
        published,
        "theirs gives it as the reason for threads and does not measure it: one after the other it adds up, in a pool it is \
         hidden, with a list split beforehand it is the tail",
    )
}
