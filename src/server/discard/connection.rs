//! The life of a connection: head, body, delay, answer, and again.
//!
//! Called by: `mod.rs`, on the event loop that accepted the connection. Must not know: what S3 operations mean.

use super::books::Books;
use super::head::{self, Head};
use super::{DiscardConfig, answer};
use crate::event::DETAIL;
use crate::server::fine_timer::FineTimer;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Bytes read at once while a head is looked for, so that a connection holds no more than this between requests.
const HEAD_READ: usize = 8 * 1024;
/// How finely a limited connection is paced.
const PACE: Duration = Duration::from_millis(5);
/// Bytes of a body read at once. Larger reads leave the cache, smaller ones are more system calls.
const READ_SIZE: usize = 256 * 1024;

/// What the connections of one event loop share.
pub(super) struct Shop {
    pub(super) config: DiscardConfig,
    pub(super) books: Arc<Books>,
    /// What bodies are read into, never looked at. Not borrowed across an await.
    scratch: RefCell<Box<[u8]>>,
    timer: Arc<FineTimer>,
}

impl Shop {
    pub(super) fn new(config: DiscardConfig, books: Arc<Books>, timer: Arc<FineTimer>) -> Self {
        Self {
            config,
            books,
            scratch: RefCell::new(vec![0; READ_SIZE].into_boxed_slice()),
            timer,
        }
    }
}

/// Names for multipart uploads, unique in this process.
static UPLOAD_IDS: AtomicU64 = AtomicU64::new(1);

struct Connection<'shop> {
    stream: TcpStream,
    shop: &'shop Shop,
    /// Bytes that were read and belong to the next head, or to the body behind the current one.
    pending: Vec<u8>,
    answer: String,
}

/// Serves a connection until it ends, one way or the other.
pub(super) async fn serve(stream: TcpStream, shop: std::rc::Rc<Shop>) {
    let open = shop.books.connection();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::info!(target: DETAIL, %error, "cannot set TCP_NODELAY");
    }
    let mut connection = Connection {
        stream,
        shop: &shop,
        pending: Vec::new(),
        answer: String::new(),
    };
    loop {
        match connection.turn().await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                tracing::info!(target: DETAIL, %error, "connection ended");
                break;
            }
        }
    }
    drop(open);
}

impl Connection<'_> {
    /// One request and its answer; false when the connection is to end.
    async fn turn(&mut self) -> io::Result<bool> {
        let Some(head) = self.head().await? else {
            return Ok(false);
        };
        if head.content_length.is_none() {
            answer::error(
                &mut self.answer,
                "411 Length Required",
                "MissingContentLength",
                "Send a content-length.",
            );
            self.write().await?;
            return Ok(false);
        }
        match &head.page {
            Some(page) => {
                if page == "reset" {
                    self.shop.books.reset();
                }
                answer::page(&mut self.answer, &self.shop.books.counters());
            }
            None => self.exchange(&head).await?,
        }
        self.write().await?;
        Ok(!head.closes)
    }

    /// Takes in the body, waits as told, and makes the answer.
    async fn exchange(&mut self, head: &Head) -> io::Result<()> {
        let config = &self.shop.config;
        let in_flight = self.shop.books.request(head.operation, config.reject_above);
        if head.expects_continue && self.pending.is_empty() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        self.body(head.content_length.unwrap_or(0)).await?;
        if in_flight.is_none() {
            answer::slow_down(&mut self.answer);
            return Ok(());
        }
        if !config.latency.is_zero() {
            self.shop.timer.sleep_until(Instant::now() + config.latency).await;
        }
        answer::of(&mut self.answer, head, UPLOAD_IDS.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }

    async fn write(&mut self) -> io::Result<()> {
        self.stream.write_all(self.answer.as_bytes()).await?;
        self.answer.clear();
        Ok(())
    }

    /// The next head; `None` when the client has closed the connection, or sent no HTTP.
    async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            match head::parse(&self.pending) {
                Ok(Some((head, length))) => {
                    self.pending.drain(..length);
                    return Ok(Some(head));
                }
                Ok(None) => {}
                Err(head::Malformed) => return Ok(None),
            }
            let shop = self.shop;
            let pending = &mut self.pending;
            let read = read_some(&self.stream, shop, HEAD_READ, |bytes| {
                pending.extend_from_slice(bytes)
            })
            .await?;
            if read == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads `length` bytes and forgets them, at the pace that connections are limited to.
    async fn body(&mut self, length: u64) -> io::Result<()> {
        let begun = Instant::now();
        let rate = self.shop.config.bandwidth_per_connection;
        let most = rate.map_or(usize::MAX, per_pace);
        let known =
            usize::try_from(length).map_or(self.pending.len(), |length| length.min(self.pending.len()));
        self.pending.drain(..known);
        self.shop.books.received(known as u64);
        let mut received = known as u64;
        loop {
            if let Some(rate) = rate {
                self.shop
                    .timer
                    .sleep_until(begun + duration_of(received, rate))
                    .await;
            }
            if received == length {
                return Ok(());
            }
            let want = usize::try_from(length - received).unwrap_or(usize::MAX).min(most);
            let read = read_some(&self.stream, self.shop, want, |_| {}).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            received += read as u64;
            self.shop.books.received(read as u64);
        }
    }
}

/// The time `bytes` take at `rate` bytes per second.
fn duration_of(bytes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64)
}

/// The bytes that one tick of the pace is worth.
fn per_pace(rate: u64) -> usize {
    let bytes = rate as f64 * PACE.as_secs_f64();
    (bytes as usize).max(1)
}

/// Reads up to `most` bytes into the loop's scratch buffer and shows them to `take`; 0 at the end of the stream.
async fn read_some(
    stream: &TcpStream,
    shop: &Shop,
    most: usize,
    take: impl FnOnce(&[u8]),
) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        let mut scratch = shop.scratch.borrow_mut();
        let end = most.min(scratch.len());
        match stream.try_read(&mut scratch[..end]) {
            Ok(read) => {
                take(&scratch[..read]);
                return Ok(read);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
