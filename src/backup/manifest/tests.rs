//! Manifests that are whole, cut, changed, or nothing of the kind.

use super::*;

fn header() -> Header {
    Header {
        s3haul: KIND.to_owned(),
        version: VERSION,
        job: "home".to_owned(),
        id: "20261122T021500Z-0123abcd".parse().expect("an id"),
        host: "here".to_owned(),
        sources: vec!["/home".to_owned()],
    }
}

fn file(path: &str, size: u64) -> Entry {
    let hash = format!("{size:064x}");
    Entry {
        size: Some(size),
        key: Some(format!("data/{}/{hash}", &hash[..2])),
        sha256: Some(hash),
        ..Entry::bare(path.to_owned(), EntryKind::File)
    }
}

fn entries() -> Vec<Entry> {
    vec![
        Entry::bare("home/".to_owned(), EntryKind::Directory),
        file("home/a", 1),
        Entry {
            target: Some("a".to_owned()),
            ..Entry::bare("home/b".to_owned(), EntryKind::Symlink)
        },
        Entry {
            error: Some("unreadable: no".to_owned()),
            ..Entry::bare("home/c".to_owned(), EntryKind::File)
        },
    ]
}

fn written(header: &Header, entries: &[Entry]) -> Vec<u8> {
    let mut writer = ManifestWriter::new(Vec::new(), header).expect("written");
    for entry in entries {
        writer.entry(entry).expect("written");
    }
    writer.finish().expect("written").0
}

/// The same lines with something done to them.
fn changed(change: impl Fn(String) -> String) -> Vec<u8> {
    let text = zstd::decode_all(&written(&header(), &entries())[..]).expect("zstd");
    let text = change(String::from_utf8(text).expect("text"));
    zstd::encode_all(text.as_bytes(), 1).expect("zstd")
}

fn prove(bytes: &[u8]) -> Result<(Header, Totals), ManifestError> {
    ManifestReader::new(bytes)?.prove()
}

#[test]
fn what_is_written_is_read() {
    let bytes = written(&header(), &entries());
    let reader = ManifestReader::new(&bytes[..]).expect("a manifest");
    assert_eq!(*reader.header(), header());
    let read: Vec<Entry> = reader.map(|entry| entry.expect("an entry")).collect();
    assert_eq!(read, entries());
    let (_, totals) = prove(&bytes).expect("whole");
    let expected = Totals {
        entries: 4,
        files: 2,
        bytes: 1,
        errors: 1,
    };
    assert_eq!(totals, expected);
}

#[test]
fn one_that_breaks_off_anywhere_is_none() {
    let bytes = written(&header(), &entries());
    for end in 0..bytes.len() {
        assert!(prove(&bytes[..end]).is_err(), "{end} of {} bytes", bytes.len());
    }
    let cut = |lines: usize| changed(|text| text.split_inclusive('\n').take(lines).collect());
    for lines in 0..5 {
        let error = prove(&cut(lines)).expect_err("cut");
        assert!(
            matches!(error, ManifestError::Truncated(_)),
            "{lines} lines: {error}"
        );
    }
    assert!(prove(&cut(6)).is_ok(), "all of them");
}

#[test]
fn no_bit_can_be_another() {
    let bytes = written(&header(), &entries());
    for place in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[place / 8] ^= 1 << (place % 8);
        let Ok(reader) = ManifestReader::new(&flipped[..]) else {
            continue;
        };
        let read: Result<Vec<Entry>, ManifestError> = reader.collect();
        // zstd has bits that say nothing, such as one that is kept for later.
        assert!(
            read.is_err() || read.is_ok_and(|read| read == entries()),
            "bit {place}"
        );
    }
}

#[test]
fn what_was_changed_is_not_believed() {
    type Change = fn(String) -> String;
    let wrong: [(Change, &str); 8] = [
        (|text| text.replace("\"size\":1", "\"size\":2"), "hash says"),
        (|text| text.replace("\"version\":1", "\"version\":2"), "version 2"),
        (|text| text.replace("backup manifest", "something"), "no manifest"),
        (|text| text + "{}\n", "follows the end"),
        (|text| text.replace("home/a", "home/z"), "comes behind"),
        (|text| text.replace("home/a", "home/b"), "comes behind"),
        (|text| text.replace("data/00/", "data/../"), "not the key"),
        (
            |text| text.replace("\"target\":\"a\"", "\"uid\":0"),
            "without a target",
        ),
    ];
    for (change, says) in wrong {
        let error = prove(&changed(change)).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
    let long = changed(|text| text.replace("home/c", &"c".repeat(1_000_000)));
    assert!(matches!(prove(&long), Err(ManifestError::TooLong(_))));
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_a_manifest_or_an_error(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = prove(&bytes);
        let packed = zstd::encode_all(&bytes[..], 1).expect("zstd");
        let _ = prove(&packed);
    }
}
