//! N OS threads and a list that is split beforehand into 4N chunks, as Python's `Pool.map` does.
//!
//! Built by `strategy::build`. Waits for the whole list, cuts it into runs of neighbours, and gives each run to
//! one worker whole: no task moves, so one slow chunk is the tail of the run. That is the point of having it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::worker_loop::{block_on, do_task, on_threads};
use super::{Strategy, StrategyContext};
use crate::error::Result;
use crate::transfer::Task;

/// Chunks for each worker (CPython, `multiprocessing.pool.Pool._map_async`).
const CHUNKS_PER_WORKER: usize = 4;

pub(super) struct Chunked;

/// Cuts `tasks` into at most `4 x workers` runs of equal length, the last of which may be shorter.
fn split(tasks: Vec<Task>, workers: usize) -> VecDeque<Vec<Task>> {
    let size = tasks.len().div_ceil(workers * CHUNKS_PER_WORKER).max(1);
    let mut chunks = VecDeque::new();
    let mut tasks = tasks.into_iter().peekable();
    while tasks.peek().is_some() {
        let number = chunks.len();
        chunks.push_back(
            tasks
                .by_ref()
                .take(size)
                .map(|task| task.in_chunk(number))
                .collect(),
        );
    }
    chunks
}

impl Strategy for Chunked {
    fn run(&self, context: &StrategyContext) -> Result<()> {
        let workers = context.choice.concurrency;
        let list: Vec<Task> = std::iter::from_fn(|| context.tasks.receive_blocking()).collect();
        let chunks = Mutex::new(split(list, workers));
        let next = || chunks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        on_threads(0..workers, &context.evidence, |worker, _| {
            block_on(context, async {
                context.evidence.worker_begins();
                let clients = context.clients.for_worker()?;
                while let Some(chunk) = next() {
                    for task in chunk {
                        do_task(task, worker, &clients, context).await?;
                    }
                }
                Ok(())
            })?
        })
    }
}
