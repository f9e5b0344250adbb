//! Tests of the state: what is remembered comes back, and what is damaged or of others does not count.

use super::*;

fn object(key: &str, size_bytes: u64) -> KnownObject {
    KnownObject {
        key: key.to_owned(),
        known: Known {
            stamp: Stamp {
                size_bytes,
                modified: -1_500_000_000,
                changed: i128::from(i64::MAX) * 1_000_000_000,
                inode: u64::MAX,
            },
            is_racy: size_bytes % 2 == 1,
            etag: format!("etag-{key}"),
            checksum: (size_bytes > 0).then(|| "crc64nvme:AAAA".to_owned()),
        },
    }
}

fn origin() -> Origin {
    Origin {
        host: "here".to_owned(),
        source: "/data".to_owned(),
        device: 7,
    }
}

fn all(state: &State) -> Vec<KnownObject> {
    let objects = state.objects().expect("readable");
    objects.map(|object| object.expect("readable")).collect()
}

/// A state with three objects in a directory of its own.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.redb");
    let Opened {
        state,
        distrust,
        origin: found,
    } = State::open(&path, &origin(), false).expect("new");
    assert_eq!((distrust, found, all(&state)), (None, None, Vec::new()));
    state.set_origin(&origin()).expect("written");
    let objects = [object("b", 1), object("a/b", 2), object("a!", 0)];
    state.apply(&objects.map(Change::Remember)).expect("written");
    (directory, path)
}

#[test]
fn what_is_remembered_comes_back_in_the_order_of_the_keys() {
    let (_directory, path) = filled();
    let opened = State::open(&path, &origin(), false).expect("there");
    assert_eq!((opened.distrust, opened.origin), (None, Some(origin())));
    assert_eq!(
        all(&opened.state),
        [object("a!", 0), object("a/b", 2), object("b", 1)]
    );
    let changes = [
        Change::Forget {
            key: "a/b".to_owned(),
        },
        Change::Forget {
            key: "never".to_owned(),
        },
        Change::Remember(object("b", 9)),
    ];
    let before = opened.state.objects().expect("readable");
    opened.state.apply(&changes).expect("written");
    assert_eq!(before.count(), 3, "as it was when it was asked");
    assert_eq!(all(&opened.state), [object("a!", 0), object("b", 9)]);
}

#[test]
fn the_state_of_another_machine_or_source_is_put_aside() {
    for (other, says) in [
        (
            Origin {
                host: "there".to_owned(),
                ..origin()
            },
            "another machine, 'here'",
        ),
        (
            Origin {
                source: "/else".to_owned(),
                ..origin()
            },
            "another source, '/data'",
        ),
    ] {
        let (_directory, path) = filled();
        let opened = State::open(&path, &other, false).expect("made anew");
        assert!(opened.distrust.expect("a reason").contains(says));
        assert!(all(&opened.state).is_empty() && aside(&path).exists());
    }
}

#[test]
fn a_damaged_state_is_put_aside_and_never_believed() {
    let (_directory, path) = filled();
    let whole = fs::read(&path).expect("written");
    let truth = [object("a!", 0), object("a/b", 2), object("b", 1)];
    let mut rng = fastrand::Rng::with_seed(7);
    let mut put_aside = 0;
    for round in 0..300 {
        let mut damaged = whole.clone();
        match round % 3 {
            0 => damaged.truncate(rng.usize(..whole.len())),
            1 => {
                let place = rng.usize(..4_096.min(whole.len()));
                damaged[place] ^= 1 << rng.u8(..8);
            }
            _ => {
                let place = rng.usize(..whole.len());
                damaged[place] ^= 1 << rng.u8(..8);
            }
        }
        fs::write(&path, &damaged).expect("room");
        let opened = State::open(&path, &origin(), false).expect("read or made anew");
        put_aside += usize::from(opened.distrust.is_some());
        let found = all(&opened.state);
        // Flipped where nothing stands, it is what it was.
        assert!(found.is_empty() || found == truth, "round {round}: {found:?}");
    }
    assert!(put_aside > 50, "{put_aside}");
}
