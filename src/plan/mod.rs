//! Decides what to do with a file: pure functions, no I/O.
//!
//! Called by the pipeline's feeder for every file the walk yields, and by a dry run, which ends here.

mod batches;
mod looks;
mod parts;

use serde::{Deserialize, Serialize};

pub use batches::{MAX_BATCH_BYTES, MAX_BATCH_OBJECTS, can_be_in_a_batch, common_directory, cut};
pub use looks::{GROUP, Looks};
pub use parts::{
    MAX_OBJECT_BYTES, MAX_PART_BYTES, MAX_PARTS, MIN_PART_BYTES, PartPlan, StreamParts, TooLarge,
};

/// How many requests with content a file takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// One PUT from memory.
    Single,
    /// A multipart upload.
    Multipart(PartPlan),
}

/// The shape of a file of `size_bytes`: multipart above `threshold_bytes`.
///
/// # Errors
/// [`TooLarge`] above 48.8 TiB, before any request.
pub fn shape(size_bytes: u64, threshold_bytes: u64, part_size_bytes: u64) -> Result<Shape, TooLarge> {
    if size_bytes <= threshold_bytes {
        return Ok(Shape::Single);
    }
    PartPlan::new(size_bytes, part_size_bytes).map(Shape::Multipart)
}

/// Puts files in the order in which they should begin: a large one that begins last keeps a single worker busy when
/// all others have ended. "Longest processing time first" is at most a third longer than the best order (Graham,
/// "Bounds on Multiprocessing Timing Anomalies", 1969). Equal ones keep their order.
pub fn largest_first<T>(files: &mut [T], size_bytes: impl Fn(&T) -> u64) {
    files.sort_by_key(|file| std::cmp::Reverse(size_bytes(file)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MIB;

    #[test]
    fn the_threshold_itself_is_still_a_single_put() {
        assert_eq!(shape(16 * MIB, 16 * MIB, 16 * MIB), Ok(Shape::Single));
        assert!(
            matches!(shape(16 * MIB + 1, 16 * MIB, 16 * MIB), Ok(Shape::Multipart(plan)) if plan.count() == 2)
        );
        assert_eq!(shape(0, 0, 16 * MIB), Ok(Shape::Single));
    }
}
