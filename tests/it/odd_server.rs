//! A server made by hand: as much of S3 as an upload needs, over HTTP that is odd in one chosen way.
//!
//! It shares no line with the servers under test elsewhere, keeps what it got in memory, and remembers every request.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::env::sha256;
use crate::odd_request::{Seen, read_body, read_head, without_chunks};
use crate::odd_s3::{Answer, Bucket};

/// In which way the server is odd.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Oddity {
    /// Not at all.
    None,
    /// Closes after every answer; `says_so` with `Connection: close`.
    ClosesAfterAnswers { says_so: bool },
    /// Closes a connection on which no request comes for this long.
    ClosesIdle(Duration),
    /// Closes instead of answering each connection's third request, as if that had crossed with the closing.
    ForgetsEveryThird,
    /// Says yes when it has seen the head of a PUT, and reads its body only then. What is asked of it in other requests
    /// has to wait until it has kept its word.
    AnswersBeforeBodies,
    /// Says 403 AccessDenied to a PUT of more than so many bytes, and does not read its body; then closes or just waits.
    DeniesBodies { over: usize, closes: bool },
    /// Says yes to a PUT of more than so many bytes, and closes without reading its body.
    LiesOfBodies { over: usize },
    /// Speaks HTTP/1.0; without a length the end of the connection is the end of the answer.
    Http10 { tells_length: bool },
    /// Answers in chunks of so many bytes.
    Chunks(usize),
    /// Writes answers byte by byte.
    ByteByByte,
    /// Makes the heads of its answers to PUTs so many bytes long, in so many headers.
    LongHead { bytes: usize, headers: usize },
    /// Says `100 Continue` before every answer, though nobody asked.
    ContinuesUnasked,
    /// Knows the access key that comes first for so many requests, and for so long; then it has expired.
    ExpiresFirstKey { requests: usize, after: Duration },
    /// Knows no checksums behind bodies, and refuses them with this code.
    KnowsNoTrailers(&'static str),
}

/// Answers that were given before the request was whole.
#[derive(Default)]
struct Promises {
    open: Mutex<usize>,
    changed: Condvar,
}

/// One of them, kept or broken when it is dropped.
struct Promise<'a>(&'a Promises);

impl Promises {
    fn make(&self) -> Promise<'_> {
        *locked(&self.open) += 1;
        Promise(self)
    }

    /// Until none is open.
    fn wait(&self) {
        let open = locked(&self.open);
        let none = self.changed.wait_while(open, |open| *open > 0);
        drop(none.expect("no thread of the server panicked"));
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        *locked(&self.0.open) -= 1;
        self.0.changed.notify_all();
    }
}

struct State {
    promises: Promises,
    oddity: Oddity,
    /// What it calls itself.
    name: &'static str,
    bucket: Mutex<Bucket>,
    seen: Mutex<Vec<Seen>>,
    /// The access key that came first, when, and how often it did since.
    first_key: Mutex<Option<(String, Instant, usize)>>,
    connections: AtomicUsize,
    is_over: AtomicBool,
}

/// See the module. Its threads end with it.
pub(crate) struct OddServer {
    addresses: Vec<SocketAddr>,
    state: Arc<State>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread of the server panicked")
}

impl OddServer {
    /// On a port of 127.0.0.1, under a name that nobody knows.
    pub(crate) fn start(oddity: Oddity) -> Self {
        Self::named(oddity, "odd")
    }

    /// The same under a name: what is known of servers of that name is expected of it.
    pub(crate) fn named(oddity: Oddity, name: &'static str) -> Self {
        Self::on(&[Ipv4Addr::LOCALHOST.into()], oddity, name).expect("a port of 127.0.0.1")
    }

