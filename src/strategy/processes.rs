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
use super::protocol::{FromChild, Init, ToChild};
use super::{Strategy, StrategyContext};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Failure, FailureKind, WorkerId};
use crate::transfer::{EventSender, Step, StepDone, StepError, Steps, drive};
use crate::units::ByteSize;

/// A child that was asked to end gets this long.
const PATIENCE: Duration = Duration::from_secs(8);

pub(super) struct Processes;

impl Strategy for Processes {
    fn run(&self, context: &StrategyContext) -> Result<()> {
        let children = start_all(context)?;
        let slots: Vec<(usize, Arc<Link>)> = children
            .iter()
            .flat_map(|child| std::iter::repeat_n(child.link.clone(), child.threads))
            .enumerate()
            .collect();
        let outcome = context.clients.host().runtime.block_on(async {
            let work = join_all(slots.iter().map(|(worker, link)| pull(*worker, link, context)));
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
        for child in children {
            context.evidence.child_reaped(child.end());
        }
        outcome
    }
}

/// One slot: as many as there are requests in flight. Stops when its child is gone.
async fn pull(worker: usize, link: &Arc<Link>, context: &StrategyContext) {
    let id = WorkerId { worker, pid: link.pid };
    while link.is_alive() {
        let Some(task) = context.tasks.receive().await else { return };
        let _in_flight = context.evidence.take_up(worker);
        drive(task, link.as_ref(), &context.run, id).await;
    }
}

fn start_all(context: &StrategyContext) -> Result<Vec<Child>> {
    let run = &context.config.run;
    let count = run.processes.unwrap_or(1).max(1);
    let mut children = Vec::with_capacity(count);
    for number in 0..count {
        // What does not divide evenly goes to the first ones.
        let threads = run.concurrency / count + usize::from(number < run.concurrency % count);
        children.push(Child::start(threads, count, context)?);
    }
    for child in &children {
        child.wait_until_ready()?;
    }
    Ok(children)
}

struct Child {
    process: ChildProcess,
    link: Arc<Link>,
    reader: Option<JoinHandle<()>>,
    ready: std::sync::mpsc::Receiver<Option<String>>,
    threads: usize,
}

/// The parent's end of the pipes.
struct Link {
    pid: u32,
    stdin: Mutex<Option<ChildStdin>>,
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Result<StepDone, StepError>>>>>,
    next_id: AtomicU64,
    usage: Mutex<Option<ChildUsage>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Child {
    fn start(threads: usize, processes: usize, context: &StrategyContext) -> Result<Self> {
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
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take().expect("stdout is piped"));
        let link = Arc::new(Link {
            pid: process.id(),
            stdin: Mutex::new(stdin),
            waiting: Mutex::new(Some(HashMap::new())),
            next_id: AtomicU64::new(0),
            usage: Mutex::new(None),
        });
        link.send(&ToChild::Init(Box::new(init(threads, processes, context))));
        let (say_ready, ready) = std::sync::mpsc::channel();
        let reader = {
            let (link, events) = (link.clone(), context.run.events.clone());
            thread::Builder::new()
                .name(format!("reader-{}", link.pid))
                .spawn(move || link.read(stdout, &events, &say_ready))
                .map_err(cannot)?
        };
        Ok(Self { process, link, reader: Some(reader), ready, threads })
    }

    fn wait_until_ready(&self) -> Result<()> {
        match self.ready.recv() {
            Ok(None) => Ok(()),
            Ok(Some(message)) => Err(Error::new(ErrorKind::Internal, format!("a worker process cannot work: {message}"))),
            Err(_) => Err(Error::new(ErrorKind::Internal, "a worker process ended at once")
                .with_hint("programs that use the s3haul library must answer to '__worker'; see RunSettings::worker_program")),
        }
    }

    /// Closes the pipe, waits, and reaps; kills a child that does not end.
    fn end(mut self) -> ChildUsage {
        lock(&self.link.stdin).take();
        let deadline = Instant::now() + PATIENCE;
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

fn init(threads: usize, processes: usize, context: &StrategyContext) -> Init {
    let mut config = context.config.clone();
    let share = |total: u64| (total / processes as u64).max(1);
    let transfer = &mut config.transfer;
    // A share may be smaller than one file that goes up in one PUT; such a file then goes alone.
    transfer.memory = ByteSize(share(transfer.memory.bytes()).max(transfer.multipart_threshold.bytes()));
    transfer.bandwidth = transfer.bandwidth.map(|rate| crate::units::Rate(ByteSize(share(rate.0.bytes()))));
    Init { config, bucket: context.clients.bucket().to_owned(), threads, server: context.clients.connector().server() }
}

impl Link {
    fn is_alive(&self) -> bool {
        lock(&self.waiting).is_some()
    }

    /// Writes one line; a child that does not take it is as good as dead and its reader will say so.
    fn send(&self, message: &ToChild) -> bool {
        let Ok(mut line) = serde_json::to_vec(message) else { return false };
        line.push(b'\n');
        lock(&self.stdin).as_mut().is_some_and(|stdin| stdin.write_all(&line).is_ok())
    }

    fn read(&self, stdout: ChildStdout, events: &EventSender, ready: &std::sync::mpsc::Sender<Option<String>>) {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(FromChild::Ready { error }) => {
                    let _ = ready.send(error);
                }
                Ok(FromChild::Done { id, outcome }) => {
                    let sender = lock(&self.waiting).as_mut().and_then(|waiting| waiting.remove(&id));
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
impl Steps for Link {
    async fn run(&self, step: Step) -> Result<StepDone, StepError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match lock(&self.waiting).as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(self.lost()),
        };
        if !self.send(&ToChild::Do { id, step }) {
            return Err(self.lost());
        }
        receiver.await.unwrap_or_else(|_| Err(self.lost()))
    }
}
