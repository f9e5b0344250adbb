//! Workloads: what is uploaded in a comparison, by name.
//!
//! Pure: sizes and settings. Files are made and looked at by `files`.

use std::path::PathBuf;
use std::str::FromStr;

use crate::config::{DEFAULT_MULTIPART_THRESHOLD, DEFAULT_PART_SIZE};
use crate::units::{ByteSize, KIB, MIB};

/// Seed of sizes and contents: the same everywhere, so that ids can be compared.
pub const SEED: u64 = 2_026;

/// What a workload is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Files of these sizes, made from the seed.
    Sizes(Vec<u64>),
    /// So many names of a few empty files.
    Names(usize),
    /// What is there, never changed.
    Directory {
        /// Where.
        path: PathBuf,
        /// Files that are in it.
        objects: usize,
        /// Bytes that they have.
        bytes: u64,
    },
}

/// A workload before its files are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadSpec {
    /// Name as typed.
    pub name: String,
    /// What it is, in one line.
    pub description: String,
    /// Its files.
    pub kind: Kind,
    /// Size of a part.
    pub part_size: ByteSize,
    /// Larger files go in parts.
    pub multipart_threshold: ByteSize,
    /// Rounds of SHA-256 over each body.
    pub extra_rounds: u32,
    /// Bodies are read, summed and dropped.
    pub sends_nothing: bool,
    /// Two of a hundred requests are answered 503.
    pub expects_errors: bool,
    /// All of its files make up a job, also where that takes long.
    pub is_whole: bool,
}

impl WorkloadSpec {
    fn of(name: &str, description: &str, sizes: Vec<u64>) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            kind: Kind::Sizes(sizes),
            part_size: DEFAULT_PART_SIZE,
            multipart_threshold: DEFAULT_MULTIPART_THRESHOLD,
            extra_rounds: 0,
            sends_nothing: false,
            expects_errors: false,
            is_whole: false,
        }
    }

    /// The same, with all of its files in every job.
    #[must_use]
    pub fn whole(self) -> Self {
        Self {
            is_whole: true,
            ..self
        }
    }

    /// The same, into nothing.
    #[must_use]
    pub fn into_nothing(self) -> Self {
        Self {
            sends_nothing: true,
            ..self
        }
    }

    /// `count` files of `size` bytes.
    pub fn uniform(name: &str, description: &str, count: usize, size: u64) -> Self {
        Self::of(name, description, vec![size; count])
    }

    /// 2,000 files of 4 KiB.
    pub fn tiny() -> Self {
        Self::uniform("tiny", "2,000 files of 4 KiB", 2_000, 4 * KIB)
    }

    /// Sizes around the step at which MinIO stores an object beside its metadata and not inside.
    pub fn inline_step() -> Self {
        let sizes = [64, 128, 192, 256].map(|kib| kib * KIB);
        let sizes = sizes.iter().flat_map(|size| [*size; 300]).collect();
        Self::of("inline-step", "300 files each of 64, 128, 192 and 256 KiB", sizes)
    }

    /// Few large and many small files.
    pub fn mixed() -> Self {
        Self::of(
            "mixed",
            "400 files, log-uniform from 1 KiB to 16 MiB, with an empty one and three around the multipart threshold",
            mixed_sizes(),
        )
    }

    /// 4 files of 64 MiB, in parts or by one PUT.
    pub fn large(in_parts: bool) -> Self {
        let (name, description) = if in_parts {
            ("large", "4 files of 64 MiB in parts of 8 MiB")
        } else {
            ("large:put", "4 files of 64 MiB by one PUT each")
        };
        let part_size = ByteSize::mib(8);
        Self {
            part_size,
            multipart_threshold: if in_parts { part_size } else { ByteSize::mib(64) },
            ..Self::uniform(name, description, 4, 64 * MIB)
        }
    }

    /// `mixed` with hashing on top.
    pub fn cpu(rounds: u32) -> Self {
        Self {
            name: format!("cpu:{rounds}"),
            description: format!("mixed, and {rounds} rounds of SHA-256 over every body"),
            extra_rounds: rounds,
            ..Self::mixed()
        }
    }

    /// `tiny`, and the server says 503 now and then.
    pub fn errors() -> Self {
        Self {
            name: "errors".to_owned(),
            description: "tiny, and 2 of 100 requests are answered 503".to_owned(),
            expects_errors: true,
            ..Self::tiny()
        }
    }

    /// A million entries, to nowhere.
    pub fn lazy(names: usize) -> Self {
        Self {
            kind: Kind::Names(names),
            sends_nothing: true,
            ..Self::of("lazy", "names of empty files, into nothing", Vec::new())
        }
        .whole()
    }

    /// What is in a directory, which is looked at for it.
    pub fn directory(path: PathBuf) -> Self {
        let files = walkdir::WalkDir::new(&path).into_iter().flatten();
        let sizes = files
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| entry.metadata().map_or(0, |metadata| metadata.len()));
        let (objects, bytes) = sizes.fold((0, 0), |(objects, bytes), size| (objects + 1, bytes + size));
        Self {
            kind: Kind::Directory {
                path: path.clone(),
                objects,
                bytes,
            },
            ..Self::of(&path.display().to_string(), "files of a directory", Vec::new())
        }
    }

    /// Bytes that its files will take; none when they are there already.
    pub fn bytes_to_make(&self) -> u64 {
        match &self.kind {
            Kind::Sizes(sizes) => sizes.iter().sum(),
            Kind::Names(_) | Kind::Directory { .. } => 0,
        }
    }

    /// Files and bytes of all of it.
    pub fn extent(&self) -> (usize, u64) {
        match &self.kind {
            Kind::Sizes(sizes) => (sizes.len(), sizes.iter().sum()),
            Kind::Names(names) => (*names, 0),
            Kind::Directory { objects, bytes, .. } => (*objects, *bytes),
        }
    }
}

