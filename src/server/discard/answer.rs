//! The smallest valid answer to each request.
//!
//! Called by: `connection.rs`. Must not know: sockets.

use super::DiscardCounters;
use super::head::Head;
use std::fmt::Write as _;

/// Of an MD5's shape, since many clients look for that, but nobody's MD5.
const ETAG: &str = "\"00000000000000000000000000000000\"";
const NAMESPACE: &str = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

/// Appends an answer with a body of `content_type` to `out`.
fn with_body(out: &mut String, status: &str, content_type: &str, body: &str) {
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "HTTP/1.1 {status}\r\nserver: discard\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
}

fn document(out: &mut String, name: &str, content: &str) {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><{name} {NAMESPACE}>{content}</{name}>");
    with_body(out, "200 OK", "application/xml", &body);
}

/// Appends an answer without a body.
fn bare(out: &mut String, status: &str, fields: &str) {
    let _ = write!(
        out,
        "HTTP/1.1 {status}\r\nserver: discard\r\n{fields}content-length: 0\r\n\r\n"
    );
}

/// Appends an S3 error document.
pub(super) fn error(out: &mut String, status: &str, code: &str, message: &str) {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    with_body(out, status, "application/xml", &body);
}

/// Appends the refusal of a request that came while too many others were being served.
pub(super) fn slow_down(out: &mut String) {
    error(
        out,
        "503 Service Unavailable",
        "SlowDown",
        "Please reduce your request rate.",
    );
}

/// Appends the answer to one of the server's own pages.
pub(super) fn page(out: &mut String, counters: &DiscardCounters) {
    let body = serde_json::to_string(counters).unwrap_or_default();
    with_body(out, "200 OK", "application/json", &body);
}

/// Appends the answer to an S3 request; `upload_id` names an upload that the request may create.
pub(super) fn of(out: &mut String, head: &Head, upload_id: u64) {
    let Head { bucket, key, .. } = head;
    match head.operation {
        "PutObject" | "UploadPart" => bare(out, "200 OK", &format!("etag: {ETAG}\r\n")),
        "HeadBucket" => bare(out, "200 OK", "x-amz-bucket-region: us-east-1\r\n"),
        "CreateBucket" | "DeleteBucket" => bare(out, "200 OK", ""),
        "HeadObject" => bare(out, "404 Not Found", ""),
        "DeleteObject" | "AbortMultipartUpload" => {
            out.push_str("HTTP/1.1 204 No Content\r\nserver: discard\r\n\r\n")
        }
        "CreateMultipartUpload" => document(
            out,
            "InitiateMultipartUploadResult",
            &format!("<Bucket>{bucket}</Bucket><Key>{key}</Key><UploadId>{upload_id}</UploadId>"),
        ),
        "CompleteMultipartUpload" => document(
            out,
            "CompleteMultipartUploadResult",
            &format!("<Bucket>{bucket}</Bucket><Key>{key}</Key><ETag>{ETAG}</ETag>"),
        ),
        "ListObjectsV2" | "ListObjects" => document(
            out,
            "ListBucketResult",
            &format!(
                "<Name>{bucket}</Name><Prefix></Prefix><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
            ),
        ),
        "ListMultipartUploads" => document(
            out,
            "ListMultipartUploadsResult",
            &format!("<Bucket>{bucket}</Bucket><IsTruncated>false</IsTruncated>"),
        ),
        "ListBuckets" => document(out, "ListAllMyBucketsResult", "<Buckets></Buckets>"),
        "GetBucketLocation" => document(out, "LocationConstraint", "us-east-1"),
        "GetBucketVersioning" => document(out, "VersioningConfiguration", ""),
        "DeleteObjects" => document(out, "DeleteResult", ""),
        "GetObject" => error(
            out,
            "404 Not Found",
            "NoSuchKey",
            "This server throws everything away.",
        ),
        _ => error(
            out,
            "501 Not Implemented",
            "NotImplemented",
            "This server only takes uploads and throws them away.",
        ),
    }
}
