//! An S3-compatible server for one machine: loopback only, durable, observable, and able to fail on
//! demand.
//!
//! Called by: the `serve` command, demos and tests, through [`EmbeddedServer::start`] and
//! [`ServerHandle`]. Must not know: any other module of the program.
//!
//! A request goes through `http` (connection), `gateway` (counting, clock, faults), the crate `s3s`
//! (protocol, signature) and `service` to the `store`: one redb file for records and small bodies,
//! plain files for the rest.
//!
//! `discard` is another server, one that keeps nothing; `relay` is the way to a server, slowed down.

mod assembly;
mod blobs;
mod body;
mod buckets;
mod checksum;
mod classify;
mod clock;
mod connection;
mod counters;
mod discard;
mod error;
mod fault;
mod fine_timer;
mod gateway;
mod handle;
mod http;
mod index;
mod ingest;
mod listing;
mod multipart;
mod objects;
mod read;
mod records;
mod relay;
mod reply;
mod service;
mod store;
mod stream;
mod tables;
mod tagging;
mod uploads;
mod view;

pub use counters::{Counters, RequestLogEntry};
pub use discard::{DiscardConfig, DiscardCounters, DiscardHandle, DiscardServer};
pub use error::ServerError;
pub use fault::{FaultAction, FaultPlan, FaultRule};
pub use handle::{EmbeddedServer, OpenUpload, ServerConfig, ServerHandle};
pub use relay::{Relay, RelayConfig, RelayCounters, RelayHandle, Shape, Stall};
