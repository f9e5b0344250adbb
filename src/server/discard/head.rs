//! The head of a request: as much of HTTP/1.1 as a null sink needs.
//!
//! Called by: `connection.rs`. Must not know: what is answered.

use super::super::classify;

/// Longest head that is read, in bytes.
pub(super) const HEAD_LIMIT: usize = 64 * 1024;
/// Most header fields of a request.
const FIELD_LIMIT: usize = 128;

/// What the head of a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// S3 operation name, `Unknown` when there is none.
    pub(super) operation: &'static str,
    pub(super) bucket: String,
    /// As it stands in the path, percent-encoded.
    pub(super) key: String,
    /// Bytes of the body; `None` when the request does not say, such as with a chunked one.
    pub(super) content_length: Option<u64>,
    /// The client waits for "100 Continue" before it sends the body.
    pub(super) expects_continue: bool,
    /// The connection is to be closed after the answer.
    pub(super) closes: bool,
    /// One of the server's own pages, below `/-/`, by its name.
    pub(super) page: Option<String>,
}

/// Why bytes are no request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The head at the begin of `bytes` and its length, in bytes; `None` when it is not there whole.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_LIMIT => return Ok(None),
        _ => return Err(Malformed),
    };
    let method = request.method.unwrap_or_default();
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix('/').unwrap_or(path);
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let field = |name: &str| {
        request
            .headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    };
    let copies = field("x-amz-copy-source").is_some();
    let content_length = match field("content-length") {
        Some(text) => Some(
            std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .ok_or(Malformed)?,
        ),
        None if field("transfer-encoding").is_some() => None,
        None => Some(0),
    };
    let head = Head {
        operation: classify::operation(method, bucket, key, query, copies),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        content_length,
        expects_continue: field("expect").is_some(),
        closes: request.version == Some(0)
            || field("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close")),
        page: (bucket == "-").then(|| key.to_owned()),
    };
    Ok(Some((head, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_whole_or_not_at_all() {
        let text = b"PUT /b/k%20k?partNumber=1&uploadId=u HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello";
        for end in 0..text.len() - 5 {
            assert_eq!(parse(&text[..end]), Ok(None));
        }
        let (head, length) = parse(text).unwrap().unwrap();
        assert_eq!(length, text.len() - 5);
        assert_eq!(
            (head.operation, head.bucket.as_str(), head.key.as_str()),
            ("UploadPart", "b", "k%20k")
        );
        assert_eq!(
            (head.content_length, head.expects_continue, head.closes),
            (Some(5), true, false)
        );
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert_eq!(parse(b"\x16\x03\x01 hello"), Err(Malformed));
        assert_eq!(
            parse(b"PUT /b/k HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
            Err(Malformed)
        );
        assert_eq!(parse(&[b'a'; HEAD_LIMIT]), Err(Malformed));
    }
}