    /// On one port of all these addresses.
    pub(crate) fn on(hosts: &[IpAddr], oddity: Oddity, name: &'static str) -> io::Result<Self> {
        let listeners = listen(hosts)?;
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<_>>()?;
        let state = Arc::new(State {
            promises: Promises::default(),
            bucket: Mutex::new(Bucket::new(oddity == Oddity::AnswersBeforeBodies)),
            oddity,
            name,
            seen: Mutex::default(),
            first_key: Mutex::default(),
            connections: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        for listener in listeners {
            let state = state.clone();
            thread::spawn(move || accept_all(&listener, &state));
        }
        Ok(Self { addresses, state })
    }

    pub(crate) fn port(&self) -> u16 {
        self.addresses[0].port()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addresses[0])
    }

    /// SHA-256 of every object by key.
    pub(crate) fn digests(&self) -> BTreeMap<String, String> {
        let bucket = locked(&self.state.bucket);
        let objects = bucket.objects.iter();
        objects
            .map(|(key, content)| (key.clone(), sha256(content)))
            .collect()
    }

    /// Multipart uploads that were begun and not ended.
    pub(crate) fn open_uploads(&self) -> usize {
        locked(&self.state.bucket).uploads.len()
    }

    /// All requests in the order in which they were read.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        locked(&self.state.seen).clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl Drop for OddServer {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        for address in &self.addresses {
            // Wakes the thread that waits for a connection.
            let _ = TcpStream::connect(address);
        }
    }
}

/// The first host chooses the port; when another has none of that number left, all begin anew.
fn listen(hosts: &[IpAddr]) -> io::Result<Vec<TcpListener>> {
    let mut tries = 0;
    loop {
        let first = TcpListener::bind((hosts[0], 0))?;
        let port = first.local_addr()?.port();
        let others = hosts[1..].iter().map(|host| TcpListener::bind((*host, port)));
        match others.collect::<io::Result<Vec<_>>>() {
            Ok(others) => return Ok(std::iter::once(first).chain(others).collect()),
            Err(error) if tries >= 20 => return Err(error),
            Err(_) => tries += 1,
        }
    }
}

fn accept_all(listener: &TcpListener, state: &Arc<State>) {
    while let Ok((stream, _)) = listener.accept() {
        if state.is_over.load(Ordering::Relaxed) {
            return;
        }
        let number = state.connections.fetch_add(1, Ordering::Relaxed);
        let state = state.clone();
        // A client that goes away in the middle is none of the server's business.
        thread::spawn(move || serve(stream, &state, number));
    }
}

