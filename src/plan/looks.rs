//! Which files are looked at before they are opened: a pure decision.
//!
//! The order of the run and the split into parts need sizes, and a look by path costs a tenth of all that a small
//! file costs. A sample tells whether sizes matter here: where it shows small files only, the others are presumed to
//! be of its mean size, and whoever opens one that is not finds out.

/// Files that are judged together.
pub const GROUP: usize = 1_024;
/// How many of them are looked at in any case.
const SAMPLE: usize = 64;
/// A file of this size makes others wait, bytes.
const LARGE_BYTES: u64 = 1024 * 1024;

/// Decides file by file, in the order of the walk.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    position: usize,
    looked_at: u64,
    bytes: u64,
    any_large: bool,
}

impl Looks {
    /// The next file's presumed size in bytes; none when it has to be looked at, and [`Self::saw`] told.
    pub fn presumed(&mut self) -> Option<u64> {
        if self.position == GROUP {
            *self = Self::default();
        }
        self.position += 1;
        let is_known = self.position > SAMPLE && !self.any_large;
        is_known.then(|| self.bytes.checked_div(self.looked_at).unwrap_or(0))
    }

    /// A file that was looked at has this size.
    pub fn saw(&mut self, size_bytes: u64) {
        self.looked_at += 1;
        self.bytes = self.bytes.saturating_add(size_bytes);
        self.any_large |= size_bytes >= LARGE_BYTES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `count` files of `size` are looked at, and what the last one is presumed to be.
    fn play(looks: &mut Looks, count: usize, size: u64) -> (usize, Option<u64>) {
        let (mut looked_at, mut last) = (0, None);
        for _ in 0..count {
            last = looks.presumed();
            if last.is_none() {
                looks.saw(size);
                looked_at += 1;
            }
        }
        (looked_at, last)
    }

    #[test]
    fn small_files_are_sampled_in_each_group() {
        let mut looks = Looks::default();
        assert_eq!(play(&mut looks, GROUP, 4_096), (SAMPLE, Some(4_096)));
        assert_eq!(play(&mut looks, GROUP, 100), (SAMPLE, Some(100)));
        assert_eq!(play(&mut Looks::default(), SAMPLE, 1), (SAMPLE, None));
    }

    #[test]
    fn one_large_file_in_the_sample_has_the_whole_group_looked_at() {
        let mut looks = Looks::default();
        assert_eq!(play(&mut looks, 1, LARGE_BYTES), (1, None));
        assert_eq!(play(&mut looks, GROUP - 1, 1), (GROUP - 1, None));
        assert_eq!(
            play(&mut looks, GROUP, 1),
            (SAMPLE, Some(1)),
            "the next one is another"
        );
    }
}
