//! When small files may go together in archives, and what that cannot be combined with.
//!
//! Called by `validate` and by the pipeline, which asks the server. Pure.

use serde::{Deserialize, Serialize};

use super::{RunSettings, StrategyKind, TransferSettings, VerifyMode};
use crate::error::{Error, ErrorKind, Result};
use crate::units::{ByteSize, KIB, MIB};

/// What counts as small unless a size is given.
const SMALL: ByteSize = ByteSize(64 * KIB);
/// Larger files gain nothing: their bytes cost more than their requests.
const LARGEST: ByteSize = ByteSize(MIB);

/// `--batch-small`: whether small files go as archives that the server takes apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchSmall {
    /// One request for each file.
    #[default]
    Off,
    /// Files up to 64 KiB, where the server and the other settings allow it.
    Auto,
    /// Files up to this size; settings that forbid it are an error, a server that does not is worth a warning.
    UpTo(ByteSize),
}

/// The setting that forbids batches, and why.
fn obstacle(transfer: &TransferSettings, run: &RunSettings) -> Option<(&'static str, &'static str)> {
    let attributes = &transfer.attributes;
    [
        (
            run.strategy == Some(StrategyKind::ThreadPerFile),
            "--strategy thread-per-file",
            "a thread uploads one file",
        ),
        (
            transfer.if_none_match,
            "--if-none-match",
            "an archive replaces what exists",
        ),
        (
            matches!(transfer.verify, VerifyMode::Head | VerifyMode::Read),
            "--verify head or read",
            "batches are verified by listing",
        ),
        (!attributes.tags.is_empty(), "--tags", "archives carry none"),
        (
            attributes.storage_class.is_some(),
            "--storage-class",
            "archives carry none",
        ),
        (
            attributes.server_side_encryption.is_some(),
            "--sse",
            "archives carry none",
        ),
    ]
    .into_iter()
    .find_map(|(forbids, flag, why)| forbids.then_some((flag, why)))
}

impl TransferSettings {
    /// Largest file that may go in a batch, in bytes, if any may.
    pub fn batch_limit(&self, run: &RunSettings) -> Option<u64> {
        let limit = match self.batch_small {
            BatchSmall::Off => return None,
            BatchSmall::Auto => SMALL,
            BatchSmall::UpTo(size) => size,
        };
        match obstacle(self, run) {
            None => Some(limit.min(self.multipart_threshold).bytes()),
            Some(_) => None,
        }
    }

    pub(super) fn validate_batches(&self, run: &RunSettings) -> Result<()> {
        let BatchSmall::UpTo(size) = self.batch_small else {
            return Ok(());
        };
        let refused = |message| Error::new(ErrorKind::Usage, message);
        if size > LARGEST || size.bytes() == 0 {
            return Err(
                refused(format!("'--batch-small {size}' is not between 1 byte and 1 MiB"))
                    .with_hint("larger files gain nothing in an archive; 64KiB is a good size"),
            );
        }
        match obstacle(self, run) {
            Some((flag, why)) => Err(
                refused(format!("'--batch-small' cannot be used with '{flag}': {why}")).with_hint(
                    "use '--batch-small auto', which gives way to other flags, or leave one of them out",
                ),
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_demand_and_auto_gives_way() {
        let run = RunSettings::default();
        let mut transfer = TransferSettings::default();
        assert_eq!(transfer.batch_limit(&run), None);
        transfer.batch_small = BatchSmall::Auto;
        assert_eq!(transfer.batch_limit(&run), Some(65_536));
        transfer.if_none_match = true;
        assert_eq!(transfer.batch_limit(&run), None);
        transfer.validate_batches(&run).expect("auto gives way");
        transfer.batch_small = BatchSmall::UpTo(ByteSize(1_000));
        let error = transfer.validate_batches(&run).expect_err("refused");
        assert!(error.to_string().contains("--if-none-match"), "{error}");
    }

    #[test]
    fn sizes_that_make_no_sense_are_refused() {
        for size in [0, 2 * MIB] {
            let transfer = TransferSettings {
                batch_small: BatchSmall::UpTo(ByteSize(size)),
                ..TransferSettings::default()
            };
            assert!(transfer.validate_batches(&RunSettings::default()).is_err());
        }
    }
}
