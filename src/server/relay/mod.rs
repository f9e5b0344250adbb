//! A relay that makes loopback behave like a network: latency, bandwidth of each connection and of all, stalls.
//!
//! Called by: the benchmark, as a process of its own so that its CPU time is. It stays below HTTP: it knows where a
//! request ends and an answer begins only by the direction of the bytes. Must not know: S3.

mod books;
mod connection;

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::error::ServerError;
use super::fine_timer::FineTimer;
use books::Books;
pub use books::RelayCounters;
use connection::Line;

/// Bytes that a kernel may hold on the way in, so that small bodies do not end in buffers long before they are taken.
const SOCKET_BUFFER: u32 = 128 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Some answers come late.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Stall {
    /// One answer of so many.
    pub every: u64,
    /// Seconds on top of the latency.
    pub seconds: f64,
}

/// What lies between client and server. Rates are bytes a second, times are seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Shape {
    /// Time that every answer is held back.
    pub latency: f64,
    /// Time that the first bytes of a connection are held back: what TCP and TLS would take to set it up.
    pub connect: f64,
    /// Rate at which bytes are taken from each connection; none means without limit.
    pub per_connection: Option<f64>,
    /// Rate at which bytes are taken from all of them together.
    pub link: Option<f64>,
    /// Answers a second, all connections together.
    pub request_rate: Option<f64>,
    /// Answers that come later still.
    pub stall: Option<Stall>,
}

/// Where a relay leads, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelayConfig {
    /// The server.
    pub upstream: SocketAddr,
    /// The way there.
    pub shape: Shape,
}

/// The relay; see [`Relay::start`].
#[derive(Clone, Copy, Debug)]
pub struct Relay;

/// A running relay. Dropping it stops it; what is open ends.
#[derive(Debug)]
pub struct RelayHandle {
    address: SocketAddr,
    books: Arc<Books>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Serves on a free port of 127.0.0.1, on one thread of its own. The port accepts connections when this returns.
    ///
    /// # Errors
    /// [`ServerError`]: no port, or no thread.
    pub fn start(config: &RelayConfig) -> Result<RelayHandle, ServerError> {
        let cannot = |source| ServerError::Listen { port: 0, source };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| ServerError::Thread { source })?;
        let listener = {
            let _inside = runtime.enter();
            listen().map_err(cannot)?
        };
        let address = listener.local_addr().map_err(cannot)?;
        let timer = FineTimer::start().map_err(|source| ServerError::Thread { source })?;
        let books = Arc::<Books>::default();
        let line = Line::new(config.clone(), books.clone(), timer);
        let (stop, mut stopped) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name("s3haul-relay".to_owned())
            .spawn(move || {
                // Connections end with the local set: nothing is worth finishing.
                LocalSet::new().block_on(&runtime, async move {
                    tokio::select! {
                        () = accept(listener, Rc::new(line)) => {}
                        _ = stopped.wait_for(|stopped| *stopped) => {}
                    }
                });
            })
            .map_err(|source| ServerError::Thread { source })?;
        Ok(RelayHandle {
            address,
            books,
            stop,
            thread: Some(thread),
        })
    }
}

fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Accepted connections inherit it.
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, line: Rc<Line>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => _ = tokio::task::spawn_local(connection::serve(stream, Rc::clone(&line))),
            Err(error) => {
                tracing::warn!(%error, "the relay cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

impl RelayHandle {
    /// The address to connect to in place of the server's.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was counted and measured since the last reset.
    #[must_use]
    pub fn counters(&self) -> RelayCounters {
        self.books.counters()
    }

    /// Counts anew; the next stall is a whole round away.
    pub fn reset(&self) {
        self.books.reset();
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the relay's thread panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener as StdListener, TcpStream};
    use std::time::Instant;

    use super::*;

    /// A server that takes `request` bytes and answers with one, for as long as somebody asks.
    fn one_byte_server(request: usize) -> SocketAddr {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                std::thread::spawn(move || {
                    let mut taken = vec![0; request];
                    while stream.read_exact(&mut taken).is_ok() && stream.write_all(b"!").is_ok() {}
                });
            }
        });
        address
    }

    fn relay(request: usize, shape: Shape) -> RelayHandle {
        let upstream = one_byte_server(request);
        Relay::start(&RelayConfig { upstream, shape }).expect("a relay")
    }

    /// Seconds that `count` exchanges of `bytes` take on `stream`.
    fn exchanges(stream: &mut TcpStream, count: usize, bytes: usize) -> f64 {
        let began = Instant::now();
        let (request, mut answer) = (vec![1; bytes], [0]);
        for _ in 0..count {
            stream.write_all(&request).expect("sent");
            stream.read_exact(&mut answer).expect("answered");
        }
        began.elapsed().as_secs_f64()
    }

    /// Never earlier than it should; how much later is said by the counters, and not judged by a test.
    #[test]
    fn answers_are_held_back_and_what_was_held_is_measured() {
        let shape = Shape {
            latency: 0.03,
            connect: 0.05,
            ..Shape::default()
        };
        let relay = relay(10, shape);
        let mut stream = TcpStream::connect(relay.address()).expect("connected");
        assert!(exchanges(&mut stream, 1, 10) >= 0.08);
        assert!(exchanges(&mut stream, 3, 10) >= 0.09);
        let counters = relay.counters();
        assert_eq!(
            (
                counters.connections,
                counters.answers,
                counters.bytes_up,
                counters.bytes_down
            ),
            (1, 4, 40, 4)
        );
        assert!(counters.latency_mean >= 0.03, "{counters:?}");
        relay.reset();
        assert_eq!(
            (relay.counters().answers, relay.counters().connections_open),
            (0, 1)
        );
    }

    #[test]
    fn one_connection_is_slowed_and_all_together_are() {
        for (shape, streams) in [
            (
                Shape {
                    per_connection: Some(4e6),
                    ..Shape::default()
                },
                1,
            ),
            (
                Shape {
                    link: Some(8e6),
                    ..Shape::default()
                },
                2,
            ),
        ] {
            let relay = relay(400_000, shape);
            std::thread::scope(|scope| {
                for _ in 0..streams {
                    scope.spawn(|| {
                        let mut stream = TcpStream::connect(relay.address()).expect("connected");
                        let seconds = exchanges(&mut stream, 2, 400_000);
                        // What a burst may be ahead of its time is far less than a tenth.
                        assert!(seconds > 0.18, "{seconds}");
                    });
                }
            });
        }
    }

    #[test]
    fn every_third_answer_is_stalled() {
        let shape = Shape {
            stall: Some(Stall {
                every: 3,
                seconds: 0.05,
            }),
            ..Shape::default()
        };
        let relay = relay(1, shape);
        let mut stream = TcpStream::connect(relay.address()).expect("connected");
        assert!(exchanges(&mut stream, 7, 1) >= 0.1);
        assert_eq!(relay.counters().stalls, 2);
    }

    #[test]
    fn a_server_that_is_gone_is_a_connection_that_ends() {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let upstream = listener.local_addr().expect("bound");
        drop(listener);
        let relay = Relay::start(&RelayConfig {
            upstream,
            shape: Shape::default(),
        })
        .expect("a relay");
        let mut stream = TcpStream::connect(relay.address()).expect("connected");
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
        assert_eq!(relay.counters().unreachable, 1);
    }
}
