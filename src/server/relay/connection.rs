//! One connection through the relay: bytes up at the rates of the shape, answers down after its latency.
//!
//! Called by: `mod.rs`, on the event loop that accepted it. Must not know: what the bytes mean.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::books::Books;
use super::{RelayConfig, Stall};
use crate::server::fine_timer::FineTimer;

/// Bytes read at once, in either direction of each connection.
const READ_SIZE: usize = 32 * 1024;
/// What is due within this time is due now: waking costs about as much.
const FINEST: Duration = Duration::from_micros(100);

/// A rate: each that uses it moves the moment at which the next may.
#[derive(Default)]
struct Bucket {
    free_at: Cell<Option<Instant>>,
}

impl Bucket {
    /// Books `amount` at `rate` a second. Returns when it will have passed; nothing is saved up while nobody comes.
    fn book(&self, amount: f64, rate: Option<f64>, now: Instant) -> Instant {
        let Some(rate) = rate else { return now };
        let from = self.free_at.get().map_or(now, |free_at| free_at.max(now));
        let until = from + Duration::from_secs_f64(amount / rate);
        self.free_at.set(Some(until));
        until
    }
}

/// What all connections of a relay share.
pub(super) struct Line {
    config: RelayConfig,
    books: Arc<Books>,
    timer: FineTimer,
    link: Bucket,
    answers: Bucket,
}

impl Line {
    pub(super) fn new(config: RelayConfig, books: Arc<Books>, timer: FineTimer) -> Self {
        Self {
            config,
            books,
            timer,
            link: Bucket::default(),
            answers: Bucket::default(),
        }
    }

    async fn wait_until(&self, due: Instant) {
        if due.saturating_duration_since(Instant::now()) > FINEST {
            self.timer.sleep_until(due).await;
        }
    }
}

/// What the two directions of a connection tell each other.
#[derive(Default)]
struct Turn {
    /// Bytes of the request that went up since the last answer, and when the first and the last of them did.
    request: Cell<Option<(u64, Instant, Instant)>>,
}

/// Counts a connection for as long as it exists.
struct Open<'a>(&'a Books);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.closed();
    }
}

/// Relays a connection until either side ends it.
pub(super) async fn serve(client: TcpStream, line: Rc<Line>) {
    let accepted = Instant::now();
    line.books.opened();
    let _open = Open(&line.books);
    let _ = client.set_nodelay(true);
    let Ok(server) = TcpStream::connect(line.config.upstream).await else {
        return line.books.unreachable();
    };
    let _ = server.set_nodelay(true);
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let turn = Turn::default();
    let open_at = accepted + Duration::from_secs_f64(line.config.shape.connect);
    let up = up(client_reads, server_writes, &line, &turn, open_at);
    let down = down(server_reads, client_writes, &line, &turn);
    // A client may close its side and still wait for the answer; a server that is gone ends both.
    let _ = futures::future::try_join(up, async {
        down.await.and(Err(io::ErrorKind::UnexpectedEof.into())) as io::Result<()>
    })
    .await;
}

async fn up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    line: &Line,
    turn: &Turn,
    open_at: Instant,
) -> io::Result<()> {
    let shape = line.config.shape;
    let own = Bucket::default();
    line.wait_until(open_at).await;
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let (count, now) = (read as u64, Instant::now());
        let free = own.book(count as f64, shape.per_connection, now);
        let free = free.max(line.link.book(count as f64, shape.link, now));
        line.wait_until(free).await;
        let passed = Instant::now();
        let (sum, first) = turn
            .request
            .get()
            .map_or((0, now), |(sum, first, _)| (sum, first));
        turn.request.set(Some((sum + count, first, passed)));
        line.books.sent_up(count, passed);
        to.write_all(&buffer[..read]).await?;
    }
}

async fn down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, line: &Line, turn: &Turn) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        if let Some((sum, first, last)) = turn.request.take() {
            line.books.request(sum, last - first);
            hold(line).await;
        }
        line.books.sent_down(read as u64);
        to.write_all(&buffer[..read]).await?;
    }
}

/// An answer is there; it goes on when it would be there with a network in between.
async fn hold(line: &Line) {
    let shape = line.config.shape;
    let now = Instant::now();
    let stalls = line.books.answer(shape.stall.map(|stall| stall.every));
    let free = line.answers.book(1.0, shape.request_rate, now);
    let due = free.max(now + Duration::from_secs_f64(shape.latency));
    match shape.stall {
        Some(Stall { seconds, .. }) if stalls => {
            line.wait_until(due + Duration::from_secs_f64(seconds)).await
        }
        _ => {
            line.wait_until(due).await;
            if shape.latency > 0.0 {
                line.books.held(now.elapsed());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_spaces_and_saves_nothing_up() {
        let bucket = Bucket::default();
        let now = Instant::now();
        let after = |millis: u64| now + Duration::from_millis(millis);
        assert_eq!(bucket.book(10.0, None, now), now);
        assert_eq!(bucket.book(10.0, Some(1000.0), now), after(10));
        assert_eq!(bucket.book(20.0, Some(1000.0), after(5)), after(30));
        assert_eq!(bucket.book(10.0, Some(1000.0), after(100)), after(110));
    }
}
