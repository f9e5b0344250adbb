//! Event loops: N requests in flight on one thread, or on K threads, each with a loop of its own.
//!
//! Built by `strategy::build`. The first loop is the calling thread, and with one loop there is no other: files
//! are read there too. Workers and their connections stay on the loop they began on, so that loops have nothing
//! to wait for from each other but the queue.

use futures::stream::{FuturesUnordered, StreamExt as _};

use super::clients::{Clients, own_runtime};
use super::evidence::Polled;
use super::worker_loop::{on_threads_and_here, work};
use super::{Strategy, StrategyContext};
use crate::error::Result;

pub(super) struct EventLoops;

/// The workers of one loop: how many, and the number of the first.
#[derive(Clone, Copy)]
struct Share {
    first: usize,
    count: usize,
}

/// `workers` dealt out to `loops`; what does not divide evenly goes to the first ones.
fn shares(workers: usize, loops: usize) -> Vec<Share> {
    let mut first = 0;
    let share = |number| {
        let count = workers / loops + usize::from(number < workers % loops);
        let share = Share { first, count };
        first += count;
        share
    };
    (0..loops).map(share).collect()
}

impl Strategy for EventLoops {
    fn run(&self, context: &StrategyContext) -> Result<()> {
        let loops = context.config.run.event_loops.unwrap_or(1).max(1);
        let shares = shares(context.config.run.concurrency, loops);
        let here = || {
            let runtime = &context.clients.host().runtime;
            runtime.block_on(one_loop(shares[0], &context.clients, context))
        };
        let others = shares[1..].iter().copied();
        on_threads_and_here(others, &context.evidence, here, |_, share| {
            let runtime = own_runtime()?;
            let clients = {
                let _on_this_loop = runtime.enter();
                context.clients.for_loop(share.count)
            };
            runtime.block_on(one_loop(share, &clients, context))
        })
    }
}

async fn one_loop(share: Share, clients: &Clients, context: &StrategyContext) -> Result<()> {
    let workers = share.first..share.first + share.count;
    let mut running: FuturesUnordered<_> = workers
        .map(|worker| Polled::new(work(worker, clients, context), &context.evidence))
        .collect();
    let mut outcome = Ok(());
    while let Some(ended) = running.next().await {
        if outcome.is_ok() {
            outcome = ended;
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_dealt_out_evenly_and_none_is_lost() {
        for (workers, loops) in [(16, 2), (7, 3), (1, 1), (5, 4)] {
            let shares = shares(workers, loops);
            assert_eq!(shares.len(), loops);
            assert_eq!(shares.iter().map(|share| share.count).sum::<usize>(), workers);
            let spread = shares[0].count - shares[loops - 1].count;
            assert!(spread <= 1, "{workers} on {loops}");
            assert!(
                shares
                    .windows(2)
                    .all(|two| two[1].first == two[0].first + two[0].count)
            );
        }
    }
}
