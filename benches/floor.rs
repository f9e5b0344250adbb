//! The least that an upload can cost: walk, read, write to a socket, and nothing else.
//!
//! `floor small DIR HOST:PORT` PUTs every file of a directory over 16 blocking connections, `floor large FILE
//! HOST:PORT` PUTs a file in parts of 16 MiB over 4. No signature, no checksum, no check of anything. `benches/figures`
//! compares s3haul with it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made has nothing to say"
)]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const SMALL_CONNECTIONS: usize = 16;
const LARGE_CONNECTIONS: usize = 4;
const SLICE: usize = 256 * 1024;
const PART: u64 = 16 * 1024 * 1024;

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

/// A request head of about the length that a signed one has.
fn head(key: &str, length: u64) -> String {
    let padding = "0".repeat(420);
    format!(
        "PUT /floor/{key} HTTP/1.1\r\nhost: floor\r\nx-pad: {padding}\r\ncontent-length: {length}\r\n\r\n"
    )
}

fn answer(stream: &mut TcpStream) {
    let mut bytes = [0; 1_024];
    let mut length = 0;
    while !bytes[..length].ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut bytes[length..]).unwrap();
        assert!(read > 0, "the connection was closed");
        length += read;
    }
    assert!(bytes.starts_with(b"HTTP/1.1 200"));
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn small(directory: &Path, address: &str) {
    let mut files = Vec::new();
    walk(directory, &mut files);
    let files = Mutex::new(files);
    std::thread::scope(|scope| {
        for _ in 0..SMALL_CONNECTIONS {
            scope.spawn(|| {
                let mut stream = connect(address);
                let mut content = vec![0; SLICE];
                let mut request = Vec::new();
                while let Some(path) = { files.lock().unwrap().pop() } {
                    let read = File::open(&path).unwrap().read_at(&mut content, 0).unwrap();
                    request.clear();
                    request.extend_from_slice(head(path.to_str().unwrap(), read as u64).as_bytes());
                    request.extend_from_slice(&content[..read]);
                    stream.write_all(&request).unwrap();
                    answer(&mut stream);
                }
            });
        }
    });
}

fn large(path: &Path, address: &str) {
    let file = File::open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let parts = Mutex::new(0..length.div_ceil(PART));
    std::thread::scope(|scope| {
        for _ in 0..LARGE_CONNECTIONS {
            scope.spawn(|| {
                let mut stream = connect(address);
                let mut slice = vec![0; SLICE];
                while let Some(part) = { parts.lock().unwrap().next() } {
                    let (mut offset, end) = (part * PART, length.min((part + 1) * PART));
                    stream.write_all(head("part", end - offset).as_bytes()).unwrap();
                    while offset < end {
                        let most = SLICE.min(usize::try_from(end - offset).unwrap());
                        let read = file.read_at(&mut slice[..most], offset).unwrap();
                        stream.write_all(&slice[..read]).unwrap();
                        offset += read as u64;
                    }
                    answer(&mut stream);
                }
            });
        }
    });
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    match &arguments[..] {
        [mode, source, address] if mode == "small" => small(Path::new(source), address),
        [mode, source, address] if mode == "large" => large(Path::new(source), address),
        // `cargo bench` and `cargo test --benches` run every target.
        _ => println!(
            "usage: floor small DIR HOST:PORT | floor large FILE HOST:PORT; benches/figures calls it"
        ),
    }
}
