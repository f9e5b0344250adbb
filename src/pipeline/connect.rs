//! A store for commands that ask a bucket one thing.

use std::sync::Arc;

use crate::config::{ClientMode, Config, StrategyKind};
use crate::error::Result;
use crate::store::{Connector, ObjectStore, Retrying, first_contact};
use crate::strategy::{Choice, Host};

/// A store for commands that ask one thing of a bucket (`ls`, `mb`), with the runtime that it lives on.
///
/// # Errors
/// As [`super::upload`] before it begins; the bucket itself is not looked at.
pub fn connect(config: &Config, bucket: &str) -> Result<(Arc<Host>, Connector, Arc<dyn ObjectStore>)> {
    connect_with(config, bucket, 1)
}

/// The same, with up to so many requests in flight.
///
/// # Errors
/// As [`connect`].
pub fn connect_with(
    config: &Config,
    bucket: &str,
    connections: usize,
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
    let retry = first_contact(config.transfer.retry);
    let store = Retrying::new(store, retry, connector.pace().clone(), Arc::new(|_| {}));
    Ok((host.clone(), connector, Arc::new(store)))
}
