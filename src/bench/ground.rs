//! What the arms of a group run on: a server, a relay where there is one, a bucket. Kept from filling up.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::cell::Cell;
use super::plan::{GroupPlan, Plan};
use super::profile::Profile;
use super::servers::{Server, ServerChoice, some_errors};
use super::shaper::Shaper;
use super::verify::Bucket;
use crate::config::{PayloadSigning, StoreSettings};
use crate::error::{Error, ErrorKind, Result};

/// Bytes after which what was uploaded is removed, between two blocks: a server must not slow down because it is full.
const MOST_BYTES: u64 = 1024 * 1024 * 1024;
/// The same in objects.
const MOST_OBJECTS: u64 = 200_000;

/// See the module.
pub(super) struct Ground<'a> {
    pub(super) plan: &'a Plan,
    profile: Profile,
    expects_errors: bool,
    pub(super) server: Server,
    pub(super) shaper: Option<Shaper>,
    pub(super) bucket: Bucket,
    pub(super) cancel: CancellationToken,
    /// When the whole run began.
    pub(super) began: Instant,
    /// Objects and bytes since it was empty.
    pub(super) uploaded: (u64, u64),
}

impl<'a> Ground<'a> {
    /// Starts what `group` needs.
    ///
    /// # Errors
    /// A server or relay that does not start, or cannot be used.
    pub(super) fn set_up(
        plan: &'a Plan,
        group: &GroupPlan,
        cancel: &CancellationToken,
        began: Instant,
    ) -> Result<Self> {
        let expects_errors = group.workload.expects_errors;
        let (server, shaper, bucket) = start(plan, group.profile, expects_errors, cancel)?;
        Ok(Self {
            plan,
            profile: group.profile,
            expects_errors,
            server,
            shaper,
            bucket,
            cancel: cancel.clone(),
            began,
            uploaded: (0, 0),
        })
    }

    /// Settings of an arm of `cell`: to the relay if there is one.
    pub(super) fn store_settings(&self, cell: &Cell) -> StoreSettings {
        match &self.shaper {
            Some(shaper) if !cell.past_relay => through(&self.server, shaper),
            _ => self.server.settings.clone(),
        }
    }

    /// Between two blocks: removes what was uploaded below `prefix` if it is much. A server of our own starts anew on an
    /// empty directory: some only mark what is deleted, and clean up when nobody asked them to.
    pub(super) fn tidy_up(&mut self, prefix: &str) -> Result<()> {
        let (objects, bytes) = self.uploaded;
        if objects < MOST_OBJECTS && bytes < MOST_BYTES {
            return Ok(());
        }
        self.uploaded = (0, 0);
        if !self.server.is_own() {
            return if self.plan.keep {
                Ok(())
            } else {
                self.bucket.remove(prefix)
            };
        }
        let (server, shaper, bucket) = start(self.plan, self.profile, self.expects_errors, &self.cancel)?;
        (self.server, self.shaper, self.bucket) = (server, shaper, bucket);
        Ok(())
    }

    /// At the end: removes what was uploaded to a server that is not ours; ours goes with its data.
    pub(super) fn clean(&self, prefix: &str) -> Result<()> {
        if self.server.is_own() || self.plan.keep {
            return Ok(());
        }
        self.bucket.remove(prefix)
    }
}

/// Settings for requests to `server` through a relay to it.
pub(super) fn through(server: &Server, relay: &Shaper) -> StoreSettings {
    let mut settings = server.settings.clone();
    let path = path_of(settings.endpoint_url.as_deref());
    settings.endpoint_url = Some(format!("{}{path}", relay.endpoint_url()));
    let is_here = server.address.is_some_and(|address| address.ip().is_loopback());
    if settings.payload_signing == PayloadSigning::Auto && !is_here {
        // The relay is on loopback, the way behind it is not.
        settings.payload_signing = PayloadSigning::Always;
    }
    settings
}

/// What stands behind host and port of an endpoint.
fn path_of(endpoint_url: Option<&str>) -> String {
    let uri: Option<http::Uri> = endpoint_url.and_then(|url| url.parse().ok());
    let path = uri.map_or_else(String::new, |uri| uri.path().to_owned());
    path.trim_end_matches('/').to_owned()
}

fn start(
    plan: &Plan,
    profile: Profile,
    expects_errors: bool,
    cancel: &CancellationToken,
) -> Result<(Server, Option<Shaper>, Bucket)> {
    let (choice, faults) = if expects_errors {
        (&ServerChoice::Embedded, Some(some_errors()))
    } else {
        (&plan.server, None)
    };
    let server = Server::start(choice, plan, faults, cancel)?;
    let shaper = match (profile.shape(), server.address) {
        (None, _) => None,
        (Some(shape), Some(address)) => Some(Shaper::start(&plan.program, address, shape, cancel)?),
        (Some(_), None) => {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("profile '{profile}' needs a server that speaks plain HTTP"),
            )
            .with_hint("the relay cannot stand before TLS: use --profile raw, or an http:// endpoint"));
        }
    };
    let bucket = Bucket::new(server.config(), &plan.bucket);
    Ok((server, shaper, bucket))
}
