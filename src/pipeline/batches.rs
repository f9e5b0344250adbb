//! Whether small files of this run go in batches: what the settings allow, and what the server was found to do.

use super::{UploadRequest, unless_stopped};
use crate::config::BatchSmall;
use crate::error::Result;
use crate::event::DETAIL;
use crate::store::explain;
use crate::strategy::StrategyContext;
use crate::transfer::probe_batches;

/// Largest file that goes in a batch, if batches are wanted and the server takes archives apart.
pub(super) fn batch_limit(request: &UploadRequest, context: &StrategyContext) -> Result<Option<u64>> {
    let transfer = &request.config.transfer;
    let Some(limit) = transfer.batch_limit(&request.config.run) else {
        return Ok(None);
    };
    if context.choice.is_per_file() {
        return Ok(None);
    }
    let reason = match context.clients.connector().capabilities().extracts_archives {
        Some(true) => None,
        Some(false) => Some("the server was found to keep archives as they are".to_owned()),
        None => probe(request, context)?,
    };
    match reason {
        None => Ok(Some(limit)),
        Some(reason) if matches!(transfer.batch_small, BatchSmall::UpTo(_)) => {
            tracing::warn!(reason, "small files go one by one, not in batches");
            Ok(None)
        }
        Some(reason) => {
            tracing::info!(target: DETAIL, reason, "small files go one by one, not in batches");
            Ok(None)
        }
    }
}

/// Tries it out, below the target: the reason why it does not work, if it does not.
fn probe(request: &UploadRequest, context: &StrategyContext) -> Result<Option<String>> {
    let directory = request
        .target
        .key
        .rfind('/')
        .map_or("", |slash| &request.target.key[..=slash]);
    let store = context.clients.shared();
    let probe = async {
        probe_batches(store.as_ref(), &context.transfer, directory)
            .await
            .map_err(|error| explain(&error, context.clients.bucket(), context.clients.connector()))
    };
    let runtime = &context.clients.host().runtime;
    runtime.block_on(unless_stopped(&context.run.cancel, probe))
}
