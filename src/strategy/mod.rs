//! Who pulls tasks, and on what: one file for each way of doing it.
//!
//! A strategy owns its threads, runtimes or processes and returns when all of them have ended and every task
//! it took is settled. It knows the queue, clients and `transfer::drive`; not files, plans or the terminal.
//! All in-process strategies share `worker_loop`.

mod child;
mod chunked;
mod clients;
mod event_loops;
mod evidence;
mod gauge;
mod link;
mod parents_gate;
mod processes;
mod protocol;
mod sequential;
mod thread_per_file;
mod threads;
#[cfg(test)]
mod unjoined;
mod window;
mod worker_loop;

use std::sync::Arc;

use self::window::LARGEST_WINDOW;
use crate::config::{BucketPolicy, ClientMode, Config, DEFAULT_CONCURRENCY, StrategyKind};
use crate::error::Result;
use crate::queue::Receiver;
use crate::store::Gate;
use crate::transfer::{RunContext, Task, TransferShared};
use crate::usage;

pub use child::child_main;
pub use clients::{Clients, Host};
pub use evidence::{ChildUsage, Evidence, WorkersSummary};
pub use gauge::WindowChange;
#[cfg(test)]
pub(crate) use unjoined::Unjoined;

/// More loops than this are never better: a server or network is the limit long before.
const MOST_LOOPS: usize = 16;

/// What a strategy works with.
#[cfg_attr(test, derive(Clone))]
pub struct StrategyContext {
    /// Where tasks come from.
    pub tasks: Receiver<Task>,
    /// What all workers share.
    pub run: RunContext,
    /// Stores, as the client mode wants them.
    pub clients: Clients,
    /// What all workers of this process share.
    pub transfer: Arc<TransferShared>,
    /// Settings; `run` holds what was chosen, not what was asked for.
    pub config: Config,
    /// What was chosen.
    pub choice: Choice,
    /// For strategies whose workers make the first contact themselves.
    pub bucket_policy: BucketPolicy,
    /// The gate of all bodies, for workers in other processes to ask; none when there is no limit.
    pub gate: Option<Arc<dyn Gate>>,
    /// What a test can count afterwards.
    pub evidence: Arc<Evidence>,
}

/// A way to upload. Object-safe and blocking: each owns what it runs on.
pub trait Strategy {
    /// Pulls tasks until the queue is closed and empty, or the run is cancelled. Returns when every thread is
    /// joined and every child reaped. Must not be called on a runtime's thread.
    ///
    /// # Errors
    /// Threads, runtimes or processes that cannot be started; tasks that were not taken settle themselves.
    fn run(&self, context: &StrategyContext) -> Result<()>;
}

/// The strategy of that name.
pub fn build(kind: StrategyKind) -> Box<dyn Strategy> {
    match kind {
        StrategyKind::Sequential => Box::new(sequential::Sequential),
        StrategyKind::Threads => Box::new(threads::Threads),
        StrategyKind::Chunked => Box::new(chunked::Chunked),
        StrategyKind::ThreadPerFile => Box::new(thread_per_file::ThreadPerFile),
        StrategyKind::Async => Box::new(event_loops::EventLoops),
        StrategyKind::Processes | StrategyKind::Hybrid => Box::new(processes::Processes),
    }
}

/// What was chosen for a run where nothing was asked for, and what was asked for otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Strategy.
    pub strategy: StrategyKind,
    /// Client mode.
    pub client: ClientMode,
    /// Threads that run event loops; 0 where there are none.
    pub event_loops: usize,
    /// Child processes; 0 where there are none.
    pub processes: usize,
    /// Requests in flight over the run; at most, where that adapts.
    pub concurrency: usize,
    /// How many are in flight follows what is measured.
    pub adapts: bool,
}

impl Choice {
    /// Fills in what was left open. Event loops, one a core, use the least CPU for an object: no lock is
    /// contended and no thread woken.
    pub fn new(config: &Config) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let run = &config.run;
        let strategy = run.strategy.unwrap_or(StrategyKind::Async);
        let client = run.client.unwrap_or(match strategy {
            StrategyKind::Processes => ClientMode::PerWorker,
            _ => ClientMode::Shared,
        });
        let adapts = strategy == StrategyKind::Async && run.concurrency.is_none();
        let concurrency = match strategy {
            StrategyKind::Sequential => 1,
            StrategyKind::Async => run.concurrency.unwrap_or(LARGEST_WINDOW),
            _ => run.concurrency.unwrap_or(DEFAULT_CONCURRENCY),
        };
        let concurrency = concurrency.min(most_in_flight(strategy, client, usage::open_file_limit()));
        let event_loops = match strategy {
            StrategyKind::Async => run.event_loops.unwrap_or(cores.min(MOST_LOOPS)).min(concurrency),
            _ => 0,
        };
        let processes = match strategy {
            StrategyKind::Processes => concurrency,
            StrategyKind::Hybrid => run.processes.unwrap_or(cores).min(concurrency),
            _ => 0,
        };
        Self {
            strategy,
            client,
            event_loops,
            processes,
            concurrency,
            adapts,
        }
    }

    /// True when each file is one task however large it is.
    pub fn is_per_file(&self) -> bool {
        self.strategy == StrategyKind::ThreadPerFile
    }
}

/// Requests that fit into a limit of open files: each needs its file and its socket, and where workers have
/// event loops of their own, those of the loop. Better slower than files that fail.
fn most_in_flight(strategy: StrategyKind, client: ClientMode, open_file_limit: u64) -> usize {
    /// Standard streams, the list, the log, the report, the run's own event loop and store.
    const OWN: u64 = 24;
    let each = match (strategy, client) {
        // Two pipes in this process; what a child opens counts against the child's own limit.
        (StrategyKind::Processes | StrategyKind::Hybrid, _) => 4,
        (_, ClientMode::Shared) | (StrategyKind::Async, _) => 2,
        _ => 7,
    };
    usize::try_from(open_file_limit.saturating_sub(OWN) / each)
        .unwrap_or(usize::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_open_files_mean_few_requests_in_flight() {
        assert_eq!(most_in_flight(StrategyKind::Async, ClientMode::Shared, 64), 20);
        assert_eq!(
            most_in_flight(StrategyKind::Threads, ClientMode::PerWorker, 64),
            5
        );
        assert_eq!(most_in_flight(StrategyKind::Async, ClientMode::Shared, 10), 1);
    }

    #[test]
    fn what_is_asked_for_is_chosen() {
        let mut config = Config::default();
        config.run.strategy = Some(StrategyKind::Hybrid);
        config.run.processes = Some(2);
        config.run.concurrency = Some(8);
        let choice = Choice::new(&config);
        assert_eq!(
            (choice.strategy, choice.processes, choice.concurrency),
            (StrategyKind::Hybrid, 2, 8)
        );
        config.run.strategy = Some(StrategyKind::Sequential);
        assert_eq!(Choice::new(&config).concurrency, 1);
        config.run.strategy = Some(StrategyKind::Processes);
        assert_eq!(Choice::new(&config).client, ClientMode::PerWorker);
    }
}
