//! Flags of commands that read what is stored.

use clap::Args;

use crate::config::{
    DEFAULT_MEMORY, DEFAULT_MULTIPART_THRESHOLD, DEFAULT_RETRIES, RetrySettings, TransferSettings,
};
use crate::units::ByteSize;

/// How bytes come down.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Transfer")]
pub(super) struct ReadArgs {
    /// Tries after the first; lost connections are tried for at least 75 s unless this is 0
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RETRIES, env = "S3HAUL_RETRIES")]
    retries: u32,

    /// Size of a part of a large object; grows for objects that would need more than 10,000
    #[arg(long, value_name = "SIZE", default_value = "16MiB", env = "S3HAUL_PART_SIZE")]
    part_size: ByteSize,
}

impl ReadArgs {
    pub(super) fn settings(&self, follow_symlinks: bool) -> TransferSettings {
        TransferSettings {
            follow_symlinks,
            part_size: self.part_size,
            multipart_threshold: self.part_size.max(DEFAULT_MULTIPART_THRESHOLD),
            memory: DEFAULT_MEMORY.max(self.part_size),
            retry: RetrySettings {
                retries: self.retries,
                ..RetrySettings::default()
            },
            ..TransferSettings::default()
        }
    }
}
