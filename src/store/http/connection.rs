//! One HTTP/1.1 connection: addresses, TCP, TLS, hyper's handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::body::RequestBody;
use super::stream::{Stream, drive};
use super::tls::Tls;
use crate::error::chain;
use crate::store::{SLICE_BYTES, StoreError, StoreErrorKind, StoreResult};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a request goes: all requests to one address may share its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Address {
    pub(in crate::store) is_tls: bool,
    /// Name or number, IPv6 without brackets.
    pub(in crate::store) host: Arc<str>,
    pub(in crate::store) port: u16,
}

impl Address {
    /// The address in `uri`; none when it names no host.
    pub(in crate::store) fn of(uri: &http::Uri) -> Option<Self> {
        let is_tls = uri.scheme_str() == Some("https");
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        Some(Self {
            is_tls,
            host: host.into(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
        })
    }
}

/// Opens connections.
pub(super) struct Dialer {
    tls: Arc<Tls>,
    /// Which of several addresses of a name comes first; the next connection begins with the next one.
    turn: AtomicUsize,
}

fn unreachable(message: impl std::fmt::Display) -> StoreError {
    StoreError::new(StoreErrorKind::Unreachable, format!("no connection: {message}"))
}

impl Dialer {
    pub(super) fn new(tls: Arc<Tls>) -> Self {
        Self {
            tls,
            turn: AtomicUsize::new(0),
        }
    }

    /// A new connection, driven by a task on the current runtime.
    pub(super) async fn dial(&self, address: &Address) -> StoreResult<SendRequest<RequestBody>> {
        let connecting = async {
            let stream = self.connect(address).await?;
            if !address.is_tls {
                return handshake(stream).await;
            }
            let no_tls = |message: String| StoreError::new(StoreErrorKind::Tls, format!("TLS: {message}"));
            let config = self.tls.config().map_err(|error| no_tls(chain(&error)))?;
            let connector = TlsConnector::from(config);
            let name = ServerName::try_from(address.host.to_string())
                .map_err(|error| no_tls(format!("'{}': {error}", address.host)))?;
            handshake(
                connector
                    .connect(name, stream)
                    .await
                    .map_err(|error| tls_error(&error))?,
            )
            .await
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .unwrap_or_else(|_| Err(unreachable("the server did not answer in time")))
    }

    /// A connection to the first address of the name that answers.
    async fn connect(&self, Address { host, port, .. }: &Address) -> StoreResult<Stream> {
        let addresses: Vec<SocketAddr> = lookup_host((&**host, *port))
            .await
            .map_err(|error| unreachable(format!("'{host}' is not known: {error}")))?
            .collect();
        match self.connect_to_one_of(&addresses).await {
            Ok(stream) => Ok(Stream::new(stream)),
            // Ours to mend by waiting, not the server's: too many open files, no free port.
            Err(Some(error)) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => Err(
                StoreError::new(StoreErrorKind::Connection, format!("no connection: {error}")),
            ),
            Err(Some(error)) => Err(unreachable(error)),
            Err(None) => Err(unreachable(format!("'{host}' has no address"))),
        }
    }

    /// The first address that answers, beginning with another one each time; else the last error, if any.
    async fn connect_to_one_of(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Option<io::Error>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut failed = None;
        for offset in 0..addresses.len() {
            match TcpStream::connect(addresses[(turn + offset) % addresses.len()]).await {
                Ok(stream) => {
                    // A request is written whole; waiting for more of it would only delay it.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed)
    }
}

fn tls_error(error: &io::Error) -> StoreError {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(cause) => StoreError::new(StoreErrorKind::Tls, format!("TLS: {cause}")),
        None => StoreError::new(
            StoreErrorKind::Connection,
            format!("the connection was lost in the TLS handshake: {error}"),
        ),
    }
}

async fn handshake<T>(stream: T) -> StoreResult<SendRequest<RequestBody>>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // A slice is written out before the next one is read; hyper would hold two. Of an answer up to twice as much as this is
    // read at once, and one piece waits while the next is read: more costs memory and saves nothing.
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(SLICE_BYTES / 2)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| StoreError::new(StoreErrorKind::Connection, chain(&error)))?;
    // Whoever has a request on it hears of the trouble; between requests nobody needs to.
    tokio::spawn(drive(connection));
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Two addresses with one listener, on the one that `alive` names.
    fn one_alive(alive: [u8; 4]) -> (std::net::TcpListener, [SocketAddr; 2]) {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::from(alive), 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        (
            listener,
            [([127, 0, 0, 1], port).into(), ([127, 0, 0, 2], port).into()],
        )
    }

    async fn called(addresses: &[SocketAddr]) -> BTreeSet<SocketAddr> {
        let dialer = Dialer::new(Tls::new(None));
        let mut called = BTreeSet::new();
        for _ in 0..4 {
            let stream = dialer.connect_to_one_of(addresses).await.expect("one listens");
            called.insert(stream.peer_addr().expect("connected"));
        }
        called
    }

    #[tokio::test]
    async fn connections_are_spread_over_the_addresses_that_answer() {
        let (_first, addresses) = one_alive([127, 0, 0, 1]);
        assert_eq!(called(&addresses).await, [addresses[0]].into());
        let _second = std::net::TcpListener::bind(addresses[1]).expect("nobody else knows the port");
        assert_eq!(called(&addresses).await, addresses.into());
        let (_second, addresses) = one_alive([127, 0, 0, 2]);
        assert_eq!(called(&addresses).await, [addresses[1]].into());
    }

    #[tokio::test]
    async fn no_address_and_no_answer_are_told_apart() {
        let dialer = Dialer::new(Tls::new(None));
        assert!(matches!(dialer.connect_to_one_of(&[]).await, Err(None)));
        let (listener, addresses) = one_alive([127, 0, 0, 1]);
        drop(listener);
        assert!(matches!(dialer.connect_to_one_of(&addresses).await, Err(Some(_))));
    }
}
