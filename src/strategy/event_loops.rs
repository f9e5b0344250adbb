//! Event loops: N requests in flight on one thread, or on K threads.
//!
//! Built by `strategy::build`. One loop is the calling thread and nothing else: files are read there too. With
//! K loops each worker is a spawned task that the runtime may move between its K threads.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt as _};

use super::evidence::Polled;
use super::worker_loop::work;
use super::{Strategy, StrategyContext};
use crate::error::{Error, ErrorKind, Result};

pub(super) struct EventLoops;

impl Strategy for EventLoops {
    fn run(&self, context: &StrategyContext) -> Result<()> {
        let workers = context.config.run.concurrency;
        let runtime = &context.clients.host().runtime;
        if context.config.run.event_loops.unwrap_or(1) <= 1 {
            return runtime.block_on(one_loop(workers, context));
        }
        let context = Arc::new(context.share());
        let tasks: Vec<_> = (0..workers)
            .map(|worker| {
                let context = context.clone();
                let evidence = context.evidence.clone();
                runtime.spawn(Polled::new(async move { work(worker, &context).await }, evidence))
            })
            .collect();
        runtime.block_on(async {
            let mut outcome = Ok(());
            for task in tasks {
                let joined = task.await.unwrap_or_else(|error| {
                    Err(Error::new(ErrorKind::Internal, "a worker panicked").with_source(error))
                });
                if outcome.is_ok() {
                    outcome = joined;
                }
            }
            outcome
        })
    }
}

async fn one_loop(workers: usize, context: &StrategyContext) -> Result<()> {
    let mut running: FuturesUnordered<_> = (0..workers)
        .map(|worker| Polled::new(work(worker, context), context.evidence.clone()))
        .collect();
    let mut outcome = Ok(());
    while let Some(ended) = running.next().await {
        if outcome.is_ok() {
            outcome = ended;
        }
    }
    outcome
}
