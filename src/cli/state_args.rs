//! Where what is remembered from one run to the next is kept.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::base_directory::base_directory;
use super::choices::duration;
use crate::config::StoreSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::StateSettings;

/// Where what is remembered is kept, and how long to wait for who has it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "State")]
pub(super) struct StateArgs {
    /// Wait so long for another run of the same target, such as 10m [default: not at all]
    #[arg(long, value_name = "TIME", value_parser = duration, env = "S3HAUL_WAIT_LOCK")]
    wait_lock: Option<Duration>,

    #[command(flatten)]
    directory: StateDirArgs,
}

/// Where what is remembered is kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "State")]
pub(super) struct StateDirArgs {
    /// Directory for what is remembered of targets [default: s3haul below $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIR", env = "S3HAUL_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

impl StateDirArgs {
    pub(super) fn settings(&self) -> Result<StateSettings> {
        Ok(StateSettings {
            base: self.state_dir.clone().map_or_else(default_state, Ok)?,
            patience: Duration::ZERO,
        })
    }
}

impl StateArgs {
    pub(super) fn settings(&self) -> Result<StateSettings> {
        Ok(StateSettings {
            patience: self.wait_lock.unwrap_or_default(),
            ..self.directory.settings()?
        })
    }
}

/// `store` with what is known of the server that has `bucket`, if there is a place where it would be remembered.
pub(super) fn with_profile(
    store: StoreSettings,
    state: Option<&StateSettings>,
    bucket: &str,
) -> StoreSettings {
    StoreSettings {
        server_profile: state.map(|state| state.server_profile(bucket)),
        ..store
    }
}

/// Where targets are remembered unless told otherwise.
fn default_state() -> Result<PathBuf> {
    base_directory("XDG_STATE_HOME", ".local/state")
        .map(|base| base.join("s3haul"))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Configuration,
                "there is no home directory for what is remembered of targets",
            )
            .with_hint("name a directory with --state-dir DIR")
        })
}
