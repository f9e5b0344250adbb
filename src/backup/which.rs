//! Snapshots, and what people call them.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::layout::SnapshotId;
use crate::error::{Error, ErrorKind, Result};

/// A snapshot that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// Bytes of its manifest.
    pub manifest_bytes: u64,
}

/// What a person calls a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The last one.
    Latest,
    /// That one; the first letters of an id are enough.
    Id(String),
    /// The last one that had begun by then.
    By(Timestamp),
}

impl FromStr for Which {
    type Err = String;

    /// `latest`, an id, a time such as `2026-11-22T12:00`, or a date: the last one of that day, here.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let here = TimeZone::system();
        if text == "latest" || text.is_empty() {
            return Ok(Self::Latest);
        }
        // The beginning of an id looks like a time, too.
        let is_of_id = |(day, rest): (&str, &str)| {
            day.bytes().all(|byte| byte.is_ascii_digit()) && rest.starts_with('T')
        };
        if text.split_at_checked(8).is_some_and(is_of_id) {
            return Ok(Self::Id(text.to_owned()));
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::By(time));
        }
        if !text.contains([':', 'T'])
            && let Ok(date) = text.parse::<Date>()
            && text.contains('-')
        {
            let end = date.at(23, 59, 59, 999_999_999).to_zoned(here);
            return end
                .map(|end| Self::By(end.timestamp()))
                .map_err(|error| error.to_string());
        }
        if text.contains('-')
            && text.contains(':')
            && let Ok(time) = text.parse::<jiff::civil::DateTime>()
        {
            let time = time.to_zoned(here);
            return time
                .map(|time| Self::By(time.timestamp()))
                .map_err(|error| error.to_string());
        }
        if text.len() >= 4
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Ok(Self::Id(text.to_owned()));
        }
        Err(format!(
            "'{}' is neither a snapshot's name, nor a time or date, nor 'latest'",
            text.escape_debug()
        ))
    }
}

/// The one of `snapshots` that is meant at `now`. The latest is none of a time that has not come.
///
/// # Errors
/// [`ErrorKind::NothingStored`] when there is none; [`ErrorKind::Usage`] when there are several.
pub fn resolve<'a>(snapshots: &'a [Snapshot], which: &Which, now: Timestamp) -> Result<&'a Snapshot> {
    let nothing = |message: String| {
        Error::new(ErrorKind::NothingStored, message).with_hint("s3haul backup list JOB shows what is there")
    };
    match which {
        Which::Latest => snapshots
            .iter()
            .rfind(|snapshot| !snapshot.id.is_of_future(now))
            .ok_or_else(|| nothing("there is no snapshot yet".to_owned())),
        Which::By(time) => snapshots
            .iter()
            .rfind(|snapshot| snapshot.id.time() <= *time)
            .ok_or_else(|| {
                let time = time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
                nothing(format!("there is no snapshot of {time} or before"))
            }),
        Which::Id(name) => {
            let mut named = snapshots
                .iter()
                .filter(|snapshot| snapshot.id.to_string().starts_with(name.as_str()));
            let first = named
                .next()
                .ok_or_else(|| nothing(format!("there is no snapshot '{name}'")))?;
            match named.next() {
                None => Ok(first),
                Some(other) => Err(Error::new(
                    ErrorKind::Usage,
                    format!(
                        "'{name}' is the beginning of '{}' and of '{}'",
                        first.id, other.id
                    ),
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_name_snapshots_as_they_see_them() {
        let which = |text: &str| text.parse::<Which>();
        let by = |text: &str| {
            let time: jiff::civil::DateTime = text.parse().expect("a time");
            let time = time.to_zoned(TimeZone::system()).expect("it is there");
            Ok(Which::By(time.timestamp()))
        };
        assert_eq!(which("latest"), Ok(Which::Latest));
        assert_eq!(
            which("2026-11-22 10:12:47"),
            by("2026-11-22T10:12:47"),
            "as a list shows it"
        );
        assert_eq!(which("2026-11-22T10:12"), by("2026-11-22T10:12:00"));
        assert_eq!(which("2026-11-22"), by("2026-11-22T23:59:59.999999999"));
        for id in ["20261122T021507Z-3d090a1b", "20261122T021507Z", "2026"] {
            assert_eq!(which(id), Ok(Which::Id(id.to_owned())));
        }
        for wrong in ["2026-11-22 25:00", "yesterday!", "x", "é"] {
            assert!(which(wrong).is_err(), "{wrong}");
        }
    }
}
