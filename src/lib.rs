//! s3haul
pub mod cli;
pub mod config;
pub mod error;
pub mod event;
pub mod pipeline;
pub mod plan;
pub mod queue;
pub mod report;
pub mod server;
pub mod source;
pub mod store;
pub mod strategy;
pub mod transfer;
pub mod units;
pub mod usage;
