//! The settings of an SDK client.

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::retry::{ReconnectMode, RetryConfig};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    AppName, Builder, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};

use crate::store::resolved::Resolved;

/// The settings of a client, all but its HTTP client.
pub(super) fn of_client(resolved: &Resolved) -> Builder {
    let mut builder = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(resolved.region.clone()))
        .force_path_style(!resolved.is_aws)
        .time_source(resolved.clock.clone())
        // Our own correction is reported and lasts for the run; the SDK's would be silent.
        .disable_clock_skew_correction(true)
        .identity_cache(IdentityCache::no_cache())
        .app_name(AppName::new("s3haul").expect("a plain word is an application name"))
        // Our layer retries, our watch sees stalls, our code computes checksums: see `store::retry`.
        // The pool knows itself which connections are of no more use.
        .retry_config(RetryConfig::disabled().with_reconnect_mode(ReconnectMode::ReuseAllConnections))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    builder.set_endpoint_url(resolved.endpoint_url.clone());
    match &resolved.credentials {
        Some(credentials) => builder.credentials_provider(credentials.clone()),
        None => builder.allow_no_auth(),
    }
}