/// 396 sizes evenly spread on a logarithmic scale, and four that are edges.
fn mixed_sizes() -> Vec<u64> {
    let span: f64 = 16_384.0;
    let threshold = DEFAULT_MULTIPART_THRESHOLD.bytes();
    let sizes = (0..396_u32).map(|place| {
        let exponent = (f64::from(place) + 0.5) / 396.0;
        (KIB as f64 * span.powf(exponent)) as u64
    });
    let mut sizes: Vec<u64> = sizes
        .chain([0, threshold - 1, threshold, threshold + 1])
        .collect();
    // Not in the order of size: no file tells what the next one is.
    fastrand::Rng::with_seed(SEED).shuffle(&mut sizes);
    sizes
}

impl FromStr for WorkloadSpec {
    type Err = String;

    /// A name, `cpu:ROUNDS`, or a directory.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "tiny" => Self::tiny(),
            "inline-step" => Self::inline_step(),
            "mixed" => Self::mixed(),
            "large" => Self::large(true),
            "large:put" => Self::large(false),
            "cpu" => Self::cpu(8),
            "errors" => Self::errors(),
            "read" => {
                Self::uniform("read", "12 files of 50 MB, read and summed", 12, 50_000_000).into_nothing()
            }
            other => {
                if let Some(rounds) = other.strip_prefix("cpu:") {
                    let rounds = rounds
                        .parse()
                        .map_err(|_| format!("'{rounds}' is no number of rounds"))?;
                    return Ok(Self::cpu(rounds));
                }
                let path = PathBuf::from(other);
                if !path.is_dir() {
                    return Err(format!(
                        "'{other}' is neither a workload (tiny, inline-step, mixed, large, large:put, cpu, cpu:ROUNDS, errors, read) nor a directory"
                    ));
                }
                Self::directory(path)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_nonsense_is_not() {
        for name in [
            "tiny",
            "inline-step",
            "mixed",
            "large",
            "large:put",
            "errors",
            "read",
            "cpu:64",
        ] {
            assert_eq!(name.parse::<WorkloadSpec>().expect("known").name, name);
        }
        assert_eq!("cpu".parse::<WorkloadSpec>().expect("known").extra_rounds, 8);
        assert!("cpu:many".parse::<WorkloadSpec>().is_err());
        assert!("/no/such/place".parse::<WorkloadSpec>().is_err());
    }

    #[test]
    fn mixed_is_what_it_says() {
        let sizes = mixed_sizes();
        assert_eq!(sizes.len(), 400);
        assert_eq!(sizes, mixed_sizes(), "the same each time");
        assert_eq!(sizes.iter().min(), Some(&0));
        assert_eq!(sizes.iter().max(), Some(&(16 * MIB + 1)));
        let log_uniform: u64 = sizes.iter().filter(|size| **size < 16 * MIB - 1).sum();
        let mean = log_uniform as f64 / 396.0;
        // (b - a) / ln(b / a), the mean of a log-uniform distribution.
        let expected = (16.0 * MIB as f64 - KIB as f64) / 16_384_f64.ln();
        assert!((mean / expected - 1.0).abs() < 0.01, "{mean} {expected}");
    }
}
