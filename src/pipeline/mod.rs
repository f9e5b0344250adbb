//! The wiring: sources to plan to queue to strategy to collector to summary. The one place that knows them all.
//!
//! [`upload`] is what the command line and library users call; [`plan`] is its dry run. Blocking: call them
//! from a plain thread, never inside a runtime.

mod batches;
mod cleanup;
mod connect;
mod feed;
mod home;
mod input;
mod listing;
mod mailbox;
mod outcome;
mod outlet;
mod planned;
mod uploads;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::config::{BucketPolicy, Config, StrategyKind};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::queue;
use crate::report::{Collector, RunSummary};
use crate::source::{Filter, S3Url};
use crate::store::{Connector, RetryObserver, check_bucket, first_contact};
use crate::strategy::{Choice, Clients, Evidence, Host, Strategy, StrategyContext, build};
use crate::transfer::{EventSender, RunContext, TimeLimit, TransferShared};
use crate::usage;

use self::batches::batch_limit;
use self::connect::find_server_on;
use self::input::own_outputs;
use self::mailbox::mailbox;
use self::outcome::{Ended, Started, phases, summarise};
use self::uploads::{open_uploads, sweep};

pub use cleanup::{Cleaned, cleanup};
pub(crate) use connect::unless_stopped;
pub use connect::{connect, find_server, look_at_bucket, open_store};
pub(crate) use feed::{Fetch, Fetches, Wanted, Work};
pub use home::{Home, StateSettings, UPLOADING};
pub(crate) use listing::Stored;
pub use planned::{PlannedAction, PlannedFile, plan};

/// Tasks that may wait in the queue.
const QUEUE_ITEMS: usize = 2_048;
/// Memory that waiting tasks may take.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Where paths come from.
#[derive(Clone, Debug)]
pub enum Input {
    /// Files and directories, walked.
    Paths(Vec<PathBuf>),
    /// A list of paths relative to `base`: from a file, or from standard input when `list` is none.
    List {
        /// Directory that the paths are relative to.
        base: PathBuf,
        /// File to read.
        list: Option<PathBuf>,
        /// `\n` or NUL.
        separator: u8,
    },
    /// Standard input becomes one object.
    Stdin,
}

/// How a run goes on with the multipart uploads of one that was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Where they are written down. Nobody else may use it meanwhile: see [`Home`].
    pub journal: PathBuf,
    /// They are left to the next run also when this one is stopped in order; else they are aborted then.
    pub stays: bool,
}

/// What to upload, and where to.
#[derive(Clone, Debug)]
pub struct UploadRequest {
    /// Sources.
    pub input: Input,
    /// Bucket and prefix or key.
    pub target: S3Url,
    /// What is left out.
    pub filter: Arc<Filter>,
    /// Files that the caller writes during the run, such as logs: left out, wherever they lie.
    pub own_outputs: Vec<PathBuf>,
    /// Whether a missing bucket is made.
    pub bucket_policy: BucketPolicy,
    /// How the next run goes on with multipart uploads that this one leaves; none when it does not.
    pub resume: Option<Resume>,
    /// When nothing new is begun any more; what is in hand then is finished.
    pub deadline: Option<Instant>,
    /// How.
    pub config: Config,
}

impl UploadRequest {
    /// One file or directory to a bucket that exists, with nothing left out.
    pub fn new(source: impl Into<PathBuf>, target: S3Url, config: Config) -> Self {
        Self {
            input: Input::Paths(vec![source.into()]),
            ..Self::of_work(target, config)
        }
    }

    /// Of what is found by others.
    pub(crate) fn of_work(target: S3Url, config: Config) -> Self {
        Self {
            input: Input::Paths(Vec::new()),
            target,
            filter: Arc::default(),
            own_outputs: Vec::new(),
            bucket_policy: BucketPolicy::MustExist,
            resume: None,
            deadline: None,
            config,
        }
    }
}

/// Hears every event of a run, on one thread, in order.
pub trait Monitor: Send {
    /// One event.
    fn notify(&mut self, event: &Event);
}

/// A monitor that does not listen.
pub struct Silent;

impl Monitor for Silent {
    fn notify(&mut self, _event: &Event) {}
}

