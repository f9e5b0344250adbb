//! What all workers of one process share: settings and the memory budget.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::file::{self, Links, ReadTrouble};
use super::task::ObjectSpec;
use crate::config::{ObjectAttributes, TransferSettings, VerifyMode};
use crate::identity::FileIdentity;
use crate::store::{Connector, ObjectProperties, SLICE_BYTES};

/// The budget counts in KiB, because a semaphore counts in 32 bits.
const BUDGET_UNIT_BYTES: u64 = 1024;
/// What is sent in slices holds one in the transport and one being read.
pub(super) const SENDING_HOLDS_BYTES: u64 = 2 * SLICE_BYTES as u64;

/// What all workers of one process share.
pub struct TransferShared {
    pub(super) settings: TransferSettings,
    attributes: Arc<ObjectAttributes>,
    pub(super) connector: Connector,
    budget: Arc<Semaphore>,
    budget_units: u32,
    /// Most units that were held at one time.
    peak_units: AtomicUsize,
    batches_failed: AtomicBool,
    /// Device and inode of what this run itself writes.
    own_outputs: Vec<(u64, u64)>,
}

impl TransferShared {
    /// Shared state with the memory budget of `settings`. Files with the device and inode of one of `own_outputs` are
    /// not read: they change while they are, and are no part of the source.
    pub fn new(settings: TransferSettings, connector: Connector, own_outputs: Vec<(u64, u64)>) -> Arc<Self> {
        let budget_units = u32::try_from(settings.memory.bytes() / BUDGET_UNIT_BYTES)
            .unwrap_or(u32::MAX)
            .max(1);
        let budget = Arc::new(Semaphore::new(budget_units as usize));
        let attributes = Arc::new(settings.attributes.clone());
        Arc::new(Self {
            settings,
            attributes,
            connector,
            budget,
            budget_units,
            peak_units: AtomicUsize::new(0),
            batches_failed: AtomicBool::new(false),
            own_outputs,
        })
    }

    /// Waits until `bytes` fit into the budget. More than the whole budget waits for all of it.
    pub async fn hold(&self, bytes: u64) -> OwnedSemaphorePermit {
        let units = u32::try_from(bytes.div_ceil(BUDGET_UNIT_BYTES))
            .unwrap_or(u32::MAX)
            .min(self.budget_units);
        let held = self.budget.clone().acquire_many_owned(units).await;
        let held_units = (self.budget_units as usize).saturating_sub(self.budget.available_permits());
        self.peak_units.fetch_max(held_units, Ordering::Relaxed);
        held.expect("the budget is never closed")
    }

    /// Most bytes of content that were held at one time.
    pub fn peak_held_bytes(&self) -> u64 {
        self.peak_units.load(Ordering::Relaxed) as u64 * BUDGET_UNIT_BYTES
    }

    /// The budget in bytes.
    pub fn budget_bytes(&self) -> u64 {
        u64::from(self.budget_units) * BUDGET_UNIT_BYTES
    }

    /// False once a batch has failed.
    pub(super) fn batches_work(&self) -> bool {
        !self.batches_failed.load(Ordering::Relaxed)
    }

    /// From now on files go one by one.
    pub(super) fn give_up_batches(&self, reason: &str) {
        if !self.batches_failed.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "a batch failed; small files go one by one from now on");
        }
    }

    /// Opens a file of the source.
    pub(super) fn open(&self, path: &Path) -> Result<(File, FileIdentity), ReadTrouble> {
        let links = if self.settings.follow_symlinks {
            Links::Follow
        } else {
            Links::Refuse
        };
        let (file, identity) = file::open(path, links)?;
        if self.own_outputs.contains(&identity.node()) {
            return Err(ReadTrouble::OwnOutput);
        }
        Ok((file, identity))
    }

    /// Device and inode of what this run itself writes.
    pub fn own_outputs(&self) -> &[(u64, u64)] {
        &self.own_outputs
    }

    /// What is checked afterwards, of an object in one piece or of parts: an answer for these proves something only where
    /// its ETag is made of theirs.
    pub(super) fn verify_mode(&self, is_of_parts: bool) -> VerifyMode {
        if self.settings.verify != VerifyMode::Auto {
            return self.settings.verify;
        }
        let capabilities = self.connector.capabilities();
        if capabilities.verifies_checksums && (capabilities.composed_etags || !is_of_parts) {
            VerifyMode::None
        } else {
            VerifyMode::Head
        }
    }

    pub(super) fn properties(
        &self,
        object: &ObjectSpec,
        identity: Option<&FileIdentity>,
    ) -> ObjectProperties {
        let content_type = match &self.attributes.content_type {
            Some(asked_for) => asked_for.clone().into(),
            None => mime_guess::from_path(&object.key)
                .first_raw()
                .unwrap_or("application/octet-stream")
                .into(),
        };
        let metadata = identity
            .map(|identity| ("mtime", identity.mtime_text()))
            .into_iter()
            .collect();
        ObjectProperties {
            attributes: self.attributes.clone(),
            content_type,
            metadata,
        }
    }
}
