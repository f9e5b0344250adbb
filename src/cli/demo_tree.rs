//! A small but real tree: many small files, some empty, one of more than 64 MiB, names that are not plain.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::units::MIB;

const SMALL_FILES: usize = 300;
const LARGE_BYTES: u64 = 65 * MIB + 12_345;
/// The same tree each time.
const SEED: u64 = 7;

/// Names that a careless program would trip over; all are clean UTF-8, so each is its own key.
const ODD_NAMES: [&str; 8] = [
    "with space.txt",
    "übergröße.txt",
    "日本語/ファイル.txt",
    "emoji 🚀.bin",
    "plus+percent%20&quote'.txt",
    ".hidden",
    "trailing space ",
    "deep/er/and/deep/er.txt",
];

/// The tree and the SHA-256 of each file, by its name relative to the root.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) files: Vec<(String, [u8; 32])>,
}

pub(super) fn make(root: &Path) -> Result<Tree> {
    let cannot = |error: std::io::Error| {
        Error::new(
            ErrorKind::Output,
            format!("the demo's tree '{}' cannot be written", root.display()),
        )
        .with_source(error)
    };
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut tree = Tree {
        root: root.to_owned(),
        files: Vec::new(),
    };
    for number in 0..SMALL_FILES {
        // Every tenth is empty.
        let bytes = if number % 10 == 0 {
            0
        } else {
            random.u64(1..16_384)
        };
        tree.add(
            &format!("small/{:02}/file {number}.dat", number % 16),
            bytes,
            &mut random,
        )
        .map_err(cannot)?;
    }
    for name in ODD_NAMES {
        tree.add(name, 100, &mut random).map_err(cannot)?;
    }
    tree.add("large.bin", LARGE_BYTES, &mut random).map_err(cannot)?;
    Ok(tree)
}

impl Tree {
    fn add(&mut self, name: &str, bytes: u64, random: &mut fastrand::Rng) -> std::io::Result<()> {
        let path = self.root.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::create(path)?;
        let mut digest = Sha256::new();
        let mut left = bytes;
        let mut block = vec![0; 64 * 1024];
        while left > 0 {
            let take = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
            random.fill(&mut block[..take]);
            digest.update(&block[..take]);
            file.write_all(&block[..take])?;
            left -= take as u64;
        }
        self.files.push((name.to_owned(), digest.finalize().into()));
        Ok(())
    }
}
