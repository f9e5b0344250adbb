//! Proof that snapshots can be restored: what they need is there, as long as it should be, and, as far as it is read, what it
//! should be.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use futures::stream::{self, StreamExt as _};
use sha2::{Digest as _, Sha256};

use super::contents::Contents;
use super::hashing::Digest;
use super::layout::{SnapshotId, data_key, hash_of_key};
use super::repository::{IN_FLIGHT, Repository};
use super::which::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{GetObject, ObjectStore, StoreErrorKind, StoreResult, hex, read_through};

/// Contents that are handed to the readers together.
const LOT: usize = 256;
/// Paths that are named for one difference.
const KEPT_PATHS: usize = 10;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// From 0 to 1.
    pub part: f64,
    /// Which part: whoever counts it up by one each time reads everything in `1 / part` times.
    pub seed: u64,
}

impl Share {
    /// Whether this content is in it: contents lie on a ring by their hash, and the share is a piece of it that moves on by
    /// its own length.
    fn has(&self, digest: &Digest) -> bool {
        let [a, b, c, d, ..] = *digest;
        // The first bytes name the shards of a listing; any would do.
        let place = f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0);
        let pieces = (1.0 / self.part).ceil().max(1.0);
        self.part >= 1.0 || (place * pieces).floor() == (self.seed % pieces as u64) as f64
    }
}

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is not there.
    Missing,
    /// It is there, with so many bytes.
    Size(u64),
    /// Its content is another one.
    Content,
    /// It cannot be read: the server says why.
    Unreadable(String),
}

/// An object that is not what snapshots need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Key.
    pub key: String,
    /// What is wrong with it.
    pub flaw: Flaw,
    /// Files that it was to become, the first of them: snapshots and names in them.
    pub files: Vec<(SnapshotId, String)>,
    /// All of them.
    pub touched: u64,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Snapshots that were read.
    pub snapshots: u64,
    /// Contents that they need, and their bytes.
    pub contents: (u64, u64),
    /// Contents that were read, and their bytes.
    pub read: (u64, u64),
    /// Snapshots whose manifest cannot be used, and why.
    pub damaged: Vec<(SnapshotId, String)>,
    /// Objects that are not what they should be, in the order of their keys.
    pub differences: Vec<Difference>,
    /// The time was up before all of the share was read.
    pub is_cut: bool,
}

impl Checked {
    /// Whether all is as it should be.
    pub fn is_good(&self) -> bool {
        self.damaged.is_empty() && self.differences.is_empty()
    }
}

/// A content that is needed.
struct Need {
    digest: Digest,
    size_bytes: u64,
    is_there: bool,
}

/// Looks whether all that `snapshots` need is there, and reads a share of it.
///
/// # Errors
/// The server cannot be asked. What is wrong with what is stored is in the outcome.
pub fn check(
    repository: &Repository,
    snapshots: &[Snapshot],
    share: Option<Share>,
    deadline: Option<Instant>,
) -> Result<Checked> {
    let mut checked = Checked::default();
    let mut needs = needs(repository, snapshots, &mut checked)?;
    let mut flaws = look(repository, &mut needs)?;
    let bytes = needs.iter().map(|need| need.size_bytes).sum();
    checked.contents = (needs.len() as u64, bytes);
    if let Some(share) = share {
        let read = needs
            .iter()
            .filter(|need| need.is_there && share.has(&need.digest));
        let wanted: Vec<&Need> = read.collect();
        let count = read_all(repository, &wanted, &mut flaws, deadline)?;
        checked.is_cut = count < wanted.len();
        let bytes = wanted[..count].iter().map(|need| need.size_bytes).sum();
        checked.read = (count as u64, bytes);
    }
    checked.differences = touched(repository, snapshots, flaws, &checked.damaged)?;
    Ok(checked)
}

/// All contents that the snapshots name, by their hash.
fn needs(repository: &Repository, snapshots: &[Snapshot], checked: &mut Checked) -> Result<Vec<Need>> {
    let (mut needs, mut seen) = (Vec::<Need>::new(), Contents::new());
    for snapshot in snapshots {
        let manifest = match repository.manifest(snapshot) {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let why = crate::error::chain(&error);
                checked.damaged.push((snapshot.id.clone(), why));
                continue;
            }
            manifest => manifest?,
        };
        checked.snapshots += 1;
        for entry in manifest.entries()? {
            if let Some((digest, size_bytes)) = entry?.content()
                && seen.insert(&digest, size_bytes)
            {
                needs.push(Need {
                    digest,
                    size_bytes,
                    is_there: false,
                });
            }
        }
    }
    needs.sort_unstable_by_key(|need| (need.digest, need.size_bytes));
    Ok(needs)
}

