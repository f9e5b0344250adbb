//! What the server answers.

use bytes::Bytes;
use http::header::{AsHeaderName, ETAG};
use http::{HeaderMap, HeaderName, Response};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;

use super::page::page_in;
use super::request::{ENCRYPTION, checksum_header};
use crate::config::ChecksumAlgorithm;
use crate::store::answer::ErrorAnswer;
use crate::store::http::{AnswerBody, failed, is_html};
use crate::store::sdk::check_stored;
use crate::store::{Checksum, ListPage, StoreError, StoreErrorKind, StoreResult, Stored};

/// An answer to a PUT is short; what is longer is not read to its end.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// The same for a page of a listing: a thousand keys, each byte of them as three.
const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;

/// The stored object or part that the answer tells of.
pub(super) async fn stored(
    response: Response<AnswerBody>,
    algorithm: ChecksumAlgorithm,
) -> StoreResult<Stored> {
    let (headers, _) = said(response, MAX_BODY_BYTES).await?;
    let known = |name: HeaderName| text(&headers, name);
    let checksum = known(checksum_header(algorithm)).map(|value| Checksum {
        algorithm,
        value: value.to_owned(),
    });
    check_stored(known(ETAG), checksum, known(ENCRYPTION))
}

/// The page of a listing that is the answer.
pub(super) async fn page(response: Response<AnswerBody>) -> StoreResult<ListPage> {
    let (_, body) = said(response, MAX_PAGE_BYTES).await?;
    page_in(&body)
}

/// Headers and body of an answer that says yes; the error of one that says no.
async fn said(response: Response<AnswerBody>, most_bytes: usize) -> StoreResult<(HeaderMap, Bytes)> {
    let (head, body) = response.into_parts();
    let header = |name: &str| text(&head.headers, name);
    // Read also on success: the connection is free only after the last byte.
    let body = read(body, most_bytes).await?;
    if !head.status.is_success() {
        let (code, message) = error_in(&body);
        return Err(ErrorAnswer {
            status: head.status.as_u16(),
            code: code.as_deref(),
            message: message.as_deref(),
            is_html: is_html(&head.headers),
            header: &header,
        }
        .into_error());
    }
    if is_html(&head.headers) {
        return Err(StoreError::html());
    }
    Ok((head.headers, body))
}

fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

async fn read(body: AnswerBody, most_bytes: usize) -> StoreResult<Bytes> {
    use http_body::Body as _;
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let collected = Limited::new(body, most_bytes).collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| match error.downcast_ref::<hyper::Error>() {
            Some(error) => failed(error),
            None => StoreError::new(StoreErrorKind::NotCredible, "the answer does not end"),
        })
}

/// What an S3 error document says.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ErrorDocument {
    code: Option<String>,
    message: Option<String>,
}

/// Code and message of an S3 error document; none of what is not one.
fn error_in(body: &[u8]) -> (Option<String>, Option<String>) {
    let document: ErrorDocument = quick_xml::de::from_reader(body).unwrap_or_default();
    let filled = |text: &String| !text.is_empty();
    (document.code.filter(filled), document.message.filter(filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_document_tells_code_and_message() {
        for (body, code, message) in [
            (
                "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>a &amp; b&#33;</Message><Resource>/x</Resource></Error>",
                Some("NoSuchKey"),
                Some("a & b!"),
            ),
            ("<Error><Code>SlowDown</Code></Error>", Some("SlowDown"), None),
            ("<Error><Code></Code></Error>", None, None),
            ("<html><Error><Code>X</Code></Error></html>", None, None),
            ("", None, None),
            ("not xml < at all", None, None),
        ] {
            let (found_code, found_message) = error_in(body.as_bytes());
            assert_eq!(
                (found_code.as_deref(), found_message.as_deref()),
                (code, message),
                "{body}"
            );
        }
    }
}
