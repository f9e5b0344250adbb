//! The accept loop and the life of a connection.
//!
//! Called by: `handle.rs`, on the server's own thread. Must not know: S3.

use super::connection::{Connection, ConnectionControl};
use super::gateway::Gateway;
use crate::event::DETAIL;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long requests in progress have to finish once the server stops.
const GRACE: Duration = Duration::from_secs(1);
/// Pause after a failed accept, such as when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until `stop` turns true, then ends all of them.
pub(super) async fn run(listener: TcpListener, gateway: Arc<Gateway>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&gateway), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finished).await.is_err() {
        connections.shutdown().await;
    }
}

async fn serve(stream: TcpStream, gateway: Arc<Gateway>, mut stop: watch::Receiver<bool>) {
    let open = gateway.meter.connection();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::info!(target: DETAIL, %error, "cannot set TCP_NODELAY");
    }
    let control = ConnectionControl::default();
    let io = TokioIo::new(Connection::new(stream, control.clone()));
    let number = open.number;
    let service = service_fn(move |request| {
        let (gateway, control) = (Arc::clone(&gateway), control.clone());
        async move { gateway.handle(request, number, control).await }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(io, service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::info!(target: DETAIL, %error, connection = number, "connection ended");
    }
    drop(open);
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means the handle is gone, which is a stop as well.
    drop(stop.wait_for(|stopped| *stopped).await);
}
