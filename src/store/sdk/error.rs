//! The SDK's errors as ours.

use std::error::Error as StdError;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::error::chain;
use crate::store::answer::ErrorAnswer;
use crate::store::http::{causes, is_html_answer};
use crate::store::{StoreError, StoreErrorKind};

fn has_cause<T: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<T>())
}

/// See the module.
pub(super) fn convert<E>(error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            answered(service.raw(), service.err().code(), service.err().message())
        }
        SdkError::ResponseError(response) => unreadable(response.raw(), error),
        _ => unanswered(error),
    }
}

/// An answer with an error status.
fn answered(response: &HttpResponse, code: Option<&str>, message: Option<&str>) -> StoreError {
    let headers = response.headers();
    ErrorAnswer {
        status: response.status().as_u16(),
        // A modelled HEAD error has a made-up code; the status says as much.
        code: code.filter(|code| !matches!(*code, "NotFound" | "Forbidden" | "Bad Request")),
        message,
        is_html: is_html_answer(response),
        header: &|name| headers.get(name),
    }
    .into_error()
}

/// A success whose body could not be understood.
fn unreadable(response: &HttpResponse, error: &(dyn StdError + 'static)) -> StoreError {
    let kind = if has_cause::<io::Error>(error) || has_hyper_cause(error) {
        StoreErrorKind::Connection
    } else {
        StoreErrorKind::NotCredible
    };
    let text = format!("the answer cannot be understood: {}", innermost(error));
    StoreError {
        status: Some(response.status().as_u16()),
        ..StoreError::new(kind, text)
    }
}

fn has_hyper_cause(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<hyper::Error>().is_some())
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The request was not answered, or never built or signed.
fn unanswered(error: &(dyn StdError + 'static)) -> StoreError {
    if let Some(cause) = causes(error).find_map(|cause| cause.downcast_ref::<StoreError>()) {
        return cause.clone();
    }
    if let Some(cause) = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>()) {
        return StoreError::new(
            StoreErrorKind::NoCredentials,
            format!("no credentials: {}", chain(cause)),
        );
    }
    StoreError::new(
        StoreErrorKind::Refused,
        format!("the request could not be made: {}", innermost(error)),
    )
}