fn serve(stream: TcpStream, state: &State, connection: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let called = stream.local_addr()?.ip();
    let mut out = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    for turn in 1.. {
        if let Oddity::ClosesIdle(limit) = state.oddity {
            out.set_read_timeout(Some(limit))?;
            reader.fill_buf()?;
            out.set_read_timeout(None)?;
        }
        let Some(mut seen) = read_head(&mut reader)? else {
            return Ok(());
        };
        (seen.connection, seen.called) = (connection, called);
        if let Some(answer) = state.answer_unread(&seen) {
            state.write(&mut out, &seen, &answer)?;
            while state.waits_when_it_has_denied() {
                thread::sleep(Duration::from_millis(50));
            }
            // Closed with bytes unread, the client's kernel is told to forget the connection.
            return Ok(());
        }
        if turn == 3 && state.oddity == Oddity::ForgetsEveryThird {
            return Ok(());
        }
        let is_early = state.oddity == Oddity::AnswersBeforeBodies && seen.is_put();
        let promise = is_early.then(|| state.promises.make());
        if is_early {
            state.write(&mut out, &seen, &Answer::stored_unseen(&seen))?;
            // Time for the client to believe it.
            thread::sleep(Duration::from_millis(200));
        } else {
            state.promises.wait();
        }
        let body = read_body(&mut reader, &seen)?;
        seen.body_sha256 = sha256(&body);
        let answer = state.answer(&seen, body);
        drop(promise);
        if !is_early {
            state.write(&mut out, &seen, &answer)?;
        }
        if state.closes() {
            return out.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

impl State {
    fn answer(&self, seen: &Seen, body: Vec<u8>) -> Answer {
        let body = without_chunks(seen, body);
        let answer = self
            .refusal(seen)
            .unwrap_or_else(|| locked(&self.bucket).answer(seen, body));
        locked(&self.seen).push(seen.clone());
        answer
    }

    /// The answer where the body is not going to be read.
    fn answer_unread(&self, seen: &Seen) -> Option<Answer> {
        let (over, answer) = match self.oddity {
            Oddity::DeniesBodies { over, .. } => (over, Answer::error(403, "AccessDenied")),
            Oddity::LiesOfBodies { over } => (over, Answer::stored_unseen(seen)),
            _ => return None,
        };
        let is_meant = seen.is_put() && seen.length() > Some(over);
        is_meant.then(|| {
            locked(&self.seen).push(seen.clone());
            answer
        })
    }

    fn waits_when_it_has_denied(&self) -> bool {
        matches!(self.oddity, Oddity::DeniesBodies { closes: false, .. })
            && !self.is_over.load(Ordering::Relaxed)
    }

    /// The word to a key that was good for long enough, and to what is not known here.
    fn refusal(&self, seen: &Seen) -> Option<Answer> {
        if let Oddity::KnowsNoTrailers(code) = self.oddity {
            return seen.header("x-amz-trailer").map(|_| Answer::error(400, code));
        }
        let Oddity::ExpiresFirstKey { requests, after } = self.oddity else {
            return None;
        };
        let key = seen.access_key()?;
        let mut first = locked(&self.first_key);
        let (first, since, used) = first.get_or_insert_with(|| (key.clone(), Instant::now(), 0));
        *used += usize::from(*first == key);
        let expired = *first == key && *used > requests && since.elapsed() >= after;
        expired.then(|| Answer::error(403, "ExpiredToken"))
    }

    fn closes(&self) -> bool {
        matches!(
            self.oddity,
            Oddity::ClosesAfterAnswers { .. } | Oddity::Http10 { .. }
        )
    }

    /// Writes an answer in this server's way.
    fn write(&self, out: &mut TcpStream, seen: &Seen, answer: &Answer) -> io::Result<()> {
        let is_head = seen.method == "HEAD";
        let chunk = match self.oddity {
            Oddity::Chunks(bytes) if !is_head && answer.status != 204 => Some(bytes),
            _ => None,
        };
        let mut wire = self.head(seen, answer, chunk.is_some()).into_bytes();
        match chunk {
            _ if is_head => {}
            None => wire.extend(&answer.body),
            Some(bytes) => {
                for piece in answer.body.chunks(bytes) {
                    wire.extend(format!("{:x};odd=yes\r\n", piece.len()).bytes());
                    wire.extend(piece);
                    wire.extend(b"\r\n");
                }
                wire.extend(b"0\r\nx-odd-trailer: yes\r\n\r\n");
            }
        }
        if self.oddity == Oddity::ByteByByte {
            return wire.iter().try_for_each(|byte| out.write_all(&[*byte]));
        }
        out.write_all(&wire)
    }

    fn head(&self, seen: &Seen, answer: &Answer, is_chunked: bool) -> String {
        let mut head = String::new();
        if self.oddity == Oddity::ContinuesUnasked {
            head.push_str("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let is_old = matches!(self.oddity, Oddity::Http10 { .. });
        let version = if is_old { "HTTP/1.0" } else { "HTTP/1.1" };
        let _ = write!(
            head,
            "{version} {} Odd\r\nServer: {}\r\n",
            answer.status, self.name
        );
        for (name, value) in &answer.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let unspoken = self.oddity == Oddity::Http10 { tells_length: false } && seen.method != "HEAD";
        if is_chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
        } else if !unspoken && answer.status != 204 && !answer.tells_length() {
            let _ = write!(head, "Content-Length: {}\r\n", answer.body.len());
        }
        if self.oddity == (Oddity::ClosesAfterAnswers { says_so: true }) {
            head.push_str("Connection: close\r\n");
        }
        if let Oddity::LongHead { bytes, headers } = self.oddity
            && seen.is_put()
        {
            lengthen(&mut head, bytes, headers);
        }
        head.push_str("\r\n");
        head
    }
}

/// Adds `headers` headers, so that with the empty line the head has `bytes` bytes.
fn lengthen(head: &mut String, bytes: usize, headers: usize) {
    for left in (1..=headers).rev() {
        let name = format!("x-odd-{left}: ");
        let missing = (bytes - "\r\n".len() - head.len()) / left;
        let value = "o".repeat(missing - name.len() - "\r\n".len());
        let _ = write!(head, "{name}{value}\r\n");
    }
}
