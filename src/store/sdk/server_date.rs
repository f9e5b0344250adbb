//! The server's own clock, as the `Date` header of one answer tells it.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

use crate::store::answer::parse_http_date;

/// Hand a clone to one request, and ask afterwards.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerDate(Arc<OnceLock<SystemTime>>);

impl ServerDate {
    pub(super) fn get(&self) -> Option<SystemTime> {
        self.0.get().copied()
    }
}

impl Intercept for ServerDate {
    fn name(&self) -> &'static str {
        "ServerDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date").and_then(parse_http_date) {
            let _ = self.0.set(date);
        }
        Ok(())
    }
}
