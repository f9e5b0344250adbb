//! Requests to the hand-made server: read as they are on the wire, and kept for the tests to look at.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Names in lower case, in the order they came in.
    pub(crate) headers: Vec<(String, String)>,
    /// SHA-256 of the body as sent.
    pub(crate) body_sha256: String,
    /// Number of the connection.
    pub(crate) connection: usize,
    /// Address that the client called.
    pub(crate) called: IpAddr,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| {
            let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
            (found == name).then_some(value)
        })
    }

    /// What comes behind the bucket in the path; empty for the bucket itself.
    pub(crate) fn key(&self) -> &str {
        let path = self.path.trim_start_matches('/');
        path.split_once('/').map_or("", |(_, key)| key)
    }

    /// Who asks.
    pub(crate) fn access_key(&self) -> Option<String> {
        let (_, credential) = self.header("authorization")?.split_once("Credential=")?;
        Some(credential.split('/').next()?.to_owned())
    }

    pub(crate) fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    /// A PUT of an object or part.
    pub(crate) fn is_put(&self) -> bool {
        self.method == "PUT"
    }
}

/// Method, path, query and headers; none when the client has closed.
pub(crate) fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Seen>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let garbage = || io::Error::new(io::ErrorKind::InvalidData, "not a request");
    let mut words = lines.first().ok_or_else(garbage)?.split(' ');
    let method = words.next().ok_or_else(garbage)?.to_owned();
    let (path, query) = words
        .next()
        .map(|target| target.split_once('?').unwrap_or((target, "")))
        .ok_or_else(garbage)?;
    let headers = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Ok(Some(Seen {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.collect(),
        body_sha256: String::new(),
        connection: 0,
        called: Ipv4Addr::UNSPECIFIED.into(),
    }))
}

/// The body as it is on the wire; our engines announce the length of every one.
pub(crate) fn read_body(reader: &mut BufReader<TcpStream>, seen: &Seen) -> io::Result<Vec<u8>> {
    assert_eq!(seen.header("transfer-encoding"), None, "{seen:?}");
    let mut body = vec![0; seen.length().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(body)
}

/// The content of a body that carries its checksum behind itself, in chunks.
pub(crate) fn without_chunks(seen: &Seen, body: Vec<u8>) -> Vec<u8> {
    let Some(length) = seen.header("x-amz-decoded-content-length") else {
        return body;
    };
    let length: usize = length.parse().expect("a number");
    let (mut content, mut rest) = (Vec::with_capacity(length), &body[..]);
    while content.len() < length {
        let head = rest
            .iter()
            .position(|byte| *byte == b'\r')
            .expect("a chunk's size");
        let size = std::str::from_utf8(&rest[..head]).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("hexadecimal");
        content.extend_from_slice(&rest[head + 2..][..size]);
        rest = &rest[head + 2 + size..];
        rest = rest.strip_prefix(b"\r\n").expect("the end of a chunk");
    }
    assert!(rest.starts_with(b"0\r\n"), "and the last chunk");
    content
}
