//! A store for commands that ask a bucket one thing.

use std::sync::Arc;

use crate::config::{BucketPolicy, ClientMode, Config, RetrySettings, StrategyKind};
use crate::error::Result;
use crate::store::{Connector, ObjectStore, Retrying, check_bucket, first_contact};
use crate::strategy::{Choice, Host};

/// A store for commands that ask one thing of a bucket (`ls`, `mb`), with the runtime that it lives on.
///
/// # Errors
/// As [`super::upload`] before it begins; the bucket itself is not looked at.
pub fn connect(config: &Config, bucket: &str) -> Result<(Arc<Host>, Connector, Arc<dyn ObjectStore>)> {
    let retry = first_contact(config.transfer.retry);
    open(config, bucket, 1, retry)
}

/// The same for what takes longer, with up to so many requests in flight: as patient as the settings say.
///
/// # Errors
/// As [`connect`].
pub fn connect_with(
    config: &Config,
    bucket: &str,
    connections: usize,
) -> Result<(Arc<Host>, Connector, Arc<dyn ObjectStore>)> {
    open(config, bucket, connections, config.transfer.retry)
}

fn open(
    config: &Config,
    bucket: &str,
    connections: usize,
    retry: RetrySettings,
) -> Result<(Arc<Host>, Connector, Arc<dyn ObjectStore>)> {
    config.validate()?;
    let choice = Choice {
        strategy: StrategyKind::Sequential,
        client: ClientMode::Shared,
        event_loops: 0,
        processes: 0,
        concurrency: 1,
        adapts: false,
    };
    let host = Arc::new(Host::new(&choice)?);
    let connector = host
        .runtime
        .block_on(Connector::resolve(&config.store, &config.transfer, None))?;
    let _on_host = host.runtime.enter();
    let store = connector.open(bucket, connections);
    let store = Retrying::new(store, retry, connector.pace().clone(), Arc::new(|_| {}));
    Ok((host.clone(), connector, Arc::new(store)))
}

/// Whether the bucket can be used, without much patience: for what begins with a long question.
///
/// # Errors
/// The server cannot be reached, the bucket does not exist or is not for these credentials.
pub fn look_at_bucket(config: &Config, bucket: &str) -> Result<()> {
    let (host, connector, store) = connect(config, bucket)?;
    let check = check_bucket(store.as_ref(), &connector, bucket, BucketPolicy::MustExist);
    host.runtime.block_on(check)
}
