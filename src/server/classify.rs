//! Which S3 operation a request is, told from method, path and query alone.
//!
//! Called by: `gateway.rs`, before the request is authenticated, and `discard`. Must not know: anything but HTTP.

use http::Request;

/// The operation a request names, and on what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// S3 operation name, `Unknown` when there is none.
    pub(super) kind: &'static str,
    pub(super) bucket: Option<String>,
    /// Decoded; bytes that are not UTF-8 are replaced.
    pub(super) key: Option<String>,
    pub(super) part_number: Option<u32>,
}

impl Target {
    /// Classifies a request.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let path = request.uri().path().strip_prefix('/').unwrap_or_default();
        let (bucket, key) = match path.split_once('/') {
            None => (path, ""),
            Some((bucket, key)) => (bucket, key),
        };
        let query = request.uri().query().unwrap_or_default();
        let copies = request.headers().contains_key("x-amz-copy-source");
        Self {
            kind: operation(request.method().as_str(), bucket, key, query, copies),
            bucket: (!bucket.is_empty()).then(|| decode(bucket)),
            key: (!key.is_empty()).then(|| decode(key)),
            part_number: Query(query)
                .get("partNumber")
                .and_then(|number| number.parse().ok()),
        }
    }
}

/// The S3 operation that a method asks for; `copies` when the request names a source to copy from.
pub(super) fn operation(method: &str, bucket: &str, key: &str, query: &str, copies: bool) -> &'static str {
    let query = Query(query);
    match (bucket.is_empty(), key.is_empty()) {
        (true, _) if method == "GET" => "ListBuckets",
        (true, _) => "Unknown",
        (false, true) => bucket_operation(method, &query),
        (false, false) => object_operation(method, &query, copies),
    }
}

struct Query<'query>(&'query str);

impl<'query> Query<'query> {
    fn get(&self, name: &str) -> Option<&'query str> {
        self.0
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether a sub-resource is addressed that has no name here, such as `?acl`.
    fn has_other_resource(&self) -> bool {
        const RESOURCES: [&str; 13] = [
            "acl",
            "cors",
            "lifecycle",
            "policy",
            "versioning",
            "encryption",
            "website",
            "logging",
            "notification",
            "replication",
            "object-lock",
            "ownershipControls",
            "publicAccessBlock",
        ];
        RESOURCES.iter().any(|name| self.has(name))
    }
}

fn bucket_operation(method: &str, query: &Query<'_>) -> &'static str {
    match method {
        "HEAD" => "HeadBucket",
        "GET" if query.has("location") => "GetBucketLocation",
        "GET" if query.has("uploads") => "ListMultipartUploads",
        "GET" if query.has("versioning") => "GetBucketVersioning",
        "GET" if query.has("versions") => "ListObjectVersions",
        "POST" if query.has("delete") => "DeleteObjects",
        "POST" => "PostObject",
        "GET" | "PUT" | "DELETE" if query.has_other_resource() || query.has("tagging") => "Unknown",
        "GET" if query.get("list-type") == Some("2") => "ListObjectsV2",
        "GET" => "ListObjects",
        "PUT" => "CreateBucket",
        "DELETE" => "DeleteBucket",
        _ => "Unknown",
    }
}

fn object_operation(method: &str, query: &Query<'_>, copies: bool) -> &'static str {
    match method {
        "HEAD" => "HeadObject",
        "GET" if query.has("uploadId") => "ListParts",
        "GET" if query.has("tagging") => "GetObjectTagging",
        "GET" if query.has("attributes") => "GetObjectAttributes",
        "PUT" if query.has("uploadId") && copies => "UploadPartCopy",
        "PUT" if query.has("uploadId") => "UploadPart",
        "PUT" if query.has("tagging") => "PutObjectTagging",
        "POST" if query.has("uploads") => "CreateMultipartUpload",
        "POST" if query.has("uploadId") => "CompleteMultipartUpload",
        "DELETE" if query.has("uploadId") => "AbortMultipartUpload",
        "DELETE" if query.has("tagging") => "DeleteObjectTagging",
        "GET" | "PUT" | "DELETE" if query.has_other_resource() => "Unknown",
        "GET" => "GetObject",
        "PUT" if copies => "CopyObject",
        "PUT" => "PutObject",
        "DELETE" => "DeleteObject",
        _ => "Unknown",
    }
}

/// Percent-decodes a path; what is malformed stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
