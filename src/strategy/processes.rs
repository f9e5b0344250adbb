//! P child processes of the same binary: one step at a time each (`processes`), or T threads each (`hybrid`).
//!
//! Built by `strategy::build`. The parent walks, keeps the books of every file and hands out steps as JSON
//! lines; children open, read, hash and send. A child that dies fails the files it had; the others go on.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child as ChildProcess, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::join_all;
use tokio::sync::oneshot;

use super::evidence::ChildUsage;
use super::protocol::{Contact, FromChild, Init, Refusal, ToChild};
use super::{Strategy, StrategyContext};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Failure, FailureKind, WorkerId};
use crate::store::ServerKind;
use crate::transfer::{EventSender, Step, StepDone, StepError, Steps, drive};
use crate::units::ByteSize;

/// A child that was asked to end gets this long.
const PATIENCE: Duration = Duration::from_secs(8);
/// The same when the run was stopped and somebody waits for it to end.
const PATIENCE_WHEN_STOPPED: Duration = Duration::from_secs(1);

pub(super) struct Processes;

impl Strategy for Processes {
    fn run(&self, context: &StrategyContext) -> Result<()> {
        let children = start_all(context)?;
        let slots: Vec<Slot> = children
            .iter()
            .flat_map(|child| {
                (0..child.threads).map(|thread| Slot {
                    link: child.link.clone(),
                    thread,
                })
            })
            .collect();
        let outcome = context.clients.host().runtime.block_on(async {
            let work = join_all(
                slots
                    .iter()
                    .enumerate()
                    .map(|(worker, slot)| pull(worker, slot, context)),
            );
            let cancel = async {
                context.run.cancel.cancelled().await;
                for child in &children {
                    child.link.send(&ToChild::Cancel);
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = work => Ok(()),
                () = cancel => unreachable!("the cancelling side never ends by itself"),
            }
        });
        let patience = if context.run.cancel.is_cancelled() {
            PATIENCE_WHEN_STOPPED
        } else {
            PATIENCE
        };
        for child in children {
            context.evidence.child_reaped(child.end(patience));
        }
        outcome
    }
}

/// One slot: as many as there are requests in flight. Stops when its child is gone.
async fn pull(worker: usize, slot: &Slot, context: &StrategyContext) {
    let id = WorkerId {
        worker,
        pid: slot.link.pid,
    };
    while slot.link.is_alive() {
        let Some(task) = context.tasks.receive().await else {
            return;
        };
        let _in_flight = context.evidence.take_up(worker);
        drive(task, slot, &context.run, id).await;
    }
}

/// Starts the first child, which looks at the bucket, and then the others.
fn start_all(context: &StrategyContext) -> Result<Vec<Child>> {
    let run = &context.config.run;
    let count = run.processes.unwrap_or(1).max(1);
    // What does not divide evenly goes to the first ones.
    let threads = |number: usize| run.concurrency / count + usize::from(number < run.concurrency % count);
    let first = Child::start(threads(0), count, Contact::First(context.bucket_policy), context)?;
    let contact = Contact::Made(first.wait_until_ready(context)?);
    let mut children = vec![first];
    for number in 1..count {
        children.push(Child::start(threads(number), count, contact, context)?);
    }
    for child in &children[1..] {
        child.wait_until_ready(context)?;
    }
    Ok(children)
}

/// One request in flight: a thread of a child.
struct Slot {
    link: Arc<Link>,
    thread: usize,
}

type Readiness = std::result::Result<ServerKind, Refusal>;

struct Child {
    process: ChildProcess,
    link: Arc<Link>,
    reader: Option<JoinHandle<()>>,
    ready: std::sync::mpsc::Receiver<Readiness>,
    threads: usize,
}

type Answer = std::result::Result<StepDone, StepError>;
/// Who waits for which answer; none when the child is gone.
type Waiting = HashMap<u64, oneshot::Sender<Answer>>;

/// The parent's end of the pipes.
struct Link {
    pid: u32,
    stdin: Mutex<Option<ChildStdin>>,
    waiting: Mutex<Option<Waiting>>,
    next_id: AtomicU64,
    usage: Mutex<Option<ChildUsage>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Child {
    fn start(threads: usize, processes: usize, contact: Contact, context: &StrategyContext) -> Result<Self> {
        let cannot = |error: std::io::Error| {
            Error::new(ErrorKind::Internal, "a worker process cannot be started")
                .with_source(error)
                .with_hint("lower --concurrency, or use --strategy threads")
        };
        let program = match &context.config.run.worker_program {
            Some(program) => program.clone(),
            None => std::env::current_exe().map_err(cannot)?,
        };
        let mut process = Command::new(program)
            .arg("__worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C at a terminal reaches the parent only, which then stops its children in order.
            .process_group(0)
            .spawn()
            .map_err(cannot)?;
        let (stdin, stdout) = (
            process.stdin.take(),
            process.stdout.take().expect("stdout is piped"),
        );
        let link = Arc::new(Link {
            pid: process.id(),
            stdin: Mutex::new(stdin),
            waiting: Mutex::new(Some(HashMap::new())),
            next_id: AtomicU64::new(0),
            usage: Mutex::new(None),
        });
        link.send(&ToChild::Init(Box::new(init(
            threads, processes, contact, context,
        ))));
        let (say_ready, ready) = std::sync::mpsc::channel();
        let reader = {
            let (link, events) = (link.clone(), context.run.events.clone());
            thread::Builder::new()
                .name(format!("reader-{}", link.pid))
                .spawn(move || link.read(stdout, &events, &say_ready))
                .map_err(cannot)?
        };
        Ok(Self {
            process,
            link,
            reader: Some(reader),
            ready,
            threads,
        })
    }

    fn wait_until_ready(&self, context: &StrategyContext) -> Result<ServerKind> {
        use std::sync::mpsc::RecvTimeoutError as Trouble;
        loop {
            return match self.ready.recv_timeout(Duration::from_millis(100)) {
                Ok(Ok(server)) => Ok(server),
                Ok(Err(refusal)) => {
                    let error = Error::new(refusal.kind, refusal.message);
                    Err(match refusal.hint {
                        Some(hint) => error.with_hint(hint),
                        None => error,
                    })
                }
                Err(Trouble::Timeout) if !context.run.cancel.is_cancelled() => continue,
                Err(Trouble::Timeout) => Err(Error::new(ErrorKind::Interrupted, "stopped before anything was sent")),
                Err(Trouble::Disconnected) => Err(Error::new(ErrorKind::Internal, "a worker process ended at once")
                    .with_hint("a program that uses the library must answer to '__worker'; see RunSettings::worker_program")),
            };
        }
    }

    /// Closes the pipe, waits, and reaps; kills a child that does not end.
    fn end(mut self, patience: Duration) -> ChildUsage {
        lock(&self.link.stdin).take();
        let deadline = Instant::now() + patience;
        let status = loop {
            match self.process.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
                Ok(None) => {
                    tracing::warn!(pid = self.link.pid, "a worker process did not end and is killed");
                    let _ = self.process.kill();
                    break self.process.wait().ok();
                }
                Err(_) => break None,
            }
        };
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let mut usage = lock(&self.link.usage).take().unwrap_or_default();
        usage.pid = self.link.pid;
        usage.exited_cleanly = status.is_some_and(|status| status.success());
        if let Some(signal) = status.and_then(|status| status.signal()) {
            tracing::warn!(pid = usage.pid, signal, "a worker process was killed");
        }
        usage
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Only reached with a living process when starting its siblings failed.
        if self.reader.is_some() {
            lock(&self.link.stdin).take();
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

fn init(threads: usize, processes: usize, contact: Contact, context: &StrategyContext) -> Init {
    let mut config = context.config.clone();
    let share = |total: u64| (total / processes as u64).max(1);
    let transfer = &mut config.transfer;
    // A share may be smaller than one file that goes up in one PUT; such a file then goes alone.
    transfer.memory = ByteSize(share(transfer.memory.bytes()).max(transfer.multipart_threshold.bytes()));
    transfer.bandwidth = transfer
        .bandwidth
        .map(|rate| crate::units::Rate(ByteSize(share(rate.0.bytes()))));
    Init {
        config,
        bucket: context.clients.bucket().to_owned(),
        threads,
        contact,
    }
}

impl Link {
    fn is_alive(&self) -> bool {
        lock(&self.waiting).is_some()
    }

    /// Writes one line; a child that does not take it is as good as dead and its reader will say so.
    fn send(&self, message: &ToChild) -> bool {
        let Ok(mut line) = serde_json::to_vec(message) else {
            return false;
        };
        line.push(b'\n');
        lock(&self.stdin)
            .as_mut()
            .is_some_and(|stdin| stdin.write_all(&line).is_ok())
    }

    fn read(&self, stdout: ChildStdout, events: &EventSender, ready: &std::sync::mpsc::Sender<Readiness>) {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(FromChild::Ready(server)) => _ = ready.send(Ok(server)),
                Ok(FromChild::Refused(refusal)) => _ = ready.send(Err(refusal)),
                Ok(FromChild::Done { id, outcome }) => {
                    let sender = lock(&self.waiting)
                        .as_mut()
                        .and_then(|waiting| waiting.remove(&id));
                    if let Some(sender) = sender {
                        let _ = sender.send(outcome);
                    }
                }
                Ok(FromChild::Retry(notice)) => events.send(Event::Retry(notice)),
                Ok(FromChild::Bye(usage)) => *lock(&self.usage) = Some(usage),
                Err(error) => {
                    tracing::error!(pid = self.pid, %error, "a worker process said something else");
                    break;
                }
            }
        }
        // Dropping the senders wakes everybody who waits for this child.
        lock(&self.waiting).take();
    }

    fn lost(&self) -> StepError {
        let message = format!("worker process {} ended before this file was done", self.pid);
        StepError::Failed(Failure::new(FailureKind::WorkerLost, message))
    }
}

#[async_trait]
impl Steps for Slot {
    async fn run(&self, step: Step) -> Result<StepDone, StepError> {
        let link = &self.link;
        let id = link.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match lock(&link.waiting).as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(link.lost()),
        };
        if !link.send(&ToChild::Do {
            id,
            thread: self.thread,
            step,
        }) {
            return Err(link.lost());
        }
        receiver.await.unwrap_or_else(|_| Err(link.lost()))
    }
}
