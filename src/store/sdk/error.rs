//! The SDK's errors as ours.

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::http::{HtmlAnswer, is_html};
use crate::error::chain;
use crate::store::error::{kind_of_code, kind_of_status};
use crate::store::{StoreError, StoreErrorKind};

/// Every cause of an error, from the outside in. `io::Error` passes over what it wraps in `source()`, so its
/// inner error is taken by `get_ref`.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped
            .map(|inner| inner as &(dyn StdError + 'static))
            .or_else(|| error.source());
        Some(error)
    })
}

fn has_cause<T: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<T>())
}

/// See the module.
pub(super) fn convert<E>(error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            answered(service.raw(), service.err().code(), service.err().message())
        }
        SdkError::ResponseError(response) => unreadable(response.raw(), error),
        SdkError::TimeoutError(_) => StoreError::new(StoreErrorKind::Unreachable, "the connection timed out"),
        SdkError::DispatchFailure(failure) => {
            let connector_error = failure.as_connector_error();
            let connected = connector_error.is_some_and(|error| error.connection_metadata().is_some());
            let timeout = connector_error
                .is_some_and(aws_smithy_runtime_api::client::result::ConnectorError::is_timeout);
            dispatch(error, connected, timeout)
        }
        _ => before_sending(error),
    }
}

/// An answer with an error status.
fn answered(response: &HttpResponse, code: Option<&str>, message: Option<&str>) -> StoreError {
    let status = response.status().as_u16();
    let headers = response.headers();
    let html = is_html(response);
    // A modelled HEAD error has a made-up code; the status says as much.
    let code = code.filter(|code| !matches!(*code, "NotFound" | "Forbidden" | "Bad Request"));
    let kind = code
        .and_then(kind_of_code)
        .unwrap_or_else(|| kind_of_status(status));
    let kind = if html && (400..500).contains(&status) {
        StoreErrorKind::NotCredible
    } else {
        kind
    };
    let region = headers.get("x-amz-bucket-region").map(str::to_owned);
    let text = match (message, kind) {
        (Some(message), _) => message.trim_end_matches('.').to_owned(),
        (None, StoreErrorKind::NotCredible) => "the answer is an HTML page, not S3".to_owned(),
        (None, StoreErrorKind::AccessDenied) => "access denied".to_owned(),
        (None, _) => "the server refused".to_owned(),
    };
    let retry_after = headers
        .get("retry-after")
        .or_else(|| headers.get("x-amz-retry-after"));
    StoreError {
        code: code.map(str::to_owned),
        status: Some(status),
        request_id: headers.get("x-amz-request-id").map(str::to_owned),
        retry_after: retry_after.and_then(parse_retry_after),
        server_time: headers.get("date").and_then(parse_http_date),
        region,
        ..StoreError::new(kind, text)
    }
}

/// A success whose body could not be understood.
fn unreadable(response: &HttpResponse, error: &(dyn StdError + 'static)) -> StoreError {
    let kind = if has_cause::<io::Error>(error) || has_hyper_cause(error) {
        StoreErrorKind::Connection
    } else {
        StoreErrorKind::NotCredible
    };
    let text = format!("the answer cannot be understood: {}", innermost(error));
    StoreError {
        status: Some(response.status().as_u16()),
        ..StoreError::new(kind, text)
    }
}

fn has_hyper_cause(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<hyper::Error>().is_some())
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// No answer at all.
fn dispatch(error: &(dyn StdError + 'static), connected: bool, timeout: bool) -> StoreError {
    if has_cause::<HtmlAnswer>(error) {
        return StoreError::new(StoreErrorKind::NotCredible, HtmlAnswer.to_string());
    }
    if let Some(cause) = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>()) {
        return StoreError::new(
            StoreErrorKind::NoCredentials,
            format!("no credentials: {}", chain(cause)),
        );
    }
    let io_kinds: Vec<io::ErrorKind> = io_kinds(error);
    if io_kinds.contains(&io::ErrorKind::UnexpectedEof) && causes(error).any(is_body_error) {
        return StoreError::new(
            StoreErrorKind::LocalRead,
            "the file became shorter while it was sent",
        );
    }
    if let Some(cause) = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return StoreError::new(StoreErrorKind::Tls, format!("TLS: {cause}"));
    }
    let refused = io_kinds.iter().any(|kind| {
        matches!(
            kind,
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable
                | io::ErrorKind::TimedOut
        )
    });
    let resolving = causes(error).any(|cause| cause.to_string().contains("dns error"));
    let kind = if timeout || refused || (resolving && !connected) {
        StoreErrorKind::Unreachable
    } else {
        StoreErrorKind::Connection
    };
    let prefix = if kind == StoreErrorKind::Unreachable {
        "no connection"
    } else {
        "the connection was lost"
    };
    StoreError::new(kind, format!("{prefix}: {}", innermost(error)))
}

fn io_kinds(error: &(dyn StdError + 'static)) -> Vec<io::ErrorKind> {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .map(io::Error::kind)
        .collect()
}

fn is_body_error(cause: &(dyn StdError + 'static)) -> bool {
    cause
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_user)
}

/// The request was never built or signed.
fn before_sending(error: &(dyn StdError + 'static)) -> StoreError {
    if let Some(cause) = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>()) {
        return StoreError::new(
            StoreErrorKind::NoCredentials,
            format!("no credentials: {}", chain(cause)),
        );
    }
    StoreError::new(
        StoreErrorKind::Refused,
        format!("the request could not be made: {}", innermost(error)),
    )
}

/// Seconds, or an HTTP date.
fn parse_retry_after(value: &str) -> Option<Duration> {
    /// Nobody waits for longer on one request.
    const LONGEST: Duration = Duration::from_mins(5);
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let at = parse_http_date(value)?;
    Some(
        at.duration_since(SystemTime::now())
            .unwrap_or_default()
            .min(LONGEST),
    )
}

pub(super) fn parse_http_date(value: &str) -> Option<SystemTime> {
    DateTime::from_str(value.trim(), Format::HttpDate)
        .ok()?
        .try_into()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_endless() {
        assert_eq!(parse_retry_after("3"), Some(Duration::from_secs(3)));
        assert_eq!(parse_retry_after("999999"), Some(Duration::from_mins(5)));
        assert_eq!(
            parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(parse_retry_after("soon"), None);
    }
}
