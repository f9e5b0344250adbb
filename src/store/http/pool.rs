//! The connections of one store: as many as requests may be in flight, the last one used first.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::body::RequestBody;
use super::connection::{Address, Dialer};
use super::tls::Tls;
use crate::store::StoreResult;
use crate::store::connector::Shared;

/// Servers and balancers drop idle connections; ours go first, so that no request meets a dead one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections that are being made at once. A server's queue for new ones is short, and what does not fit into it
/// is tried again by the kernel after a whole second.
const MOST_DIALING: usize = 128;
/// A connection that has answered and is not ready after this is still sending a body that nobody wants any more.
const READY_LIMIT: Duration = Duration::from_millis(20);

struct Idle {
    sender: SendRequest<RequestBody>,
    address: Address,
    since: Instant,
}

/// See the module.
pub(in crate::store) struct Pool {
    dialer: Dialer,
    /// Last in, first out: what is not needed grows old and goes.
    idle: Mutex<Vec<Idle>>,
    in_use: Arc<Semaphore>,
    dialing: Semaphore,
    pub(super) shared: Arc<Shared>,
}

/// A connection for one request. Dropped without [`Lease::give_back`], it is closed.
pub(super) struct Lease {
    pub(super) sender: SendRequest<RequestBody>,
    address: Address,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// A pool of at most `max_connections`.
    pub(in crate::store) fn new(tls: Arc<Tls>, max_connections: usize, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            dialer: Dialer::new(tls),
            idle: Mutex::default(),
            in_use: Arc::new(Semaphore::new(max_connections.max(1))),
            dialing: Semaphore::new(MOST_DIALING),
            shared,
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection, or a new one; waits while all are in use.
    pub(super) async fn lease(self: &Arc<Self>, address: &Address) -> StoreResult<Lease> {
        let permit = self.in_use.clone().acquire_owned().await;
        let permit = permit.expect("the pool is never closed");
        let sender = match self.ready_one(address).await {
            Some(sender) => sender,
            // Rare, and its future (a TLS handshake) would make that of every request ten times as large.
            None => Box::pin(self.dial(address)).await?,
        };
        Ok(Lease {
            sender,
            address: address.clone(),
            pool: self.clone(),
            _permit: permit,
        })
    }

    /// An idle connection that takes a request now.
    async fn ready_one(&self, address: &Address) -> Option<SendRequest<RequestBody>> {
        while let Some(mut sender) = self.take_idle(address) {
            // An answer may be read before the connection's own task, on another thread, has taken note of its end.
            let ready = sender.is_ready() || matches!(timeout(READY_LIMIT, sender.ready()).await, Ok(Ok(())));
            if ready {
                return Some(sender);
            }
        }
        None
    }

    fn take_idle(&self, address: &Address) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle();
        // The oldest stands first: while it is fresh, all are, and the clock is asked once.
        if idle
            .first()
            .is_some_and(|oldest| oldest.since.elapsed() >= IDLE_TIMEOUT)
        {
            idle.retain(|connection| connection.since.elapsed() < IDLE_TIMEOUT);
        }
        loop {
            let position = idle
                .iter()
                .rposition(|connection| connection.address == *address)?;
            let connection = idle.remove(position);
            if !connection.sender.is_closed() {
                return Some(connection.sender);
            }
        }
    }

    async fn dial(&self, address: &Address) -> StoreResult<SendRequest<RequestBody>> {
        // One for another address must not keep its place beyond the limit.
        let surplus = self.idle().len().saturating_sub(self.in_use.available_permits());
        self.idle().drain(..surplus);
        let _dialing = self.dialing.acquire().await;
        let began = Instant::now();
        let sender = self.dialer.dial(address).await?;
        if let Some(timer) = &self.shared.timer {
            timer.connected(began.elapsed());
        }
        self.shared.connections_opened.fetch_add(1, Ordering::Relaxed);
        Ok(sender)
    }
}

impl Lease {
    /// A new connection in place of one that turned out to be dead.
    pub(super) async fn renew(&mut self) -> StoreResult<()> {
        self.sender = Box::pin(self.pool.dial(&self.address)).await?;
        Ok(())
    }

    /// The answer was read to its end: the next request may use the connection.
    pub(super) fn give_back(self) {
        if !self.sender.is_closed() {
            self.pool.idle().push(Idle {
                sender: self.sender,
                address: self.address,
                since: Instant::now(),
            });
        }
    }
}
