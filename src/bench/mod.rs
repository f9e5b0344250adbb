//! Which upload strategy is best here, told honestly: what is compared, how it is measured, and what may be said of it.
//!
//! Begun with what needs no measurement: statistics and the model, pure functions.

pub mod arm;
mod blocks;
pub mod cell;
pub mod compare;
mod conclude;
mod figures;
pub mod files;
mod ground;
mod group;
mod helper;
mod host;
mod judge;
pub mod knee;
mod lanes;
mod measure;
pub mod model;
pub mod plan;
pub mod presets;
pub mod profile;
pub mod recorder;
pub mod report;
pub mod run;
mod runner;
pub mod servers;
mod shaper;
pub mod stats;
mod verify;
pub mod workload;

pub use helper::helper_main;
