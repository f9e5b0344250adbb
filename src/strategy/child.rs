//! The child side of `processes` and `hybrid`: reads steps from standard input, answers on standard output.
//!
//! Runs as the hidden command `__worker` of the same binary. Its standard error is the parent's, for logs.

use std::io::{BufRead, Write};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::Choice;
use super::clients::{Clients, Host, own_runtime};
use super::evidence::{ChildUsage, Evidence};
use super::parents_gate::ParentsGate;
use super::protocol::{Contact, FromChild, HEARTBEAT, Init, Refusal, ToChild};
use super::worker_loop::on_threads;
use crate::config::ClientMode;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::event::{Failure, FailureKind};
use crate::store::{Connector, Gate, RetryObserver, check_bucket, first_contact};
use crate::transfer::{LocalSteps, Step, StepError, TransferShared, run_unless_cancelled};

pub(super) type Output = Arc<Mutex<dyn Write + Send>>;

/// One line to the parent.
pub(super) fn say(output: &Output, message: &FromChild) {
    let mut line = serde_json::to_vec(message).expect("our own messages serialise");
    line.push(b'\n');
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    // A parent that is gone takes no answers; the end of input will tell.
    let _ = output.write_all(&line).and_then(|()| output.flush());
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("worker process: {what}"))
        .with_hint("'__worker' is started by s3haul itself and is of no use otherwise")
}

/// What the threads of a child share.
struct Child {
    /// One queue a thread: the parent says which thread does what, so that a worker keeps its client.
    steps: Vec<async_channel::Receiver<(u64, Step)>>,
    clients: Clients,
    transfer: Arc<TransferShared>,
    output: Output,
    cancel: CancellationToken,
    evidence: Arc<Evidence>,
}

/// Serves steps until `input` ends. Returns when all threads are joined.
///
/// # Errors
/// Input that is not the parent's.
pub fn child_main(mut input: impl BufRead, output: impl Write + Send + 'static) -> Result<()> {
    let output: Output = Arc::new(Mutex::new(output));
    let mut line = String::new();
    input
        .read_line(&mut line)
        .map_err(|error| broken("no input").with_source(error))?;
    let Ok(ToChild::Init(init)) = serde_json::from_str(&line) else {
        return Err(broken("the first line is not the settings"));
    };
    let gate = Arc::new(ParentsGate::new(output.clone()));
    let (clients, transfer) = match set_up(&init, &output, &gate) {
        Ok(parts) => parts,
        Err(error) => {
            let hint = error.hint().map(str::to_owned);
            say(
                &output,
                &FromChild::Refused(Refusal {
                    kind: error.kind(),
                    message: chain(&error),
                    hint,
                }),
            );
            return Ok(());
        }
    };
    let connector = clients.connector().clone();
    say(&output, &FromChild::Ready(connector.known()));
    let (senders, steps): (Vec<_>, _) = (0..init.threads.max(1))
        .map(|_| async_channel::unbounded())
        .unzip();
    let child = Child {
        steps,
        clients,
        transfer,
        output: output.clone(),
        cancel: CancellationToken::new(),
        evidence: Arc::new(Evidence::new(init.config.transfer.attention)),
    };
    let (cancel, evidence, held_by) = (
        child.cancel.clone(),
        child.evidence.clone(),
        child.transfer.clone(),
    );
    std::thread::scope(|scope| {
        let threads = init.threads.max(1);
        let workers =
            scope.spawn(move || on_threads(0..threads, &Arc::default(), |thread, _| serve(&child, thread)));
        let (running, ended) = mpsc::channel();
        let heart = output.clone();
        scope.spawn(move || beat(&heart, &ended));
        read_lines(input, &senders, &gate, &cancel);
        // The parent closes the pipe after the last answer; if it died instead, nobody wants what is in hand.
        cancel.cancel();
        drop(senders);
        let outcome = workers.join();
        drop(running);
        outcome.unwrap_or_else(|_| Err(broken("a thread panicked")))
    })?;
    say(&output, &FromChild::Bye(usage(&connector, &held_by, &evidence)));
    Ok(())
}

