//! What a fuzz target does with a manifest.

use std::path::{Component, Path};

use super::manifest::{Entry, ManifestError, ManifestReader, ManifestWriter};
use super::paths::{path_of, target_of};
use crate::transfer::{Overwrite, Place};

/// As it is, and as lines that were compressed.
pub(crate) fn fuzz_manifest(bytes: &[u8]) {
    read(bytes);
    if let Ok(compressed) = zstd::encode_all(bytes, 1) {
        read(&compressed);
    }
}

fn read(bytes: &[u8]) {
    let Ok(reader) = ManifestReader::new(bytes) else {
        return;
    };
    let header = reader.header().clone();
    let entries: Vec<Result<Entry, ManifestError>> = reader.collect();
    let is_whole = entries.iter().all(Result::is_ok);
    let entries: Vec<Entry> = entries.into_iter().filter_map(Result::ok).collect();
    assert!(entries.is_sorted_by(|a, b| a.path < b.path));
    for entry in &entries {
        stays_below(&path_of(&entry.path));
        // Any target is one: what it leads to is not followed.
        entry.target.as_deref().map(target_of);
    }
    if !is_whole {
        return;
    }
    let mut writer = ManifestWriter::new(Vec::new(), &header).expect("it was read");
    for entry in &entries {
        writer.entry(entry).expect("it was read");
    }
    let (written, _) = writer.finish().expect("in memory");
    let again = ManifestReader::new(&written[..]).expect("it was written");
    let again: Vec<Entry> = again.map(|entry| entry.expect("it was written")).collect();
    assert_eq!(again, entries);
}

fn stays_below(path: &Path) {
    let root = Path::new("/root/of/it");
    if let Some(place) = Place::new(root, path, Overwrite::Never, None) {
        let path = place.path();
        let below = path.strip_prefix(root).expect("below the root");
        let is_name = |name| matches!(name, Component::Normal(_));
        assert!(below.components().all(is_name));
    }
}
