//! Opens stores: knows the server, the credentials, and how many connections were made.
//!
//! One connector a process. A store belongs to the runtime it was opened on, because its connections do; the
//! strategies decide how many stores there are (the client mode) and each is a connection pool of its own.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use super::capabilities::{Capabilities, KnownServer, Proven, ServerKind};
use super::direct::DirectStore;
use super::http::Pool;
use super::null::NullStore;
use super::resolved::Resolved;
use super::sdk::SdkStore;
use super::{Gate, ObjectStore, Pace, ServerProfile};
use crate::config::{Attention, Engine, StoreSettings, TransferSettings};
use crate::error::Result;
use crate::timing::{RequestTimer, RequestTimes};

/// What all stores of a process share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) connections_opened: AtomicU64,
    /// By its first answer that gives a name, or by another process's word.
    server: OnceLock<KnownServer>,
    /// The name that it gave.
    name: OnceLock<String>,
    /// What was found out about it before.
    proven: Proven,
    pub(super) gate: Option<Arc<dyn Gate>>,
    /// It said no to a checksum that comes behind a body.
    pub(super) refuses_trailers: AtomicBool,
    /// Where requests say what they waited for, if anybody wants to know.
    pub(super) timer: Option<RequestTimer>,
}

impl Shared {
    /// True when the server has not given its name yet.
    pub(super) fn is_stranger(&self) -> bool {
        self.server.get().is_none()
    }

    /// The first name decides; who comes second finds the same.
    pub(super) fn met(&self, name: &str) {
        let _ = self.name.set(name.to_owned());
        let _ = self.server.set(self.proven.known(name));
    }

    /// What is known of the server by now.
    pub(super) fn known(&self) -> KnownServer {
        self.server
            .get()
            .copied()
            .unwrap_or_else(|| self.proven.nameless())
    }
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
    /// Finds endpoint, region and credentials, and what is known of the server there from the place that `settings` name
    /// for that. Sends nothing to the server itself. All bodies pass `gate`.
    ///
    /// # Errors
    /// A profile, endpoint or certificate file that cannot be used; no credentials.
    pub async fn resolve(
        settings: &StoreSettings,
        transfer: &TransferSettings,
        gate: Option<Arc<dyn Gate>>,
    ) -> Result<Self> {
        let resolved = Resolved::new(settings).await?;
        let profile = settings.server_profile.as_ref();
        let profile =
            profile.and_then(|place| ServerProfile::load(place, &resolved.endpoint(), SystemTime::now()));
        let proven = profile.map(|profile| profile.proven(transfer.checksum));
        Ok(Self {
            engine: settings.engine,
            signs_payload: resolved.signs_payload(settings.payload_signing),
            resolved: Arc::new(resolved),
            shared: Arc::new(Shared {
                gate,
                proven: proven.unwrap_or_default(),
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
            let known = KnownServer::of_kind(ServerKind::Embedded);
            let _ = self.shared.server.set(known);
            return Arc::new(NullStore);
        }
        let limits = self.transfer.retry;
        let pool = Pool::new(self.resolved.tls.clone(), max_connections, self.shared.clone());
        let way = (&pool, self.signs_payload);
        let sdk = || SdkStore::new(&self.resolved, &self.shared, limits, bucket, way);
        if self.wants_direct() {
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
        self.known().kind
    }

    /// What may be expected of the server, known after its first answer.
    pub fn capabilities(&self) -> Capabilities {
        self.known().capabilities
    }

    /// The server's kind and what may be expected of it, known after its first answer.
    pub fn known(&self) -> KnownServer {
        if self.resolved.is_aws {
            return KnownServer::of_kind(ServerKind::Aws);
        }
        self.shared.known()
    }

    /// What the server calls itself, known after its first answer; none when it gives no name.
    pub fn server_name(&self) -> Option<&str> {
        self.shared.name.get().map(String::as_str)
    }

    /// Takes another process's word for the server.
    pub(crate) fn assume_server(&self, server: KnownServer) {
        let _ = self.shared.server.set(server);
    }

    /// The same server and credentials, with this expected of the server whatever it is.
    pub(crate) fn expecting(&self, capabilities: Capabilities) -> Self {
        let shared = Shared {
            gate: self.shared.gate.clone(),
            ..Shared::default()
        };
        let kind = self.server();
        let _ = shared.server.set(KnownServer { kind, capabilities });
        Self {
            shared: Arc::new(shared),
            ..self.clone()
        }
    }

    /// Where the requests for `bucket` go, and whether the bucket is in the path; none when only the SDK knows.
    pub fn address_of(&self, bucket: &str) -> Option<(String, bool)> {
        let endpoint = self.resolved.endpoint_of(bucket)?;
        let url = endpoint.url();
        let is_in_path = url.trim_end_matches('/').ends_with(&format!("/{bucket}"));
        Some((url.to_owned(), is_in_path))
    }

    fn wants_direct(&self) -> bool {
        match self.engine {
            Engine::Sdk | Engine::Null => false,
            Engine::Direct => true,
            // Amazon S3 itself could not be tried.
            Engine::Auto => !self.resolved.is_aws,
        }
    }

    /// Whether the checksum of a file may come behind it, as far as that is for these settings to say.
    pub fn can_send_trailers(&self) -> bool {
        self.wants_direct() && !self.signs_payload && self.resolved.credentials.is_some()
    }

    /// Whether the server said no to a checksum behind a body.
    pub(crate) fn was_refused_trailers(&self) -> bool {
        self.shared.refuses_trailers.load(Ordering::Relaxed)
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