/// Uploads everything that `request` names and returns when the last outcome is recorded, every worker has
/// ended and no multipart upload of this run is open.
///
/// Cancelling `cancel` stops the run in order: nothing new starts, requests in flight are dropped, open uploads
/// are aborted, and what was not done is counted as cancelled.
///
/// # Errors
/// When nothing could begin: settings, sources, credentials, server, bucket. What goes wrong later is in the
/// summary: failed files in its records, the end of everything in [`RunSummary::ending`].
pub fn upload(
    request: &UploadRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<RunSummary> {
    upload_by(build, request, cancel, monitor)
}

/// [`upload`] to a server that was found already.
///
/// # Errors
/// As there.
pub fn upload_to(
    connector: &Connector,
    request: &UploadRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<RunSummary> {
    open_and_run(build, Some(connector.clone()), request, cancel, monitor)
}

/// [`upload`] by the strategy that `strategy_of` makes of a name.
pub(crate) fn upload_by(
    strategy_of: impl FnOnce(StrategyKind) -> Box<dyn Strategy>,
    request: &UploadRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<RunSummary> {
    open_and_run(strategy_of, None, request, cancel, monitor)
}

/// Finds the server, unless it was found.
fn open_and_run(
    strategy_of: impl FnOnce(StrategyKind) -> Box<dyn Strategy>,
    connector: Option<Connector>,
    request: &UploadRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<RunSummary> {
    request.config.validate()?;
    // A token of the run's own: a fatal error stops everything without cancelling the caller's.
    let cancel = cancel.child_token();
    let source = feed::Source::open(request, &cancel)?;
    run(strategy_of, (source, connector), request, &cancel, monitor)
}

/// Whether a run does what it finds to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    #[default]
    Apply,
    /// It looks, tells, and changes nothing.
    Plan,
}

/// Does what somebody else has found to be done, on the server where that was found; what the request says of its input
/// does not count.
pub(crate) fn run_work(
    work: Work,
    effect: Effect,
    connector: &Connector,
    request: &UploadRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<RunSummary> {
    request.config.validate()?;
    let source = feed::Source::new(work, effect, request);
    let found = (source, Some(connector.clone()));
    run(build, found, request, &cancel.child_token(), monitor)
}

fn run(
    strategy_of: impl FnOnce(StrategyKind) -> Box<dyn Strategy>,
    (source, connector): (feed::Source, Option<Connector>),
    request: &UploadRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<RunSummary> {
    usage::raise_open_file_limit();
    let choice = Choice::new(&request.config);
    source.check(&choice)?;
    let asked = request.config.run.concurrency.unwrap_or(0);
    if choice.concurrency < asked && choice.strategy != StrategyKind::Sequential {
        let allowed = choice.concurrency;
        tracing::warn!(
            asked,
            allowed,
            "the limit of open files (ulimit -n) allows fewer requests in flight"
        );
    }
    let started = Started::now();
    let (sender, events) = mailbox();
    let effect = source.effect();
    let (context, tasks) = prepare(request, (&choice, effect), connector, cancel, sender)?;
    let batch_limit = match effect {
        Effect::Apply => batch_limit(request, &context)?,
        Effect::Plan => None,
    };
    let collector = Mutex::new(Collector::default());
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            events.for_each(|event| {
                collector
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .fold(&event);
                monitor.notify(&event);
            });
        });
        let run = context.run.clone();
        let transfer = context.transfer.clone();
        let feeder = scope.spawn(move || source.feed(&run, &transfer, tasks, batch_limit));
        let began = Instant::now();
        let outcome = strategy_of(choice.strategy).run(&context);
        let phases = phases(&started, began, &context.evidence);
        if outcome.is_err() {
            // What is left was not tried; it is nobody's loss.
            context.run.cancel.cancel();
        }
        // Whatever was not taken, because workers were lost or the run was cancelled, settles itself here.
        while let Some(task) = context.tasks.receive_blocking() {
            drop(task);
        }
        let fed = feeder
            .join()
            .map_err(|_| Error::new(ErrorKind::Internal, "the walk panicked"));
        sweep(&context);
        let ended = Ended::of(&context, phases);
        drop(context);
        outcome.and(fed).map(|()| ended)
    });
    let ended = outcome?;
    let collector = collector.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(summarise(request, &choice, &started, collector, ended))
}

/// Connects, checks the bucket, and puts together what the strategy needs.
fn prepare(
    request: &UploadRequest,
    (choice, effect): (&Choice, Effect),
    connector: Option<Connector>,
    cancel: &CancellationToken,
    events: EventSender,
) -> Result<(StrategyContext, queue::Sender<crate::transfer::Task>)> {
    let config = &request.config;
    let host = Arc::new(Host::new(choice)?);
    let retries = events.clone();
    let observer: RetryObserver = Arc::new(move |notice| retries.send(Event::Retry(notice)));
    let connector = match connector {
        Some(connector) => connector,
        None => find_server_on(&host, config, cancel)?,
    };
    let gate = connector.gate().cloned();
    let clients = Clients::new(
        connector.clone(),
        &request.target.bucket,
        choice,
        config.transfer.retry,
        observer,
        host.clone(),
    )?;
    // Worker processes have clients of their own; the first of them asks.
    if choice.processes == 0 || config.transfer.batch_limit(&config.run).is_some() {
        let store = clients.for_first_contact(first_contact);
        let policy = match effect {
            Effect::Apply => request.bucket_policy,
            Effect::Plan => BucketPolicy::MustExist,
        };
        let check = check_bucket(store.as_ref(), &connector, clients.bucket(), policy);
        host.runtime.block_on(unless_stopped(cancel, check))?;
    }
    let (sender, tasks) = queue::bounded(QUEUE_ITEMS, QUEUE_BYTES);
    let run = RunContext {
        events,
        cancel: cancel.clone(),
        open_uploads: Arc::new(open_uploads(request)),
        fatal: Arc::default(),
        threshold_bytes: config.transfer.multipart_threshold.bytes(),
        part_bytes: config.transfer.part_size.bytes(),
        time_limit: request.deadline.map(TimeLimit::at),
        plans: effect == Effect::Plan,
    };
    let attention = config.transfer.attention;
    let mut config = config.clone();
    config.run.strategy = Some(choice.strategy);
    config.run.client = Some(choice.client);
    config.run.concurrency = Some(choice.concurrency);
    config.run.event_loops = Some(choice.event_loops).filter(|loops| *loops > 0);
    config.run.processes = Some(choice.processes).filter(|processes| *processes > 0);
    let transfer = TransferShared::new(config.transfer.clone(), connector, own_outputs(request));
    let context = StrategyContext {
        tasks,
        run,
        clients,
        transfer,
        config,
        bucket_policy: request.bucket_policy,
        gate,
        choice: *choice,
        evidence: Arc::new(Evidence::new(attention)),
    };
    Ok((context, sender))
}
