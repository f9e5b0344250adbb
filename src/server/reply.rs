//! Responses the protocol layer does not make: errors of the HTTP layer and those of the fault plan.
//!
//! Called by: `gateway.rs`. Must not know: the store, connections.

use super::fault::FaultAction;
use http::{HeaderValue, Response, StatusCode, header};
use s3s::Body;
use std::fmt::Write as _;

/// Content type of S3 documents.
pub(super) const XML: &str = "application/xml";
/// The entity tag the fault `wrong_etag` puts into answers.
pub(super) const WRONG_ETAG: &str = "deadbeefdeadbeefdeadbeefdeadbeef";
/// A page as a captive portal would send it.
const HTML: &str = "<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It \
    works!</h1></body></html>";

/// A response with a body of text.
pub(super) fn plain(status: StatusCode, content_type: &str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if let Ok(value) = HeaderValue::try_from(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

/// An S3 error document.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let (code, message) = (escape(code), escape(message));
    let body = format!(
        "<?xml version=\"1.0\" \
        encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    plain(status, XML, body)
}

/// The answer of a fault that keeps the request from being executed; `None` for no answer at all.
pub(super) fn refusal(action: FaultAction) -> Option<Response<Body>> {
    let busy = "Please reduce your request rate.";
    Some(match action {
        FaultAction::SlowDown => error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", busy),
        FaultAction::SlowDownWrite => error(
            StatusCode::SERVICE_UNAVAILABLE,
            "SlowDownWrite",
            "Resource requested is unwritable, please reduce your request rate",
        ),
        FaultAction::TooManyRequests { retry_after_seconds } => {
            let mut response = error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", busy);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds));
            response
        }
        FaultAction::Error {
            status,
            code,
            body,
            content_type,
        } => {
            let status = StatusCode::from_u16(status)
                .ok()
                .filter(|status| status.as_u16() >= 200);
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            match body {
                Some(body) => plain(status, content_type.as_deref().unwrap_or(XML), body),
                None => error(status, &code, "injected by the fault plan"),
            }
        }
        FaultAction::CompleteErrorIn200 { code } => error(
            StatusCode::OK,
            &code,
            "We encountered an internal error. Please try again.",
        ),
        FaultAction::Html200 => plain(StatusCode::OK, "text/html", HTML.to_owned()),
        _ => return None,
    })
}

/// Replaces (or removes) the entity tag in the header and in an XML body.
pub(super) fn with_etag(mut response: Response<Body>, etag: Option<&str>) -> Response<Body> {
    if response.headers_mut().remove(header::ETAG).is_some()
        && let Some(value) = etag.and_then(|etag| HeaderValue::try_from(format!("\"{etag}\"")).ok())
    {
        response.headers_mut().insert(header::ETAG, value);
    }
    change_xml(response, |text| {
        let (start, end) = (text.find("<ETag>")?, text.find("</ETag>")? + "</ETag>".len());
        let element = etag
            .map(|etag| format!("<ETag>&quot;{etag}&quot;</ETag>"))
            .unwrap_or_default();
        Some([text.get(..start)?, &element, text.get(end..)?].concat())
    })
}

/// Writes control characters in XML as references, as S3 does; the protocol layer leaves them raw,
/// which no parser accepts.
pub(super) fn with_readable_xml(response: Response<Body>) -> Response<Body> {
    change_xml(response, |text| {
        let raw =
            |character: char| character.is_ascii_control() && !matches!(character, '\n' | '\t' | '\u{7f}');
        if !text.contains(raw) {
            return None;
        }
        let mut readable = String::with_capacity(text.len() + 64);
        for character in text.chars() {
            if raw(character) {
                // Writing to a String cannot fail.
                let _ = write!(readable, "&#x{:X};", u32::from(character));
            } else {
                readable.push(character);
            }
        }
        Some(readable)
    })
}

/// Applies a change to a body that is XML and in memory.
fn change_xml(response: Response<Body>, change: impl FnOnce(&str) -> Option<String>) -> Response<Body> {
    if response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_none_or(|value| value != XML)
    {
        return response;
    }
    let Some(bytes) = response.body().bytes() else {
        return response;
    };
    match std::str::from_utf8(&bytes).ok().and_then(change) {
        None => response,
        Some(changed) => {
            let mut response = response.map(|_| Body::from(changed));
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
