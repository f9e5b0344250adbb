//! What fuzz targets call: each takes any bytes, and panics when something is not as it must be.
//!
//! `cargo fuzz run --sanitizer none TARGET` (crate cargo-fuzz) runs the targets of `fuzz/`; only then is this built.

use std::path::{Component, Path};

use jiff::Zoned;

use crate::schedule::Schedule;
use crate::source::key;
use crate::transfer::{self, Overwrite, Place};
use crate::{backup, cli, store};

/// A journal that was left behind, whatever is in it: what is read of it is read again from what it is written as.
pub fn journal(bytes: &[u8]) {
    transfer::fuzz_journal(bytes);
}

/// A file name becomes a key and comes back; a key of somebody else's never becomes a place outside of the root.
pub fn key(bytes: &[u8]) {
    let name: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    let key = key::encode(&name).text;
    assert_eq!(key::decode(&key), name);
    for key in [key, String::from_utf8_lossy(bytes).into_owned()] {
        let path = key::path_of(&key, "").expect("every key has an empty prefix");
        let root = Path::new("/root/of/it");
        if let Some(place) = Place::new(root, &path, Overwrite::Never, Some("etag")) {
            let path = place.path();
            let below = path.strip_prefix(root).expect("below the root");
            assert!(
                below
                    .components()
                    .all(|name| matches!(name, Component::Normal(_)))
            );
        }
    }
}

/// Pages of a listing, whatever a server puts into them: only keys that rise below the prefix are taken.
pub fn listing(bytes: &[u8]) {
    store::fuzz_listing(bytes);
}

/// A manifest, whatever a bucket has in its place: what is read of it is in order, is read again from what it is written as,
/// and stays below where it is restored to.
pub fn manifest(bytes: &[u8]) {
    backup::fuzz_manifest(bytes);
}

/// A file of jobs.
pub fn jobs(bytes: &[u8]) {
    cli::fuzz_jobs(&String::from_utf8_lossy(bytes));
}

/// A schedule: its times rise, and each is found.
pub fn schedule(bytes: &[u8]) {
    let Ok(schedule) = String::from_utf8_lossy(bytes).parse::<Schedule>() else {
        return;
    };
    assert!(!schedule.on_calendar().is_empty());
    for start in [
        "2026-03-28T23:59:59+01:00[Europe/Berlin]",
        "2026-10-25T00:00:00+02:00[Europe/Berlin]",
    ] {
        let mut time: Zoned = start.parse().expect("a time");
        for _ in 0..10 {
            let Some(next) = schedule.next_after(&time) else {
                break;
            };
            assert!(next > time, "{schedule}: {next} behind {time}");
            time = next;
        }
    }
}
