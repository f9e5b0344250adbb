//! P child processes of the same binary: one step at a time each (`processes`), or T threads each (`hybrid`).
//!
//! Built by `strategy::build`. The parent walks, keeps the books of every file and hands out steps as JSON
//! lines; children open, read, hash and send. A child that dies fails the files it had; the others go on.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child as ChildProcess, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures::future::join_all;

use super::evidence::ChildUsage;
use super::link::{Ears, Link, Readiness, Slot, watch_over};
use super::protocol::{Contact, Init, ToChild};
use super::{Choice, Strategy, StrategyContext};
use crate::error::{Error, ErrorKind, Result};
use crate::event::WorkerId;
use crate::store::KnownServer;
use crate::transfer::drive;
use crate::units::ByteSize;

/// A child that was asked to end gets this long.
const PATIENCE: Duration = Duration::from_secs(8);
/// The same when the run was stopped and somebody waits for it to end.
const PATIENCE_WHEN_STOPPED: Duration = Duration::from_secs(1);

pub(super) struct Processes;

impl Strategy for Processes {
    fn run(&self, context: &StrategyContext) -> Result<()> {
        let children = start_all(context)?;
        context.evidence.processes_are_ready();
        let slots: Vec<Slot> = children
            .iter()
            .flat_map(|child| {
                (0..child.threads).map(|thread| Slot {
                    link: child.link.clone(),
                    thread,
                })
            })
            .collect();
        let links: Vec<Arc<Link>> = children.iter().map(|child| child.link.clone()).collect();
        thread::scope(|scope| {
            let (running, ended) = mpsc::channel();
            scope.spawn(|| watch_over(&links, &{ ended }));
            serve(&slots, &links, context);
            drop(running);
        });
        let patience = if context.run.cancel.is_cancelled() {
            PATIENCE_WHEN_STOPPED
        } else {
            PATIENCE
        };
        // All end at the same time; they are reaped one after the other.
        for link in &links {
            link.close();
        }
        let mut first_worker = 0;
        for child in children {
            let threads = child.threads;
            context.evidence.child_reaped(child.end(patience), first_worker);
            first_worker += threads;
        }
        Ok(())
    }
}

/// Hands out tasks until there are none; tells the children when the run is cancelled.
fn serve(slots: &[Slot], links: &[Arc<Link>], context: &StrategyContext) {
    context.clients.host().runtime.block_on(async {
        let work = join_all(
            slots
                .iter()
                .enumerate()
                .map(|(worker, slot)| pull(worker, slot, context)),
        );
        let cancel = async {
            context.run.cancel.cancelled().await;
            for link in links {
                link.send(&ToChild::Cancel);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = work => {}
            () = cancel => unreachable!("the cancelling side never ends by itself"),
        }
    });
}

/// One slot: as many as there are requests in flight. Stops when its child is gone.
async fn pull(worker: usize, slot: &Slot, context: &StrategyContext) {
    let id = WorkerId {
        worker,
        pid: slot.link.pid,
    };
    context.evidence.worker_begins();
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
    let Choice {
        processes,
        concurrency,
        ..
    } = context.choice;
    let count = processes.max(1);
    // What does not divide evenly goes to the first ones.
    let threads = |number: usize| concurrency / count + usize::from(number < concurrency % count);
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

struct Child {
    process: ChildProcess,
    link: Arc<Link>,
    reader: Option<JoinHandle<()>>,
    ready: mpsc::Receiver<Readiness>,
    threads: usize,
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
        let link = Link::new(process.id(), stdin);
        link.send(&ToChild::Init(Box::new(init(
            threads, processes, contact, context,
        ))));
        let (say_ready, ready) = mpsc::channel();
        let runtime = context.clients.host().runtime.handle();
        let ears = Ears {
            events: context.run.events.clone(),
            ready: say_ready,
            gate: context.gate.clone().map(|gate| (gate, runtime.clone())),
        };
        let reader = {
            let link = link.clone();
            thread::Builder::new()
                .name(format!("reader-{}", link.pid))
                .spawn(move || link.read(stdout, &ears))
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

    fn wait_until_ready(&self, context: &StrategyContext) -> Result<KnownServer> {
        use mpsc::RecvTimeoutError as Trouble;
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
        self.link.close();
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
        let mut usage = self.link.take_usage();
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
            self.link.close();
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
    Init {
        config,
        bucket: context.clients.bucket().to_owned(),
        threads,
        contact,
        own_outputs: context.transfer.own_outputs().to_vec(),
    }
}
