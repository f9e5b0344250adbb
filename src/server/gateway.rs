//! One request from HTTP to the service and back, with counting, the clock check and faults around it.
//!
//! Called by: `http.rs` for every request. Must not know: how objects are stored.

use super::body::{CutBody, Flip, Remainder, RequestBody, flipped};
use super::classify::Target;
use super::clock;
use super::connection::ConnectionControl;
use super::counters::Meter;
use super::fault::{FaultAction, Faults};
use super::fine_timer::FineTimer;
use super::reply;
use crate::event::DETAIL;
use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use s3s::Body;
use s3s::service::S3Service;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Name in the `Server` header.
const SERVER: HeaderValue = HeaderValue::from_static("s3haul-embedded");

/// What every request needs.
pub(super) struct Gateway {
    pub(super) service: S3Service,
    pub(super) meter: Meter,
    pub(super) faults: Arc<Faults>,
    pub(super) timer: FineTimer,
    pub(super) request_number: AtomicU64,
}

/// The connection is to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("connection ended by the fault plan")]
pub(super) struct Gone;

impl Gateway {
    /// Answers a request.
    ///
    /// # Errors
    /// [`Gone`] when the fault plan wants the connection to end without an answer.
    pub(super) async fn handle(
        &self,
        request: Request<Incoming>,
        connection: u64,
        control: ConnectionControl,
    ) -> Result<Response<Body>, Gone> {
        let target = Target::of(&request);
        let mut in_flight = self.meter.request(connection, &target);
        let mut response = match self.faults.choose(&target) {
            None => self.serve(request, Flip::Never, 0).await,
            Some(action) => {
                self.meter.fault();
                tracing::info!(target: DETAIL, kind = target.kind, ?action, "injecting a fault");
                self.misbehave(action, request, &control).await?
            }
        };
        let number = self.request_number.fetch_add(1, Ordering::Relaxed);
        if let Ok(value) = HeaderValue::try_from(format!("{number:016X}")) {
            response.headers_mut().insert("x-amz-request-id", value);
        }
        response.headers_mut().insert(header::SERVER, SERVER);
        in_flight.answered(response.status());
        Ok(response)
    }

    async fn misbehave(
        &self,
        action: FaultAction,
        request: Request<Incoming>,
        control: &ConnectionControl,
    ) -> Result<Response<Body>, Gone> {
        match action {
            FaultAction::Delay { milliseconds } => {
                let due = Instant::now() + Duration::from_millis(milliseconds);
                self.timer.sleep_until(due).await;
                Ok(self.serve(request, Flip::Never, 0).await)
            }
            FaultAction::FlipBodyBit => {
                let flip = if is_chunked(request.headers()) {
                    Flip::BehindLine
                } else {
                    Flip::Next
                };
                Ok(self.serve(request, flip, 0).await)
            }
            FaultAction::SkewedClock { seconds } => Ok(self.serve(request, Flip::Never, seconds).await),
            FaultAction::CutResponse { after_bytes } => {
                let response = self.serve(request, Flip::Never, 0).await;
                Ok(response.map(|body| Body::http_body(CutBody::new(body, after_bytes))))
            }
            FaultAction::FlipResponseBit => {
                let response = self.serve(request, Flip::Never, 0).await;
                Ok(response.map(|body| Body::http_body(flipped(body))))
            }
            FaultAction::WrongEtag => Ok(reply::with_etag(
                self.serve(request, Flip::Never, 0).await,
                Some(reply::WRONG_ETAG),
            )),
            FaultAction::NoEtag => Ok(reply::with_etag(self.serve(request, Flip::Never, 0).await, None)),
            FaultAction::CompleteGarbageIn200 { body } => {
                self.serve(request, Flip::Never, 0).await;
                Ok(reply::plain(StatusCode::OK, reply::XML, body))
            }
            FaultAction::DropResponse => {
                self.serve(request, Flip::Never, 0).await;
                Err(Gone)
            }
            FaultAction::WithholdResponse => {
                self.serve(request, Flip::Never, 0).await;
                std::future::pending().await
            }
            unserved => self.refuse(unserved, request, control).await,
        }
    }

    /// The faults that keep a request from being executed.
    async fn refuse(
        &self,
        action: FaultAction,
        request: Request<Incoming>,
        control: &ConnectionControl,
    ) -> Result<Response<Body>, Gone> {
        let mut body = RequestBody::new(
            request.into_body(),
            Remainder::default(),
            self.meter.clone(),
            Flip::Never,
        );
        match action {
            FaultAction::ResetAfter { bytes } => {
                body.discard(bytes).await;
                control.reset_on_close();
                return Err(Gone);
            }
            FaultAction::StopReading { after_bytes } => {
                body.discard(after_bytes).await;
                // Holds the body, so that nothing reads on; ends with the connection.
                return std::future::pending().await;
            }
            _ => body.discard(u64::MAX).await,
        }
        match reply::refusal(action) {
            Some(response) => Ok(response),
            None => std::future::pending().await,
        }
    }

    /// Checks the clock, calls the service, and cleans up behind it.
    async fn serve(&self, mut request: Request<Incoming>, flip: Flip, skew: i64) -> Response<Body> {
        join_content_encodings(request.headers_mut());
        let remainder = Remainder::default();
        let waits = request
            .headers()
            .get(header::EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let fits = clock::fits(&request, clock::now(skew));
        let request = request.map(|body| {
            Body::http_body(RequestBody::new(
                body,
                remainder.clone(),
                self.meter.clone(),
                flip,
            ))
        });
        let mut response = if !fits {
            drop(request);
            reply::error(
                StatusCode::FORBIDDEN,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            )
        } else if uses_old_signature(&request) {
            drop(request);
            reply::error(
                StatusCode::BAD_REQUEST,
                "InvalidRequest",
                "The authorization mechanism you have provided is not supported. Please use \
                    AWS4-HMAC-SHA256.",
            )
        } else {
            self.call(request).await
        };
        if skew != 0
            && let Some(date) = clock::http_date(clock::now(skew))
        {
            response.headers_mut().insert(header::DATE, date);
        }
        remainder.drain(waits, &self.meter).await;
        reply::with_readable_xml(response)
    }

    async fn call(&self, request: Request<Body>) -> Response<Body> {
        // A request must not be able to end the server, whatever the protocol layer thinks of it.
        match AssertUnwindSafe(self.service.call(request)).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::error!(?error, "request failed");
                reply::error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalError",
                    "the request failed",
                )
            }
            Err(_) => {
                tracing::error!("request panicked");
                reply::error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalError",
                    "the request failed",
                )
            }
        }
    }
}

/// Makes one header of several `Content-Encoding` headers, which `s3s` would refuse.
///
/// Clients send two when an encoded body is also `aws-chunked`. The signature covers the joined
/// form either way.
fn join_content_encodings(headers: &mut HeaderMap) {
    let values: Vec<&[u8]> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if values.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&values.join(&b','))
    {
        headers.insert(header::CONTENT_ENCODING, joined);
    }
}

/// Signature version 2, which `s3s` would accept.
fn uses_old_signature<B>(request: &Request<B>) -> bool {
    let header = request.headers().get(header::AUTHORIZATION);
    let query = request.uri().query().unwrap_or_default();
    header.is_some_and(|value| value.as_bytes().starts_with(b"AWS "))
        || query.split('&').any(|pair| pair.starts_with("Signature="))
}

fn is_chunked(headers: &HeaderMap) -> bool {
    headers
        .get("x-amz-content-sha256")
        .is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-"))
}
