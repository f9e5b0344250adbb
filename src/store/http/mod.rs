//! HTTP/1.1 for both engines: one bounded pool a store, connections counted, answers looked at.
//!
//! Knows hyper and rustls; knows nothing of S3 but how its servers name themselves.

mod body;
mod connection;
mod ping;
mod pool;
mod smithy;
mod stream;
mod tls;

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Request, Response};

use super::{StoreError, StoreErrorKind, StoreResult};
use crate::error::chain;

pub use ping::ping;

pub(super) use body::{AnswerBody, RequestBody};
pub(super) use connection::Address;
pub(super) use pool::Pool;
pub(super) use smithy::{PooledClient, is_html_answer};
pub(super) use tls::Tls;

/// Every cause of an error, from the outside in. `io::Error` passes over what it wraps in `source()`, so its
/// inner error is taken by `get_ref`.
pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped
            .map(|inner| inner as &(dyn StdError + 'static))
            .or_else(|| error.source());
        Some(error)
    })
}

impl Pool {
    /// Sends `request`, whose URI is in origin form, to `address`, and returns the head of the answer. A
    /// connection that the server closed between requests is replaced, once, without a word: nothing of this
    /// request has gone out on it. A yes that comes before the end of the request's body counts when that has gone
    /// out too. Dropping the future closes the connection.
    pub(super) async fn send(
        self: &Arc<Self>,
        address: &Address,
        mut request: Request<RequestBody>,
    ) -> StoreResult<Response<AnswerBody>> {
        let body_is_written = request.body_mut().watch();
        let mut lease = self.lease(address).await?;
        let mut sent = self.shared.timer.as_ref().map(|_| Instant::now());
        let first = match lease.sender.try_send_request(request).await {
            Ok(response) => Ok(response),
            Err(mut error) => match error.take_message() {
                None => Err(error.into_error()),
                Some(request) => {
                    lease.renew().await?;
                    lease.sender.send_request(request).await
                }
            },
        };
        let response = first.map_err(|error| failed(&error))?;
        if let Some(written) = body_is_written
            && response.status().is_success()
        {
            let written = written.await.map_err(|_| premature())?;
            sent = sent.map(|_| written);
        }
        if let (Some(timer), Some(sent)) = (&self.shared.timer, sent) {
            timer.answered(sent.elapsed());
        }
        if self.shared.is_stranger()
            && let Some(server) = response.headers().get(http::header::SERVER)
            && let Ok(server) = server.to_str()
        {
            self.shared.met(server);
        }
        Ok(response.map(|incoming| AnswerBody::new(incoming, lease)))
    }
}

/// A yes and no chance to send the rest.
fn premature() -> StoreError {
    StoreError::new(
        StoreErrorKind::NotCredible,
        "the server said yes and closed before it had the whole body",
    )
}

/// No answer.
pub(super) fn failed(error: &hyper::Error) -> StoreError {
    // What fails in a body of ours is the reading of a file.
    let in_body = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
    if let (true, Some(error)) = (error.is_user(), in_body) {
        return StoreError::local(error);
    }
    if error.is_parse() {
        return StoreError::new(
            StoreErrorKind::NotCredible,
            format!("the answer is not HTTP: {}", chain(error)),
        );
    }
    let innermost = causes(error).last().map(ToString::to_string).unwrap_or_default();
    StoreError::new(
        StoreErrorKind::Connection,
        format!("the connection was lost: {innermost}"),
    )
}

/// True when the answer calls itself an HTML page.
pub(super) fn is_html(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|content_type| content_type.as_bytes().starts_with(b"text/html"))
}
