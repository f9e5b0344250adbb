//! Part sizes within S3's limits: pure arithmetic.
//!
//! Limits: 10,000 parts of 5 MiB to 5 GiB, the last part of any size (Amazon S3 user guide, "Multipart
//! upload limits"). Every part but the last is equal, which Cloudflare R2 demands and which makes the
//! multipart ETag reproducible.

use serde::{Deserialize, Serialize};

use crate::units::{ByteSize, GIB, MIB};

/// Parts in one multipart upload.
pub const MAX_PARTS: u64 = 10_000;
/// Smallest part that is not the last.
pub const MIN_PART_BYTES: u64 = 5 * MIB;
/// Largest part.
pub const MAX_PART_BYTES: u64 = 5 * GIB;
/// Largest object: 10,000 parts of 5 GiB, 48.8 TiB.
pub const MAX_OBJECT_BYTES: u64 = MAX_PARTS * MAX_PART_BYTES;

/// The file is larger than S3 can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is more than an object can hold (48.8 TiB, 10,000 parts of 5 GiB)", ByteSize(*.size_bytes))]
pub struct TooLarge {
    /// The file's size.
    pub size_bytes: u64,
}

/// How a file of known size is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartPlan {
    size_bytes: u64,
    part_bytes: u64,
}

impl PartPlan {
    /// Part size `max(configured, ceil(size / 10,000) rounded up to 1 MiB)`, at most 5 GiB.
    ///
    /// # Errors
    /// [`TooLarge`] when even 10,000 parts of 5 GiB do not hold it.
    pub fn new(size_bytes: u64, configured_part_bytes: u64) -> Result<Self, TooLarge> {
        if size_bytes > MAX_OBJECT_BYTES {
            return Err(TooLarge { size_bytes });
        }
        let needed = size_bytes.div_ceil(MAX_PARTS).next_multiple_of(MIB);
        let part_bytes = configured_part_bytes.max(needed).clamp(1, MAX_PART_BYTES);
        Ok(Self {
            size_bytes,
            part_bytes,
        })
    }

    /// Bytes of the whole file.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Bytes of every part but the last.
    pub fn part_bytes(&self) -> u64 {
        self.part_bytes
    }

    /// Number of parts, at least 1.
    pub fn count(&self) -> u32 {
        let count = self.size_bytes.div_ceil(self.part_bytes).max(1);
        u32::try_from(count).expect("a plan has at most 10,000 parts")
    }

    /// Offset and length of part `number`, counted from 1 as S3 does.
    pub fn range(&self, number: u32) -> (u64, u64) {
        let offset = u64::from(number - 1) * self.part_bytes;
        (offset, self.part_bytes.min(self.size_bytes - offset))
    }
}

/// Part sizes for a stream of unknown length: they grow, so that 10,000 parts are never hit.
///
/// Every 500 parts the size doubles (up to 5 GiB): a stream that starts with parts of 16 MiB can hold
/// 30 TiB, and its first 7.8 GiB go in parts of the configured size.
#[derive(Clone, Copy, Debug)]
pub struct StreamParts {
    configured_part_bytes: u64,
}

impl StreamParts {
    /// Starts with parts of `configured_part_bytes`.
    pub fn new(configured_part_bytes: u64) -> Self {
        Self {
            configured_part_bytes: configured_part_bytes.clamp(MIN_PART_BYTES, MAX_PART_BYTES),
        }
    }

    /// Bytes of part `number` (from 1), or `None` past part 10,000.
    pub fn part_bytes(&self, number: u32) -> Option<u64> {
        if u64::from(number) > MAX_PARTS {
            return None;
        }
        let doublings = (number - 1) / 500;
        Some((self.configured_part_bytes << doublings).min(MAX_PART_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::TIB;

    #[test]
    fn part_sizes_follow_the_rule() {
        for (size, configured, part, count) in [
            (17 * MIB, 16 * MIB, 16 * MIB, 2),
            (32 * MIB, 16 * MIB, 16 * MIB, 2),
            (32 * MIB + 1, 16 * MIB, 16 * MIB, 3),
            (50_000 * MIB, 5 * MIB, 5 * MIB, 10_000),
            (50_000 * MIB + 1, 5 * MIB, 6 * MIB, 8_334),
            (60 * GIB, 5 * MIB, 7 * MIB, 8_778),
            (48 * TIB, 16 * MIB, 5_034 * MIB, 9_999),
            (MAX_OBJECT_BYTES, 16 * MIB, MAX_PART_BYTES, 10_000),
        ] {
            let plan = PartPlan::new(size, configured).expect("within the limits");
            assert_eq!((plan.part_bytes(), plan.count()), (part, count), "{size}");
        }
        assert_eq!(
            PartPlan::new(MAX_OBJECT_BYTES + 1, MIB),
            Err(TooLarge {
                size_bytes: MAX_OBJECT_BYTES + 1
            })
        );
    }

    #[test]
    fn a_stream_of_many_tebibytes_stays_within_ten_thousand_parts() {
        let parts = StreamParts::new(16 * MIB);
        let total: u64 = (1..=10_000).filter_map(|number| parts.part_bytes(number)).sum();
        assert!(total >= 30 * TIB, "{}", ByteSize(total));
        assert_eq!(parts.part_bytes(1), Some(16 * MIB));
        assert_eq!(parts.part_bytes(500), Some(16 * MIB));
        assert_eq!(parts.part_bytes(501), Some(32 * MIB));
        assert_eq!(parts.part_bytes(10_001), None);
    }

    proptest::proptest! {
        #[test]
        fn parts_cover_the_file_exactly_and_are_equal_but_the_last(
            size in 1..=MAX_OBJECT_BYTES, configured in MIN_PART_BYTES..=MAX_PART_BYTES
        ) {
            let plan = PartPlan::new(size, configured).expect("within the limits");
            let count = plan.count();
            proptest::prop_assert!(u64::from(count) <= MAX_PARTS);
            proptest::prop_assert!(plan.part_bytes() <= MAX_PART_BYTES && plan.part_bytes() >= configured);
            let mut end = 0;
            for number in 1..=count {
                let (offset, length) = plan.range(number);
                proptest::prop_assert_eq!(offset, end);
                proptest::prop_assert!(length > 0 && (number == count || length == plan.part_bytes()));
                end = offset + length;
            }
            proptest::prop_assert_eq!(end, size);
        }
    }
}