/// Looks at all that is stored. Returns what is wrong, by hash.
fn look(repository: &Repository, needs: &mut [Need]) -> Result<BTreeMap<Digest, Flaw>> {
    let (prefix, mut flaws) = (repository.prefix(), BTreeMap::new());
    for object in repository.contents() {
        let object = object?;
        let Some(digest) = hash_of_key(&prefix, &object.key) else {
            continue;
        };
        let first = needs.partition_point(|need| need.digest < digest);
        for need in needs[first..].iter_mut().take_while(|need| need.digest == digest) {
            need.is_there = object.size_bytes == need.size_bytes;
            if !need.is_there {
                flaws.insert(digest, Flaw::Size(object.size_bytes));
            }
        }
    }
    for need in needs.iter().filter(|need| !need.is_there) {
        flaws.entry(need.digest).or_insert(Flaw::Missing);
    }
    Ok(flaws)
}

/// Reads contents and compares them with their hashes, until the time is up. Returns how many were read.
fn read_all(
    repository: &Repository,
    needs: &[&Need],
    flaws: &mut BTreeMap<Digest, Flaw>,
    deadline: Option<Instant>,
) -> Result<usize> {
    let prefix = repository.prefix();
    let found = Mutex::new(Vec::new());
    let mut count = 0;
    for lot in needs.chunks(LOT) {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
        count += lot.len();
        repository.ask(async |store| {
            let mut reads = stream::iter(lot)
                .map(|need| read_one(store, &prefix, need))
                .buffer_unordered(IN_FLIGHT);
            while let Some(outcome) = reads.next().await {
                if let Some(flaw) = outcome? {
                    found.lock().unwrap_or_else(PoisonError::into_inner).push(flaw);
                }
            }
            Ok(())
        })?;
    }
    flaws.extend(found.into_inner().unwrap_or_else(PoisonError::into_inner));
    Ok(count)
}

/// Reads one. What is wrong with it is no error: the others are read all the same.
async fn read_one(store: &dyn ObjectStore, prefix: &str, need: &Need) -> StoreResult<Option<(Digest, Flaw)>> {
    let key = data_key(prefix, &hex(&need.digest));
    let mut digest = Sha256::new();
    let mut sink = |bytes: &[u8]| {
        digest.update(bytes);
        Ok(())
    };
    let outcome = read_through(store, &GetObject::whole(&key), need.size_bytes, &mut sink).await;
    let flaw = match outcome {
        Ok(_) if digest.finalize()[..] == need.digest => return Ok(None),
        Ok(_) => Flaw::Content,
        Err(error) if error.kind == StoreErrorKind::NoSuchKey => Flaw::Missing,
        Err(error) if error.is_fatal() => return Err(error),
        Err(error) => Flaw::Unreadable(error.to_string()),
    };
    Ok(Some((need.digest, flaw)))
}

/// The differences, with the files that they touch.
fn touched(
    repository: &Repository,
    snapshots: &[Snapshot],
    flaws: BTreeMap<Digest, Flaw>,
    damaged: &[(SnapshotId, String)],
) -> Result<Vec<Difference>> {
    let prefix = repository.prefix();
    let mut differences: BTreeMap<Digest, Difference> = flaws
        .into_iter()
        .map(|(digest, flaw)| {
            let difference = Difference {
                key: data_key(&prefix, &hex(&digest)),
                flaw,
                files: Vec::new(),
                touched: 0,
            };
            (digest, difference)
        })
        .collect();
    let is_readable = |snapshot: &&Snapshot| damaged.iter().all(|(id, _)| *id != snapshot.id);
    for snapshot in snapshots.iter().filter(is_readable) {
        if differences.is_empty() {
            break;
        }
        for entry in repository.manifest(snapshot)?.entries()? {
            let entry = entry?;
            let Some((digest, _)) = entry.content() else {
                continue;
            };
            if let Some(difference) = differences.get_mut(&digest) {
                difference.touched += 1;
                if difference.files.len() < KEPT_PATHS {
                    difference.files.push((snapshot.id.clone(), entry.path));
                }
            }
        }
    }
    Ok(differences.into_values().collect())
}

/// Refuses a share that is none.
///
/// # Errors
/// [`ErrorKind::Usage`].
pub fn share_of(percent: f64, seed: u64) -> Result<Share> {
    if percent > 0.0 && percent <= 100.0 {
        return Ok(Share {
            part: percent / 100.0,
            seed,
        });
    }
    Err(Error::new(
        ErrorKind::Usage,
        "a share is more than 0 % and at most 100 %",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_each_day_reads_everything_in_time_and_nothing_twice() {
        let digests: Vec<Digest> = (0_u32..2_000)
            .map(|number| Sha256::digest(number.to_le_bytes()).into())
            .collect();
        for (percent, days) in [(100.0, 1), (50.0, 2), (5.0, 20), (30.0, 4), (0.7, 143)] {
            let shares = (9_000..9_000 + days).map(|seed| share_of(percent, seed).expect("a share"));
            let shares: Vec<Share> = shares.collect();
            for digest in &digests {
                let times = shares.iter().filter(|share| share.has(digest)).count();
                assert_eq!(times, 1, "{percent} %");
            }
        }
        for wrong in [0.0, -1.0, 100.1, f64::NAN] {
            assert!(share_of(wrong, 0).is_err(), "{wrong}");
        }
    }
}
