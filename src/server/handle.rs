//! Starting the embedded server and holding it.
//!
//! Called by: whoever runs a server — the `serve` command, demos and tests. Must not know: S3.

use super::counters::{Counters, Meter, RequestLogEntry};
use super::error::ServerError;
use super::fault::{FaultPlan, Faults};
use super::fine_timer::FineTimer;
use super::gateway::Gateway;
use super::http;
use super::service::{OneKey, Service};
use super::store::Store;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How long file work may go on after the connections have ended.
const FILE_WORK_GRACE: Duration = Duration::from_millis(500);
/// Largest form upload (`POST` of a browser form), in bytes, since those are held in memory.
const FORM_LIMIT: u64 = 16 << 20;

/// What a server needs to start.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where everything is kept; created when it does not exist. One server at a time may use it.
    pub data_directory: PathBuf,
    /// TCP port on 127.0.0.1; 0 means any free one.
    pub port: u16,
    /// The access key clients must use.
    pub access_key: String,
    /// The secret key clients must sign with.
    pub secret_key: String,
}

/// An unfinished multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenUpload {
    /// Bucket.
    pub bucket: String,
    /// Key the object will have.
    pub key: String,
    /// Identifier given when the upload was created.
    pub upload_id: String,
}

/// The embedded S3 server; see [`EmbeddedServer::start`].
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedServer;

/// A running server. Dropping it stops the server, like [`ServerHandle::shutdown`].
pub struct ServerHandle {
    address: SocketAddr,
    meter: Meter,
    faults: Arc<Faults>,
    store: Arc<Store>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedServer {
    /// Opens the data directory and serves it on 127.0.0.1, on a thread of its own.
    ///
    /// The port accepts connections when this returns.
    ///
    /// # Errors
    /// [`ServerError`]: the data directory is unusable or in use, or the port is taken.
    pub fn start(config: ServerConfig) -> Result<ServerHandle, ServerError> {
        let ServerConfig {
            data_directory,
            port,
            access_key,
            secret_key,
        } = config;
        let store = Arc::new(Store::open(&data_directory)?);
        let failed = |source| ServerError::Listen { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (meter, faults) = (Meter::default(), Arc::new(Faults::default()));
        let key = OneKey {
            access_key,
            secret_key: secret_key.into(),
        };
        let gateway = Arc::new(Gateway {
            service: protocol(&store, key),
            meter: meter.clone(),
            faults: Arc::clone(&faults),
            timer: FineTimer::start().map_err(|source| ServerError::Thread { source })?,
            request_number: AtomicU64::new(1),
        });
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("s3haul-server-files")
            .build()
            .map_err(|source| ServerError::Thread { source })?;
        let thread = std::thread::Builder::new()
            .name("s3haul-server".to_owned())
            .spawn(move || run(runtime, listener, gateway, stopped))
            .map_err(|source| ServerError::Thread { source })?;
        Ok(ServerHandle {
            address,
            meter,
            faults,
            store,
            stop,
            thread: Some(thread),
        })
    }
}

fn protocol(store: &Arc<Store>, key: OneKey) -> S3Service {
    let mut config = S3Config::default();
    config.post_object_max_file_size = FORM_LIMIT;
    // The gateway checks the clock itself, since a fault may shift it.
    config.presigned_url_max_skew_time_secs = u32::MAX;
    let mut builder = S3ServiceBuilder::new(Service::new(Arc::clone(store)));
    builder.set_auth(key);
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.build()
}

fn run(runtime: Runtime, listener: TcpListener, gateway: Arc<Gateway>, stopped: watch::Receiver<bool>) {
    runtime.block_on(async move {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => http::run(listener, gateway, stopped).await,
            Err(error) => tracing::error!(%error, "cannot accept connections"),
        }
    });
    runtime.shutdown_timeout(FILE_WORK_GRACE);
}

impl ServerHandle {
    /// The endpoint to give to a client, such as `http://127.0.0.1:9000`. Use path-style addressing.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A copy of the counts as of now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.meter.counters()
    }

    /// The last 200,000 answered (or ended) requests, oldest first.
    #[must_use]
    pub fn request_log(&self) -> Vec<RequestLogEntry> {
        self.meter.log()
    }

    /// Every unfinished multipart upload of every bucket.
    ///
    /// # Errors
    /// [`ServerError::Index`] when the index cannot be read.
    pub fn open_uploads(&self) -> Result<Vec<OpenUpload>, ServerError> {
        self.store.open_uploads().map_err(|error| ServerError::Index {
            path: PathBuf::from("index.redb"),
            reason: error.message().unwrap_or("unreadable").to_owned(),
        })
    }

    /// Replaces the fault plan; the counts of its rules start anew. An empty plan ends all faults.
    pub fn set_fault_plan(&self, plan: FaultPlan) {
        self.faults.set(plan);
    }

    /// Starts counting anew and empties the request log.
    pub fn reset_counters(&self) {
        self.meter.reset();
    }

    /// Stops the server: no new connections, those that are open end within about two seconds, all
    /// threads are joined. Blocks until then.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.stop.send_replace(true);
        if thread.join().is_err() {
            tracing::error!("the server thread panicked");
        }
        self.store.index.close();
    }
}

impl std::fmt::Debug for ServerHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ServerHandle")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop();
    }
}
