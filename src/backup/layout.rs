//! Where things lie below the prefix of a job: contents under `data/`, by their hash, and manifests under `snapshots/`, by
//! their time.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::hashing::Digest;

/// What keys of contents begin with, below the prefix of the job.
pub(super) const DATA: &str = "data/";
/// The same of manifests.
pub(super) const SNAPSHOTS: &str = "snapshots/";
/// What keys begin with that say that a run is going on: of a backup, and of a prune.
pub(super) const RUNNING: &str = "running/";
pub(super) const PRUNING: &str = "pruning/";
/// What keys of manifests end with.
const ENDING: &str = ".jsonl.zst";

/// Key of the content whose SHA-256 is `hash`, in hexadecimal, below `prefix`. In 256 directories, as people and file
/// systems like it.
pub(super) fn data_key(prefix: &str, hash: &str) -> String {
    let first = hash.get(..2).unwrap_or_default();
    format!("{prefix}{DATA}{first}/{hash}")
}

/// The hash in a key of content.
pub(super) fn hash_of_key(prefix: &str, key: &str) -> Option<Digest> {
    let (first, hash) = key.strip_prefix(prefix)?.strip_prefix(DATA)?.split_once('/')?;
    let digest = digest_of(hash)?;
    (first == &hash[..2]).then_some(digest)
}

/// The hash that `text` is in hexadecimal, in lower case as all of ours are.
pub(super) fn digest_of(text: &str) -> Option<Digest> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut digest = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(digest)
}

/// A snapshot: when its run began, by the clock of its machine and in UTC, and what tells it from others of that second.
/// Their order is that of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotId(String);

/// A clock that is ahead by more is wrong.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// The form of the time in an id.
const TIME: &str = "%Y%m%dT%H%M%SZ";

impl SnapshotId {
    /// That of a run that begins at `time`.
    pub fn at(time: Timestamp) -> Self {
        let when = time.to_zoned(TimeZone::UTC).strftime(TIME);
        // Two of one second stand in their order, too.
        let micros = time.subsec_nanosecond().unsigned_abs() / 1_000;
        Self(format!("{when}-{micros:05x}{:03x}", fastrand::u16(..0x1000)))
    }

    /// When its run began.
    pub fn time(&self) -> Timestamp {
        let time = self.0.get(..16).unwrap_or_default();
        let parsed = jiff::civil::DateTime::strptime(TIME, time).ok();
        parsed
            .and_then(|time| time.to_zoned(TimeZone::UTC).ok())
            .map_or(Timestamp::UNIX_EPOCH, |time| time.timestamp())
    }

    /// Whether it is of a time that has not come at `now`: whoever made it had a wrong clock, or wants others to go.
    pub fn is_of_future(&self, now: Timestamp) -> bool {
        self.time().duration_since(now) > AHEAD
    }

    /// Key of its manifest, below `prefix`.
    pub(super) fn key(&self, prefix: &str) -> String {
        format!("{prefix}{SNAPSHOTS}{self}{ENDING}")
    }

    /// The snapshot whose manifest has this key; none of any other key.
    pub(super) fn of_key(prefix: &str, key: &str) -> Option<Self> {
        let name = key.strip_prefix(prefix)?.strip_prefix(SNAPSHOTS)?;
        name.strip_suffix(ENDING)?.parse().ok()
    }
}

impl FromStr for SnapshotId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = Self(text.to_owned());
        let is_hex =
            |digits: &str| digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let is_one = text
            .split_once('-')
            .is_some_and(|(time, rest)| time.len() == 16 && is_hex(rest));
        if is_one && jiff::civil::DateTime::strptime(TIME, &text[..16]).is_ok() {
            Ok(id)
        } else {
            Err(format!("'{}' is no snapshot", text.escape_debug()))
        }
    }
}

impl TryFrom<String> for SnapshotId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<SnapshotId> for String {
    fn from(id: SnapshotId) -> Self {
        id.0
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_what_they_are_of_and_nothing_else_does() {
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let key = data_key("p/", hash);
        assert_eq!(key, format!("p/data/2c/{hash}"));
        let digest = hash_of_key("p/", &key).expect("a hash");
        assert_eq!(crate::store::hex(&digest), hash);
        for other in [
            "p/data/2c/2c",
            "p/data/2d/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            "p/data/x",
            "p/data/2C/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            "p/data/2c/2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824",
            "p/data/2/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            "p/data/+c/+cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            "p/snapshots/x",
            "q",
        ] {
            assert_eq!(hash_of_key("p/", other), None, "{other}");
        }
    }

    #[test]
    fn snapshots_are_named_by_their_time_and_stand_in_its_order() {
        let time: Timestamp = "2026-11-22T02:15:07.9Z".parse().expect("a time");
        let id = SnapshotId::at(time);
        assert!(id.to_string().starts_with("20261122T021507Z-"), "{id}");
        assert_eq!(id.time(), "2026-11-22T02:15:07Z".parse().expect("a time"));
        for later in [1, 1_000] {
            assert!(SnapshotId::at(time + jiff::SignedDuration::from_millis(later)) > id);
        }
        assert_eq!(SnapshotId::of_key("p/", &id.key("p/")), Some(id.clone()));
        for other in [
            "p/snapshots/",
            "p/snapshots/20261122T021507Z-0000000g.jsonl.zst",
            "p/snapshots/20261322T021507Z-00000000.jsonl.zst",
            "p/snapshots/20261122T021507Z-00000000.jsonl",
            "p/snapshots/é0261122T021507Z-00000000.jsonl.zst",
        ] {
            assert_eq!(SnapshotId::of_key("p/", other), None, "{other}");
        }
    }
}
