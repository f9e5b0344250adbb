//! Before the first byte: is the server there, does it know us, is the bucket there?

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::explain::explain;
use crate::config::{ClientMode, Config, RetrySettings, StrategyKind};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Connector, ObjectStore, Retrying, StoreError, StoreErrorKind};
use crate::strategy::{Choice, Clients, Host};

/// What happens when the bucket is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketPolicy {
    /// The run ends.
    MustExist,
    /// It is made.
    Create,
}

/// The first contact is not given minutes: a wrong address should be said at once.
const FIRST_CONTACT: Duration = Duration::from_secs(4);

fn first_contact(retry: RetrySettings) -> RetrySettings {
    RetrySettings {
        outage_limit: FIRST_CONTACT,
        answer_limit: retry.answer_limit.min(Duration::from_secs(30)),
        budget: retry.budget.min(Duration::from_mins(1)),
        retries: retry.retries.min(4),
        ..retry
    }
}

/// Checks server, credentials and bucket through the run's own store, so that no extra connection is made.
pub(super) fn check_bucket(clients: &Clients, policy: BucketPolicy, cancel: &CancellationToken) -> Result<()> {
    let check = async {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::new(ErrorKind::Interrupted, "stopped before anything was sent")),
            outcome = check(clients, policy) => outcome,
        }
    };
    clients.host().runtime.block_on(check)
}

async fn check(clients: &Clients, policy: BucketPolicy) -> Result<()> {
    let bucket = clients.bucket();
    let connector = clients.connector();
    let store = clients.for_first_contact(first_contact);
    let error = match store.head_bucket().await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let error = match (error.kind, policy) {
        (StoreErrorKind::NoSuchBucket, BucketPolicy::Create) => match store.create_bucket().await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        },
        (StoreErrorKind::AccessDenied, _) => match why_denied(store.as_ref()).await {
            // Credentials that may write but not look are enough; the first object will tell.
            None => return Ok(()),
            Some(error) => error,
        },
        _ => error,
    };
    Err(explain(&error, bucket, connector))
}

/// HEAD answers carry no code, so a listing is asked for to learn one. `None`: the credentials are good.
async fn why_denied(store: &dyn ObjectStore) -> Option<StoreError> {
    match store.list_objects("", false, None).await {
        Ok(_) => None,
        Err(error) if error.kind == StoreErrorKind::AccessDenied => None,
        Err(error) => Some(error),
    }
}

/// A store for commands that ask one thing of a bucket (`ls`, `mb`), with the runtime that it lives on.
///
/// # Errors
/// As [`super::upload`] before it begins; the bucket itself is not looked at.
pub fn connect(config: &Config, bucket: &str) -> Result<(Arc<Host>, Connector, Arc<dyn ObjectStore>)> {
    config.validate()?;
    let choice = Choice {
        strategy: StrategyKind::Sequential,
        client: ClientMode::Shared,
        event_loops: 0,
        processes: 0,
        concurrency: 1,
    };
    let host = Arc::new(Host::new(&choice)?);
    let connector = host.runtime.block_on(Connector::resolve(&config.store, &config.transfer))?;
    let _on_host = host.runtime.enter();
    let store = connector.open(bucket, 1)?;
    let retry = first_contact(config.transfer.retry);
    let store = Retrying::new(store, retry, connector.pace().clone(), Arc::new(|_| {}));
    Ok((host.clone(), connector, Arc::new(store)))
}
