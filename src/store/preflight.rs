//! Before the first byte: is the server there, does it know us, is the bucket there?
//!
//! Called once a run, through a store that the run uses anyway, so that no extra connection is made.

use std::time::Duration;

use super::explain::explain;
use super::{Connector, ListRequest, ObjectStore, StoreErrorKind, StoreResult};
use crate::config::{BucketPolicy, RetrySettings};
use crate::error::Result;

/// The first contact is not given minutes: a wrong address should be said at once.
const FIRST_CONTACT: Duration = Duration::from_secs(4);

/// The limits of a first contact, made from those of the run.
pub fn first_contact(retry: RetrySettings) -> RetrySettings {
    RetrySettings {
        outage_limit: FIRST_CONTACT,
        budget: retry.budget.min(Duration::from_mins(1)),
        retries: retry.retries.min(4),
        ..retry
    }
}

/// Checks server, credentials and bucket; makes a missing bucket where `policy` says so.
///
/// # Errors
/// What is wrong, explained.
pub async fn check_bucket(
    store: &dyn ObjectStore,
    connector: &Connector,
    bucket: &str,
    policy: BucketPolicy,
) -> Result<()> {
    let outcome = match store.head_bucket().await {
        Err(error) if error.kind == StoreErrorKind::AccessDenied => why_denied(store).await,
        outcome => outcome,
    };
    let outcome = match outcome {
        Err(error) if error.kind == StoreErrorKind::NoSuchBucket && policy == BucketPolicy::Create => {
            store.create_bucket().await
        }
        outcome => outcome,
    };
    outcome.map_err(|error| explain(&error, bucket, connector))
}

/// HEAD answers carry no code, so a listing is asked for to learn one. Credentials that may write but not look
/// are enough; the first object will tell.
async fn why_denied(store: &dyn ObjectStore) -> StoreResult<()> {
    match store.list_objects(&ListRequest::default()).await {
        Err(error) if error.kind != StoreErrorKind::AccessDenied => Err(error),
        _ => Ok(()),
    }
}
