//! Flags of commands that read what is stored.

use clap::Args;

use crate::config::{DEFAULT_RETRIES, RetrySettings, TransferSettings};

/// How bytes come down.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Transfer")]
pub(super) struct ReadArgs {
    /// Tries after the first; lost connections are tried for at least 75 s unless this is 0
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RETRIES, env = "S3HAUL_RETRIES")]
    retries: u32,
}

impl ReadArgs {
    pub(super) fn settings(&self, follow_symlinks: bool) -> TransferSettings {
        TransferSettings {
            follow_symlinks,
            retry: RetrySettings {
                retries: self.retries,
                ..RetrySettings::default()
            },
            ..TransferSettings::default()
        }
    }
}
