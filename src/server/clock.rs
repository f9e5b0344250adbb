//! The clock of the server and how far a request's date may be off.
//!
//! Called by: `gateway.rs`. Must not know: signatures, which `s3s` checks.

use http::{HeaderValue, Request};
use s3s::dto::{Timestamp, TimestampFormat};
use std::time::{Duration, SystemTime};

/// How far a request's date may be from the server's.
const TOLERANCE: Duration = Duration::from_mins(15);

/// The time now, shifted by `seconds`.
pub(super) fn now(seconds: i64) -> SystemTime {
    let shift = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    let shifted = if seconds < 0 {
        now.checked_sub(shift)
    } else {
        now.checked_add(shift)
    };
    shifted.unwrap_or(now)
}

/// Whether the date of a request fits a clock that shows `now`.
///
/// A request without a readable date passes: the signature check refuses it. A presigned request may
/// be old (it carries its own expiry) but not from the future.
pub(super) fn fits<B>(request: &Request<B>, now: SystemTime) -> bool {
    let latest = now.checked_add(TOLERANCE).map(Timestamp::from);
    let earliest = now.checked_sub(TOLERANCE).map(Timestamp::from);
    let header = request
        .headers()
        .get("x-amz-date")
        .and_then(|value| value.to_str().ok());
    if let Some(date) = header.and_then(parse) {
        return latest.is_none_or(|latest| date <= latest)
            && earliest.is_none_or(|earliest| date >= earliest);
    }
    let query = request.uri().query().unwrap_or_default();
    let presigned = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("X-Amz-Date="))
        .and_then(parse);
    presigned.is_none_or(|date| latest.is_none_or(|latest| date <= latest))
}

/// A `Date` header for this time; `None` when it cannot be written.
pub(super) fn http_date(time: SystemTime) -> Option<HeaderValue> {
    let mut text = Vec::new();
    Timestamp::from(time)
        .format(TimestampFormat::HttpDate, &mut text)
        .ok()?;
    HeaderValue::from_bytes(&text).ok()
}

/// Parses `20261121T031649Z`.
fn parse(text: &str) -> Option<Timestamp> {
    let piece = |from: usize, to: usize| text.get(from..to);
    let (year, month, day) = (piece(0, 4)?, piece(4, 6)?, piece(6, 8)?);
    let (hour, minute, second) = (piece(9, 11)?, piece(11, 13)?, piece(13, 15)?);
    Timestamp::parse(
        TimestampFormat::DateTime,
        &format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"),
    )
    .ok()
}