/// Says that this process lives until `ended` closes.
fn beat(output: &Output, ended: &mpsc::Receiver<()>) {
    while ended.recv_timeout(HEARTBEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
        say(output, &FromChild::Alive);
    }
}

fn usage(connector: &Connector, transfer: &TransferShared, evidence: &Evidence) -> ChildUsage {
    ChildUsage {
        pid: crate::usage::process_id(),
        cpu_seconds: crate::usage::cpu_seconds(),
        peak_rss_bytes: crate::usage::peak_rss_bytes(),
        connections_opened: connector.connections_opened(),
        exited_cleanly: true,
        peak_held_bytes: transfer.peak_held_bytes(),
        request_times: connector.request_times(),
        spans: evidence.summary().spans,
    }
}

fn set_up(init: &Init, output: &Output, gate: &Arc<ParentsGate>) -> Result<(Clients, Arc<TransferShared>)> {
    let config = &init.config;
    let mut choice = Choice::new(config);
    choice.concurrency = init.threads;
    let host = Arc::new(Host::for_child(choice.client)?);
    let gate = config.transfer.bandwidth.map(|_| gate.clone() as Arc<dyn Gate>);
    let connector = host
        .runtime
        .block_on(Connector::resolve(&config.store, &config.transfer, gate))?;
    let retries = output.clone();
    let observer: RetryObserver = Arc::new(move |notice| say(&retries, &FromChild::Retry(notice)));
    let transfer = TransferShared::new(
        config.transfer.clone(),
        connector.clone(),
        init.own_outputs.clone(),
    );
    let clients = Clients::new(
        connector.clone(),
        &init.bucket,
        &choice,
        config.transfer.retry,
        observer,
        host,
    )?;
    match init.contact {
        Contact::Made(server) => connector.assume_server(server),
        Contact::First(policy) => {
            let store = clients.for_first_contact(first_contact);
            clients.host().runtime.block_on(check_bucket(
                store.as_ref(),
                &connector,
                &init.bucket,
                policy,
            ))?;
        }
    }
    Ok((clients, transfer))
}

fn read_lines(
    input: impl BufRead,
    steps: &[async_channel::Sender<(u64, Step)>],
    gate: &ParentsGate,
    cancel: &CancellationToken,
) {
    for line in input.lines() {
        let Ok(line) = line else { return };
        match serde_json::from_str(&line) {
            Ok(ToChild::Do { id, thread, step }) => {
                if steps[thread % steps.len()].send_blocking((id, step)).is_err() {
                    return;
                }
            }
            Ok(ToChild::Passed { id }) => gate.passed(id),
            Ok(ToChild::Cancel) => cancel.cancel(),
            Ok(ToChild::Init(_)) | Err(_) => {
                tracing::error!("a worker process got a line that it does not understand");
                return;
            }
        }
    }
}

/// One thread: takes its steps, one at a time.
fn serve(child: &Child, thread: usize) -> Result<()> {
    let serve = async {
        let clients = child.clients.for_worker()?;
        while let Ok((id, step)) = child.steps[thread].recv().await {
            let steps = LocalSteps::new(clients.for_task()?, child.transfer.clone());
            let done =
                AssertUnwindSafe(run_unless_cancelled(&steps, step, &child.cancel, false)).catch_unwind();
            let outcome = match &child.evidence.span_log {
                None => done.await,
                Some(log) => log.watch(thread, done).await,
            };
            let outcome = outcome.unwrap_or_else(|_| {
                Err(StepError::Failed(Failure::new(
                    FailureKind::WorkerLost,
                    "a worker process panicked",
                )))
            });
            say(&child.output, &FromChild::Done { id, outcome });
        }
        Ok(())
    };
    if child.clients.mode() == ClientMode::Shared {
        return child.clients.host().runtime.handle().block_on(serve);
    }
    own_runtime()?.block_on(serve)
}
