//! The relay of a comparison, as a process of its own: started, asked, reset.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::helper::{Helper, Role, Serving, ToRelay};
use crate::error::{Error, ErrorKind, Result};
use crate::server::{RelayConfig, RelayCounters, Shape};

/// Time that it may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// A relay that runs. Dropping it stops it.
pub(super) struct Shaper {
    helper: Helper,
    address: String,
}

impl Shaper {
    /// A relay to `upstream`.
    pub(super) fn start(
        program: &Path,
        upstream: SocketAddr,
        shape: Shape,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let mut helper = Helper::start(program, &Role::Relay(RelayConfig { upstream, shape }))?;
        let serving: Serving = helper.receive(LIMIT, cancel)?;
        let _: SocketAddr = serving.address.parse().map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                "a relay said where it is, but not so that it is understood",
            )
            .with_source(error)
        })?;
        Ok(Self {
            helper,
            address: serving.address,
        })
    }

    /// What clients take for the server.
    pub(super) fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.helper.pid()
    }

    /// What it counted since it was last reset; it counts anew from now on.
    pub(super) fn reset(&mut self, cancel: &CancellationToken) -> Result<RelayCounters> {
        self.helper.send(&ToRelay::Reset);
        self.helper.receive(LIMIT, cancel)
    }
}
