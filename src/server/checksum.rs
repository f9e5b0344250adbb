//! Checksums: which one a request declares, computing it, comparing it, combining those of parts.
//!
//! Called by: `ingest.rs`, `objects.rs`, `multipart.rs`. Must not know: the index, files, connections.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use http::HeaderMap;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

/// The checksum algorithms of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

/// Whether a multipart checksum covers the bytes or the checksums of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ChecksumKind {
    FullObject,
    Composite,
}

impl Algorithm {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// The name in `x-amz-checksum-algorithm`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header (or trailer) that carries the value.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The algorithm of that name, `None` when unknown.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The kind a multipart upload gets when its client names none.
    pub(super) fn default_kind(self) -> ChecksumKind {
        if self == Self::Crc64Nvme {
            ChecksumKind::FullObject
        } else {
            ChecksumKind::Composite
        }
    }

    /// Whether S3 allows this kind for multipart uploads.
    pub(super) fn allows(self, kind: ChecksumKind) -> bool {
        match kind {
            ChecksumKind::FullObject => self.combinable().is_some(),
            ChecksumKind::Composite => self != Self::Crc64Nvme,
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn combinable(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Decodes a base64 value of this algorithm; `None` when it is not one.
    pub(super) fn decode(self, value: &str) -> Option<Vec<u8>> {
        STANDARD
            .decode(value)
            .ok()
            .filter(|bytes| bytes.len() == self.length())
    }
}

impl ChecksumKind {
    /// The name in `x-amz-checksum-type`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    /// The kind of that name, `None` when unknown.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::FullObject, Self::Composite]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// A running checksum.
pub(super) enum Hasher {
    Crc32(Crc32),
    Crc32c(Crc32c),
    Crc64Nvme(Crc64Nvme),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    /// Starts a checksum.
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Crc32 => Self::Crc32(Crc32::new()),
            Algorithm::Crc32c => Self::Crc32c(Crc32c::new()),
            Algorithm::Crc64Nvme => Self::Crc64Nvme(Crc64Nvme::new()),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    /// Adds bytes.
    pub(super) fn update(&mut self, data: &[u8]) {
        match self {
            Self::Crc32(hasher) => hasher.update(data),
            Self::Crc32c(hasher) => hasher.update(data),
            Self::Crc64Nvme(hasher) => hasher.update(data),
            Self::Sha1(hasher) => hasher.update(data),
            Self::Sha256(hasher) => hasher.update(data),
        }
    }

    /// The value over all bytes added.
    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc32(hasher) => hasher.finalize().to_vec(),
            Self::Crc32c(hasher) => hasher.finalize().to_vec(),
            Self::Crc64Nvme(hasher) => hasher.finalize().to_vec(),
            Self::Sha1(hasher) => hasher.finalize().as_ref().to_vec(),
            Self::Sha256(hasher) => hasher.finalize().as_ref().to_vec(),
        }
    }
}

/// The checksum a request announces; the value is `None` while it is still to come as a trailer.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    pub(super) algorithm: Algorithm,
    pub(super) value: Option<String>,
}

/// Finds the checksum announced by request headers.
///
/// # Errors
/// `InvalidRequest` when several are announced, when the algorithm is named without a value or
/// trailer, or when a value is malformed.
pub(super) fn announced(headers: &HeaderMap) -> S3Result<Option<Announced>> {
    let mut found = None;
    for algorithm in Algorithm::ALL {
        let value = headers
            .get(algorithm.header())
            .and_then(|value| value.to_str().ok());
        let trailer = headers
            .get_all("x-amz-trailer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|name| name.trim().eq_ignore_ascii_case(algorithm.header()));
        if value.is_none() && !trailer {
            continue;
        }
        if value.is_some_and(|value| algorithm.decode(value).is_none()) {
            return Err(s3_error!(
                InvalidRequest,
                "Value for {} header is invalid.",
                algorithm.header()
            ));
        }
        let announced = Announced {
            algorithm,
            value: value.map(str::to_owned),
        };
        if found.replace(announced).is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header."
            ));
        }
    }
    let named = headers
        .get("x-amz-sdk-checksum-algorithm")
        .and_then(|value| value.to_str().ok());
    if found.is_none() && named.is_some() {
        return Err(s3_error!(
            InvalidRequest,
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
                x-amz-trailer headers were found."
        ));
    }
    Ok(found)
}

/// Base64 of a checksum value.
pub(super) fn encode(value: &[u8]) -> String {
    STANDARD.encode(value)
}

/// Lower-case hexadecimal.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The full-object CRC of parts given as (base64 value, length in bytes), in order.
///
/// `None` when the algorithm cannot be combined, a value is malformed or there is no part.
pub(super) fn combine<'part>(
    algorithm: Algorithm,
    parts: impl Iterator<Item = (&'part str, u64)>,
) -> Option<String> {
    let crc = algorithm.combinable()?;
    let mut total: Option<u64> = None;
    for (value, length) in parts {
        let part = algorithm
            .decode(value)?
            .iter()
            .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        total = Some(match total {
            None => part,
            Some(before) => crc_fast::checksum_combine(crc, before, part, length),
        });
    }
    let bytes = total?.to_be_bytes();
    Some(encode(&bytes[8 - algorithm.length()..]))
}

/// The composite checksum of base64 part values, with its `-N` suffix; `None` for a malformed value.
pub(super) fn composite<'part>(
    algorithm: Algorithm,
    parts: impl Iterator<Item = &'part str>,
) -> Option<String> {
    let mut hasher = Hasher::new(algorithm);
    let mut count = 0;
    for value in parts {
        hasher.update(&algorithm.decode(value)?);
        count += 1;
    }
    Some(format!("{}-{count}", encode(&hasher.finish())))
}

/// Sets the field of a protocol structure that belongs to a checksum algorithm.
macro_rules! set_checksum {
    ($target:expr, $algorithm:expr, $value:expr) => {
        match $algorithm {
            $crate::server::checksum::Algorithm::Crc32 => $target.checksum_crc32 = Some($value),
            $crate::server::checksum::Algorithm::Crc32c => $target.checksum_crc32c = Some($value),
            $crate::server::checksum::Algorithm::Crc64Nvme => $target.checksum_crc64nvme = Some($value),
            $crate::server::checksum::Algorithm::Sha1 => $target.checksum_sha1 = Some($value),
            $crate::server::checksum::Algorithm::Sha256 => $target.checksum_sha256 = Some($value),
        }
    };
}
pub(super) use set_checksum;

/// The checksums given in a protocol structure, as (algorithm, base64 value) pairs.
macro_rules! given_checksums {
    ($source:expr) => {
        [
            (
                $crate::server::checksum::Algorithm::Crc32,
                $source.checksum_crc32.clone(),
            ),
            (
                $crate::server::checksum::Algorithm::Crc32c,
                $source.checksum_crc32c.clone(),
            ),
            (
                $crate::server::checksum::Algorithm::Crc64Nvme,
                $source.checksum_crc64nvme.clone(),
            ),
            (
                $crate::server::checksum::Algorithm::Sha1,
                $source.checksum_sha1.clone(),
            ),
            (
                $crate::server::checksum::Algorithm::Sha256,
                $source.checksum_sha256.clone(),
            ),
        ]
        .into_iter()
        .filter_map(|(algorithm, value)| value.map(|value| (algorithm, value)))
    };
}
pub(super) use given_checksums;
