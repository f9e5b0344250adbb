//! Which upload strategy is best here, told honestly: what is compared, how it is measured, and what may be said of it.
//!
//! Begun with what needs no measurement: statistics and the model, pure functions.

pub mod arm;
mod blocks;
pub mod cell;
pub mod files;
mod helper;
mod host;
mod judge;
pub mod model;
pub mod profile;
pub mod recorder;
pub mod report;
pub mod servers;
mod shaper;
pub mod stats;
mod verify;
pub mod workload;

pub use helper::helper_main;
