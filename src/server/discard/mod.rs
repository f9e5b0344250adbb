//! A null sink: reads requests, throws the bodies away, and answers as S3 would.
//!
//! Called by: the `serve` command, benchmarks and tests, through [`DiscardServer::start`]. Must not know: the store,
//! `s3s`, signatures.
//!
//! It shows what a client costs and how it behaves under latency, slow connections and overload. It proves nothing
//! about content: its ETag is no MD5, no object can be read back, and its listings are empty.

mod answer;
mod books;
mod connection;
mod head;

use super::error::ServerError;
use super::fine_timer::FineTimer;
use books::Books;
pub use books::DiscardCounters;
use connection::Shop;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::LocalSet;

/// How long a thread waits after a failed accept, such as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a null sink behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscardConfig {
    /// TCP port on 127.0.0.1; 0 means any free one.
    pub port: u16,
    /// Threads that serve, each with an event loop of its own; at least 1.
    pub threads: usize,
    /// Time between the end of a request's body and its answer.
    pub latency: Duration,
    /// Bytes per second that a connection's bodies are read with; `None` means as fast as they come.
    pub bandwidth_per_connection: Option<u64>,
    /// A request that arrives while so many others are being served is answered 503 SlowDown.
    pub reject_above: Option<u64>,
}

impl Default for DiscardConfig {
    fn default() -> Self {
        Self {
            port: 0,
            threads: 1,
            latency: Duration::ZERO,
            bandwidth_per_connection: None,
            reject_above: None,
        }
    }
}

/// The null sink; see [`DiscardServer::start`].
#[derive(Clone, Copy, Debug)]
pub struct DiscardServer;

/// A running null sink. Dropping it stops it, like [`DiscardHandle::shutdown`].
#[derive(Debug)]
pub struct DiscardHandle {
    address: SocketAddr,
    books: Arc<Books>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl DiscardServer {
    /// Serves on 127.0.0.1, on threads of its own. The port accepts connections when this returns.
    ///
    /// # Errors
    /// [`ServerError`]: the port is taken, or a thread cannot be started.
    pub fn start(config: &DiscardConfig) -> Result<DiscardHandle, ServerError> {
        let failed = |source| ServerError::Listen {
            port: config.port,
            source,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = watch::channel(false);
        let mut handle = DiscardHandle {
            address,
            books: Arc::default(),
            stop,
            threads: Vec::new(),
        };
        let started = |source| ServerError::Thread { source };
        let timer = Arc::new(FineTimer::start().map_err(started)?);
        for number in 0..config.threads.max(1) {
            let listener = listener.try_clone().map_err(failed)?;
            let shop = Shop::new(config.clone(), Arc::clone(&handle.books), timer.clone());
            let stopped = stopped.clone();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(started)?;
            let thread = std::thread::Builder::new()
                .name(format!("s3haul-discard-{number}"))
                .spawn(move || run(&runtime, listener, shop, stopped))
                .map_err(started)?;
            handle.threads.push(thread);
        }
        Ok(handle)
    }
}

fn run(runtime: &Runtime, listener: TcpListener, shop: Shop, mut stop: watch::Receiver<bool>) {
    let shop = Rc::new(shop);
    // Connections end with the local set: nothing is worth finishing.
    LocalSet::new().block_on(runtime, async move {
        tokio::select! {
            () = accept(listener, shop) => {}
            _ = stop.wait_for(|stopped| *stopped) => {}
        }
    });
}

async fn accept(listener: TcpListener, shop: Rc<Shop>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot accept connections"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(connection::serve(stream, Rc::clone(&shop)));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl DiscardHandle {
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
    pub fn counters(&self) -> DiscardCounters {
        self.books.counters()
    }

    /// Starts counting anew.
    pub fn reset_counters(&self) {
        self.books.reset();
    }

    /// Stops the server; open connections end at once. Blocks until its threads have ended.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the null sink panicked");
            }
        }
    }
}

impl Drop for DiscardHandle {
    fn drop(&mut self) {
        self.stop();
    }
}
