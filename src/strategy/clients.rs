//! Stores as the client mode wants them, and the runtime that owns the shared one.
//!
//! Connections belong to the runtime that opened them, so a store and its runtime are made together.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use super::Choice;
use crate::config::{ClientMode, RetrySettings, StrategyKind};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Connector, ObjectStore, RetryObserver, Retrying};

/// A runtime with one event loop on the calling thread.
pub(super) fn own_runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(no_runtime)
}

fn no_runtime(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, "an event loop cannot be started")
        .with_source(error)
        .with_hint("the limit of open files or threads may be too low; see ulimit -n and -u")
}

/// The runtime of the run's own requests, and of the shared client.
pub struct Host {
    /// Where the shared store's connections live.
    pub runtime: Runtime,
}

impl Host {
    /// The runtime that `choice` needs.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the system gives no event loop or thread.
    pub fn new(choice: &Choice) -> Result<Self> {
        let on_threads = matches!(
            choice.strategy,
            StrategyKind::Threads | StrategyKind::Chunked | StrategyKind::ThreadPerFile
        );
        Self::of(on_threads && choice.client == ClientMode::Shared)
    }

    /// The runtime of a worker process: in the background when its threads share a client.
    pub(super) fn for_child(client: ClientMode) -> Result<Self> {
        Self::of(client == ClientMode::Shared)
    }

    /// OS threads that share a client block on requests whose connections one background thread drives.
    fn of(in_background: bool) -> Result<Self> {
        if !in_background {
            return Ok(Self {
                runtime: own_runtime()?,
            });
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(no_runtime)?;
        Ok(Self { runtime })
    }
}

/// Makes stores.
#[derive(Clone)]
pub struct Clients {
    connector: Connector,
    bucket: Arc<str>,
    mode: ClientMode,
    retry: RetrySettings,
    observer: RetryObserver,
    host: Arc<Host>,
    bare: Arc<dyn ObjectStore>,
    shared: Arc<dyn ObjectStore>,
}

impl Clients {
    /// Opens the run's first store on the host's runtime; in mode `shared` it is the workers' too.
    ///
    /// # Errors
    /// As [`Connector::open`].
    pub fn new(
        connector: Connector,
        bucket: &str,
        choice: &Choice,
        retry: RetrySettings,
        observer: RetryObserver,
        host: Arc<Host>,
    ) -> Result<Self> {
        let connections = if choice.client == ClientMode::Shared {
            choice.concurrency
        } else {
            1
        };
        let bare = {
            let _on_host = host.runtime.enter();
            connector.open(bucket, connections)
        };
        let shared = retrying(bare.clone(), &connector, retry, &observer);
        Ok(Self {
            connector,
            bucket: bucket.into(),
            mode: choice.client,
            retry,
            observer,
            host,
            bare,
            shared,
        })
    }

    /// Bucket name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The client mode.
    pub fn mode(&self) -> ClientMode {
        self.mode
    }

    /// The runtime of the shared store.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The connector that all stores come from.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// The store of the run itself: checks before and clean-up after, and all requests in mode `shared`.
    pub fn shared(&self) -> &Arc<dyn ObjectStore> {
        &self.shared
    }

    /// The run's own store, with other limits for the first contact.
    pub(crate) fn for_first_contact(
        &self,
        limits: impl Fn(RetrySettings) -> RetrySettings,
    ) -> Arc<dyn ObjectStore> {
        retrying(
            self.bare.clone(),
            &self.connector,
            limits(self.retry),
            &self.observer,
        )
    }

    /// A store of one connection, on the current runtime.
    fn fresh(&self) -> Result<Arc<dyn ObjectStore>> {
        let store = self.connector.open(&self.bucket, 1);
        Ok(retrying(store, &self.connector, self.retry, &self.observer))
    }

    /// The same clients for an event loop of its own, on the current runtime. The one that all share is, for this
    /// loop, a part of it with `connections` of its connections.
    pub(super) fn for_loop(&self, connections: usize) -> Self {
        let mut own = self.clone();
        if self.mode == ClientMode::Shared {
            let store = self.connector.open(&self.bucket, connections);
            own.shared = retrying(store, &self.connector, self.retry, &self.observer);
        }
        own
    }

    /// What one worker uses. Call it on the worker's runtime.
    pub(super) fn for_worker(&self) -> Result<WorkerClients> {
        Ok(match self.mode {
            ClientMode::Shared => WorkerClients::One(self.shared.clone()),
            ClientMode::PerWorker => WorkerClients::One(self.fresh()?),
            ClientMode::PerUpload => WorkerClients::Fresh(Box::new(self.clone())),
        })
    }
}

fn retrying(
    store: Arc<dyn ObjectStore>,
    connector: &Connector,
    retry: RetrySettings,
    observer: &RetryObserver,
) -> Arc<dyn ObjectStore> {
    Arc::new(Retrying::new(
        store,
        retry,
        connector.pace().clone(),
        observer.clone(),
    ))
}

/// The stores of one worker.
pub(super) enum WorkerClients {
    One(Arc<dyn ObjectStore>),
    Fresh(Box<Clients>),
}

impl WorkerClients {
    /// The store for the next task.
    pub(super) fn for_task(&self) -> Result<Arc<dyn ObjectStore>> {
        match self {
            Self::One(store) => Ok(store.clone()),
            Self::Fresh(clients) => clients.fresh(),
        }
    }
}
