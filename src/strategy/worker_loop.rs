//! The loop that all in-process workers run, and the threads they run it on.

use std::panic::AssertUnwindSafe;
use std::thread;

use futures::FutureExt as _;
use tracing::Instrument as _;

use super::StrategyContext;
use super::clients::{Clients, WorkerClients, own_runtime};
use super::evidence::Evidence;
use crate::config::{ClientMode, StrategyKind};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{DETAIL, WorkerId};
use crate::transfer::{LocalSteps, Task, drive};

/// The id of an in-process worker.
pub(super) fn in_process(worker: usize) -> WorkerId {
    WorkerId {
        worker,
        pid: crate::usage::process_id(),
    }
}

/// Pulls tasks until there are none. A task that panics settles itself as lost; the worker goes on.
pub(super) async fn work(worker: usize, clients: &Clients, context: &StrategyContext) -> Result<()> {
    context.evidence.worker_begins();
    let clients = clients.for_worker()?;
    while let Some(task) = context.tasks.receive().await {
        do_task(task, worker, &clients, context).await?;
    }
    Ok(())
}

/// Does one task, or drops it (which settles it) when the run is cancelled.
pub(super) async fn do_task(
    task: Task,
    worker: usize,
    clients: &WorkerClients,
    context: &StrategyContext,
) -> Result<()> {
    let _in_flight = context.evidence.take_up(worker);
    let steps = LocalSteps::new(clients.for_task()?, context.transfer.clone());
    let strategy = context.config.run.strategy.map_or("auto", StrategyKind::name);
    let span = tracing::info_span!(target: DETAIL, "task", worker, strategy, key = task.key());
    let done = AssertUnwindSafe(drive(task, &steps, &context.run, in_process(worker)).instrument(span))
        .catch_unwind();
    let outcome = match &context.evidence.span_log {
        None => done.await,
        // Boxed inside: what is rarely wanted does not make every task larger.
        Some(log) => log.watch(worker, done).await,
    };
    if outcome.is_err() {
        tracing::error!(worker, "a task panicked; its file is recorded as failed");
    }
    Ok(())
}

/// Runs `future` on the thread it is called on: on the host's runtime when the client is shared, because that
/// one owns the connections, else on a runtime of its own.
pub(super) fn block_on<F: Future>(context: &StrategyContext, future: F) -> Result<F::Output> {
    if context.clients.mode() == ClientMode::Shared {
        return Ok(context.clients.host().runtime.handle().block_on(future));
    }
    Ok(own_runtime()?.block_on(future))
}

/// Runs `body` on a scoped OS thread for each of `lots` and joins them all. The first error is returned after that.
pub(super) fn on_threads<T: Send>(
    lots: impl IntoIterator<Item = T>,
    evidence: &Evidence,
    body: impl Fn(usize, T) -> Result<()> + Sync,
) -> Result<()> {
    on_threads_and_here(lots, evidence, || Ok(()), body)
}

/// The same while `here` runs on the calling thread.
pub(super) fn on_threads_and_here<T: Send>(
    lots: impl IntoIterator<Item = T>,
    evidence: &Evidence,
    here: impl FnOnce() -> Result<()>,
    body: impl Fn(usize, T) -> Result<()> + Sync,
) -> Result<()> {
    thread::scope(|scope| {
        let mut handles = Vec::new();
        let mut outcome = Ok(());
        for (worker, lot) in lots.into_iter().enumerate() {
            let body = &body;
            let spawned = thread::Builder::new()
                .name(format!("worker-{worker}"))
                .spawn_scoped(scope, move || body(worker, lot));
            match spawned {
                Ok(handle) => {
                    evidence.thread_started();
                    handles.push(handle);
                }
                Err(error) => {
                    outcome = Err(no_thread(worker, error));
                    break;
                }
            }
        }
        if outcome.is_ok() {
            outcome = here();
        }
        for handle in handles {
            let joined = handle
                .join()
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "a worker panicked")));
            evidence.thread_joined();
            if outcome.is_ok() {
                outcome = joined;
            }
        }
        outcome
    })
}

fn no_thread(worker: usize, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("worker thread {worker} cannot be started"),
    )
    .with_source(error)
    .with_hint("lower --concurrency, or raise the limit of processes (ulimit -u)")
}
