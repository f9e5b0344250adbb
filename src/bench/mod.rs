//! Which upload strategy is best here, told honestly: what is compared, how it is measured, and what may be said of it.
//!
//! Called by the command line through [`run::run`]; calls the pipeline, never a strategy. A [`plan::Plan`] names cells over
//! workloads and profiles; [`run`] takes them group by group: a server and, for shaped profiles, a relay (processes of
//! their own), a pilot, and then blocks in which every cell runs once, in a process of its own (`arm`, `measure`). What
//! may be said of it is decided by `judge` and `stats`; a [`report::Report`] holds all of it, and [`page`] draws it.
//! Must not know: clap, printing.

pub mod arm;
mod blocks;
mod ceilings;
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
pub mod page;
pub mod plan;
pub mod presets;
pub mod profile;
pub mod recorder;
pub mod report;
pub mod run;
mod runner;
pub mod servers;
mod shaper;
mod stage;
pub mod stats;
mod toll;
mod verify;
pub mod workload;

pub use helper::helper_main;
