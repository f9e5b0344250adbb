//! The parent's end of the pipes to one child: who waits for which answer, and whether the child still lives.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::evidence::ChildUsage;
use super::protocol::{FromChild, HEARTBEAT, Refusal, ToChild};
use crate::event::{Event, Failure, FailureKind};
use crate::store::{Gate, KnownServer};
use crate::transfer::{EventSender, Step, StepDone, StepError, Steps};

/// A child that misses this many heartbeats in a row is stopped or stuck, and is killed.
const MISSED_HEARTBEATS: u32 = 10;

/// The server that a child found, or why it cannot work.
pub(super) type Readiness = Result<KnownServer, Refusal>;

type Answer = Result<StepDone, StepError>;
/// Who waits for which answer; none when the child is gone.
type Waiting = HashMap<u64, oneshot::Sender<Answer>>;

/// See the module.
pub(super) struct Link {
    pub(super) pid: u32,
    stdin: Mutex<Option<ChildStdin>>,
    waiting: Mutex<Option<Waiting>>,
    next_id: AtomicU64,
    usage: Mutex<Option<ChildUsage>>,
    heard: AtomicBool,
    missed: AtomicU32,
}

/// Where a child's lines lead, beside to those who wait for answers.
pub(super) struct Ears {
    pub(super) events: EventSender,
    pub(super) ready: Sender<Readiness>,
    /// The run's gate, and the runtime on which a child's bytes wait for it.
    pub(super) gate: Option<(Arc<dyn Gate>, Handle)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    pub(super) fn new(pid: u32, stdin: Option<ChildStdin>) -> Arc<Self> {
        Arc::new(Self {
            pid,
            stdin: Mutex::new(stdin),
            waiting: Mutex::new(Some(HashMap::new())),
            next_id: AtomicU64::new(0),
            usage: Mutex::new(None),
            heard: AtomicBool::new(true),
            missed: AtomicU32::new(0),
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        lock(&self.waiting).is_some()
    }

    /// Closes the child's standard input, which tells it to end.
    pub(super) fn close(&self) {
        lock(&self.stdin).take();
    }

    /// What the child said of itself at its end.
    pub(super) fn take_usage(&self) -> ChildUsage {
        let mut usage = lock(&self.usage).take().unwrap_or_default();
        usage.pid = self.pid;
        usage
    }

    /// Writes one line; a child that does not take it is as good as dead and its reader will say so.
    pub(super) fn send(&self, message: &ToChild) -> bool {
        let Ok(mut line) = serde_json::to_vec(message) else {
            return false;
        };
        line.push(b'\n');
        lock(&self.stdin)
            .as_mut()
            .is_some_and(|stdin| stdin.write_all(&line).is_ok())
    }

    /// Reads the child's lines until it closes its end.
    pub(super) fn read(self: &Arc<Self>, stdout: ChildStdout, ears: &Ears) {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            self.heard.store(true, Ordering::Relaxed);
            match serde_json::from_str(&line) {
                Ok(FromChild::Alive) => {}
                Ok(FromChild::Ready(server)) => _ = ears.ready.send(Ok(server)),
                Ok(FromChild::Refused(refusal)) => _ = ears.ready.send(Err(refusal)),
                Ok(FromChild::Done { id, outcome }) => {
                    let sender = lock(&self.waiting)
                        .as_mut()
                        .and_then(|waiting| waiting.remove(&id));
                    if let Some(sender) = sender {
                        let _ = sender.send(outcome);
                    }
                }
                Ok(FromChild::Pass { id, bytes }) => self.pass(id, bytes, ears.gate.as_ref()),
                Ok(FromChild::Retry(notice)) => ears.events.send(Event::Retry(notice)),
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

    /// Stands in line for the child's bytes and tells it when they may go.
    fn pass(self: &Arc<Self>, id: u64, bytes: usize, gate: Option<&(Arc<dyn Gate>, Handle)>) {
        let Some((gate, runtime)) = gate else {
            self.send(&ToChild::Passed { id });
            return;
        };
        let (link, gate) = (self.clone(), gate.clone());
        runtime.spawn(async move {
            gate.pass(bytes).await;
            link.send(&ToChild::Passed { id });
        });
    }

    /// Counts the heartbeats that did not come; kills a child that has none.
    fn listen_for_heartbeat(&self) {
        if self.heard.swap(false, Ordering::Relaxed) || !self.is_alive() {
            self.missed.store(0, Ordering::Relaxed);
            return;
        }
        if self.missed.fetch_add(1, Ordering::Relaxed) + 1 < MISSED_HEARTBEATS {
            return;
        }
        tracing::warn!(
            pid = self.pid,
            "a worker process has said nothing for {} s and is killed",
            (HEARTBEAT * MISSED_HEARTBEATS).as_secs()
        );
        // Not reaped yet, so the number is still this child's.
        if let Some(pid) = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    fn lost(&self) -> StepError {
        let message = format!("worker process {} ended before this file was done", self.pid);
        StepError::Failed(Failure::new(FailureKind::WorkerLost, message))
    }
}

/// Watches over children until `ended` closes. Counts its own ticks and not the clock, so that a parent that was
/// itself stopped for a while does not take its children for dead.
pub(super) fn watch_over(links: &[Arc<Link>], ended: &Receiver<()>) {
    while ended.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
        for link in links {
            link.listen_for_heartbeat();
        }
    }
}

/// One request in flight: a thread of a child.
pub(super) struct Slot {
    pub(super) link: Arc<Link>,
    pub(super) thread: usize,
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
