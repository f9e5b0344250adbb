//! s3haul
pub mod config;
pub mod error;
pub mod event;
pub mod plan;
pub mod source;
pub mod store;
pub mod units;
