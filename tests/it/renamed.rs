//! The embedded server under a name that nobody knows: a way to it on which its answers say that they are from another.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// As long as the name in its place.
const NAME: &[u8] = b"s3haul-embedded";
const OTHER_NAME: &[u8] = b"nobody-knows-me";

/// See the module. Its threads end with the connections.
pub(crate) struct Renamed {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl Renamed {
    /// A way to `server`.
    pub(crate) fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1");
        let address = listener.local_addr().expect("an address");
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                // A server that is gone closes the connection.
                let _ = connect(client, server);
            }
        });
        Self { address, is_over }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Renamed {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn connect(client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (to_server, to_client) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || pass(client, to_server, |_| {}));
    thread::spawn(move || pass(server, to_client, rename));
    Ok(())
}

/// Heads of answers come in one piece.
fn rename(bytes: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = bytes[from..].windows(NAME.len()).position(|found| found == NAME) {
        from += at + NAME.len();
        bytes[from - NAME.len()..from].copy_from_slice(OTHER_NAME);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, change: fn(&mut [u8])) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        change(&mut buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
    let _ = from.shutdown(std::net::Shutdown::Read);
}
