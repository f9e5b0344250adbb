//! From a configuration to a server, found once for all that a command asks of it, and from that to a store.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::{BucketPolicy, ClientMode, Config, RetrySettings, StrategyKind};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Connector, Gate, ObjectStore, Retrying, Throttle, check_bucket, first_contact};
use crate::strategy::{Choice, Host};

/// What asks one thing after the other needs.
const ONE_BY_ONE: Choice = Choice {
    strategy: StrategyKind::Sequential,
    client: ClientMode::Shared,
    event_loops: 0,
    processes: 0,
    concurrency: 1,
    adapts: false,
};

/// Finds the server and the credentials that `config` names; sends nothing to the server. Who asks for several things
/// finds them once: credentials may come from a program that takes its time, or that asks somebody.
///
/// # Errors
/// As [`super::upload`] before it begins; [`ErrorKind::Interrupted`] when it is cancelled.
pub fn find_server(config: &Config, cancel: &CancellationToken) -> Result<Connector> {
    config.validate()?;
    find_server_on(&Host::new(&ONE_BY_ONE)?, config, cancel)
}

/// The same on a runtime that is there.
pub(super) fn find_server_on(host: &Host, config: &Config, cancel: &CancellationToken) -> Result<Connector> {
    let bandwidth = config.transfer.bandwidth;
    let gate = bandwidth.map(|rate| Arc::new(Throttle::new(rate)) as Arc<dyn Gate>);
    let finding = Connector::resolve(&config.store, &config.transfer, gate);
    host.runtime.block_on(unless_stopped(cancel, finding))
}

/// What comes before the first byte, given up when somebody stops the run: a helper program for credentials may
/// sleep, a server may not answer.
pub(crate) async fn unless_stopped<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::new(ErrorKind::Interrupted, "stopped before anything was sent")),
        outcome = work => outcome,
    }
}

/// A store for commands that ask one thing of a bucket (`ls`, `mb`), with the runtime that it lives on.
///
/// # Errors
/// As [`super::upload`] before it begins; the bucket itself is not looked at.
pub fn connect(config: &Config, bucket: &str) -> Result<(Arc<Host>, Connector, Arc<dyn ObjectStore>)> {
    let connector = find_server(config, &CancellationToken::new())?;
    let (host, store) = open_store(&connector, first_contact(config.transfer.retry), (bucket, 1))?;
    Ok((host, connector, store))
}

/// A store for a bucket on a server that was found, with up to so many requests in flight, and the runtime that it lives
/// on. It is as patient as `retry` says.
///
/// # Errors
/// [`ErrorKind::Internal`] when the system gives no event loop.
pub fn open_store(
    connector: &Connector,
    retry: RetrySettings,
    (bucket, connections): (&str, usize),
) -> Result<(Arc<Host>, Arc<dyn ObjectStore>)> {
    let host = Arc::new(Host::new(&ONE_BY_ONE)?);
    let store = {
        let _on_host = host.runtime.enter();
        connector.open(bucket, connections)
    };
    let store = Retrying::new(store, retry, connector.pace().clone(), Arc::new(|_| {}));
    Ok((host, Arc::new(store)))
}

/// Whether the bucket can be used, without much patience: for what begins with a long question. Makes a missing bucket where
/// `policy` says so.
///
/// # Errors
/// The server cannot be reached, the bucket does not exist or is not for these credentials.
pub fn look_at_bucket(
    connector: &Connector,
    retry: RetrySettings,
    (bucket, policy): (&str, BucketPolicy),
    cancel: &CancellationToken,
) -> Result<()> {
    let (host, store) = open_store(connector, first_contact(retry), (bucket, 1))?;
    let check = check_bucket(store.as_ref(), connector, bucket, policy);
    host.runtime.block_on(unless_stopped(cancel, check))
}
