//! Opens stores: knows the server, the credentials, and how many connections were made.
//!
//! One connector a process. A store belongs to the runtime it was opened on, because its connections do; the
//! strategies decide how many stores there are (the client mode) and each is a connection pool of its own.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::direct::DirectStore;
use super::http::Pool;
use super::null::NullStore;
use super::resolved::Resolved;
use super::sdk::SdkStore;
use super::{Gate, ObjectStore, Pace};
use crate::config::{Attention, Engine, StoreSettings, TransferSettings};
use crate::error::Result;
use crate::timing::{RequestTimer, RequestTimes};

/// Which server answers, as far as its behaviour is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerKind {
    /// Amazon S3.
    Aws,
    /// MinIO, or a fork that calls itself so.
    Minio,
    /// s3haul's own.
    Embedded,
    /// Any other.
    Unknown,
}

impl ServerKind {
    /// True when it is known to check what it stores against the checksum that was sent, to honour
    /// `If-None-Match`, and to give the MD5 of unencrypted content as ETag of a single PUT.
    pub fn is_trusted(self) -> bool {
        self != Self::Unknown
    }

    pub(super) fn from_header(server: &str) -> Self {
        if server.starts_with("MinIO") {
            Self::Minio
        } else if server.starts_with("AmazonS3") {
            Self::Aws
        } else if server.starts_with("s3haul") {
            Self::Embedded
        } else {
            Self::Unknown
        }
    }
}

/// What all stores of a process share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) connections_opened: AtomicU64,
    pub(super) server: OnceLock<ServerKind>,
    pub(super) gate: Option<Arc<dyn Gate>>,
    /// It said no to a checksum that comes behind a body.
    pub(super) refuses_trailers: AtomicBool,
    /// Where requests say what they waited for, if anybody wants to know.
    pub(super) timer: Option<RequestTimer>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Connector {
    resolved: Arc<Resolved>,
    shared: Arc<Shared>,
    pace: Arc<Pace>,
    transfer: Arc<TransferSettings>,
    engine: Engine,
    signs_payload: bool,
}

impl Connector {
    /// Finds endpoint, region and credentials. Sends nothing to the server itself. All bodies pass `gate`.
    ///
    /// # Errors
    /// A profile, endpoint or certificate file that cannot be used; no credentials.
    pub async fn resolve(
        settings: &StoreSettings,
        transfer: &TransferSettings,
        gate: Option<Arc<dyn Gate>>,
    ) -> Result<Self> {
        let resolved = Resolved::new(settings).await?;
        Ok(Self {
            engine: settings.engine,
            signs_payload: resolved.signs_payload(settings.payload_signing),
            resolved: Arc::new(resolved),
            shared: Arc::new(Shared {
                gate,
                timer: (transfer.attention >= Attention::Requests).then(RequestTimer::default),
                ..Shared::default()
            }),
            pace: Arc::default(),
            transfer: Arc::new(transfer.clone()),
        })
    }

    /// A store of its own for `bucket`, with a pool of at most `max_connections`. Call it on the runtime that
    /// is to own the connections; when that runtime ends, the store is of no use any more.
    pub fn open(&self, bucket: &str, max_connections: usize) -> Arc<dyn ObjectStore> {
        if self.engine == Engine::Null {
            // Everything is summed that would be for a server that is known.
            let _ = self.shared.server.set(ServerKind::Embedded);
            return Arc::new(NullStore);
        }
        let limits = self.transfer.retry;
        let pool = Pool::new(self.resolved.tls.clone(), max_connections, self.shared.clone());
        let way = (&pool, self.signs_payload);
        let sdk = || SdkStore::new(&self.resolved, &self.shared, limits, bucket, way);
        let wanted = match self.engine {
            Engine::Sdk | Engine::Null => false,
            Engine::Direct => true,
            // Amazon S3 itself could not be tried.
            Engine::Auto => !self.resolved.is_aws,
        };
        if wanted {
            let direct = DirectStore::new(sdk(), &self.resolved, &self.shared, limits, bucket, way);
            if let Some(direct) = direct {
                return Arc::new(direct);
            }
        }
        Arc::new(sdk())
    }

    /// What all bodies pass; none when there is no limit.
    pub fn gate(&self) -> Option<&Arc<dyn Gate>> {
        self.shared.gate.as_ref()
    }

    /// The pace that all requests of this process keep.
    pub fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// Connections that were established so far, by all stores together.
    pub fn connections_opened(&self) -> u64 {
        self.shared.connections_opened.load(Ordering::Relaxed)
    }

    /// What requests waited for so far; none when nobody wanted to know.
    pub fn request_times(&self) -> Option<RequestTimes> {
        self.shared.timer.as_ref().map(RequestTimer::times)
    }

    /// The server, known after its first answer.
    pub fn server(&self) -> ServerKind {
        if self.resolved.is_aws {
            return ServerKind::Aws;
        }
        self.shared.server.get().copied().unwrap_or(ServerKind::Unknown)
    }

    /// Takes another process's word for the server's kind.
    pub(crate) fn assume_server(&self, server: ServerKind) {
        let _ = self.shared.server.set(server);
    }

    /// The address as people know it.
    pub fn endpoint(&self) -> String {
        self.resolved.endpoint()
    }

    /// Region that requests are signed for.
    pub fn region(&self) -> &str {
        self.resolved.region()
    }
}
