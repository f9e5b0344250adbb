//! What an answer with an error status means, whichever engine got it.

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::error::{kind_of_code, kind_of_status};
use super::{StoreError, StoreErrorKind};

/// An answer with an error status, as far as an engine has understood it.
pub(super) struct ErrorAnswer<'a> {
    pub(super) status: u16,
    /// S3's code, when the body or the operation told one.
    pub(super) code: Option<&'a str>,
    pub(super) message: Option<&'a str>,
    /// It calls itself an HTML page.
    pub(super) is_html: bool,
    /// Looks a header up by its name in lower case.
    pub(super) header: &'a dyn Fn(&str) -> Option<&'a str>,
}

impl ErrorAnswer<'_> {
    pub(super) fn into_error(self) -> StoreError {
        let header = self.header;
        let kind = self
            .code
            .and_then(kind_of_code)
            .unwrap_or_else(|| kind_of_status(self.status));
        let kind = if self.is_html && (400..500).contains(&self.status) {
            StoreErrorKind::NotCredible
        } else {
            kind
        };
        let text = match (self.message, kind) {
            (Some(message), _) => message.trim_end_matches('.').to_owned(),
            (None, StoreErrorKind::NotCredible) => return StoreError::html(),
            (None, StoreErrorKind::AccessDenied) => "access denied".to_owned(),
            (None, _) => "the server refused".to_owned(),
        };
        let retry_after = header("retry-after").or_else(|| header("x-amz-retry-after"));
        StoreError {
            code: self.code.map(str::to_owned),
            status: Some(self.status),
            request_id: header("x-amz-request-id").map(str::to_owned),
            retry_after: retry_after.and_then(parse_retry_after),
            server_time: header("date").and_then(parse_http_date),
            region: header("x-amz-bucket-region").map(str::to_owned),
            ..StoreError::new(kind, text)
        }
    }
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
