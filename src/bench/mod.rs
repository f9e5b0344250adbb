//! Which upload strategy is best here, told honestly: what is compared, how it is measured, and what may be said of it.
//!
//! Begun with what needs no measurement: statistics and the model, pure functions.

pub mod cell;
pub mod knee;
pub mod model;
pub mod page;
pub mod profile;
pub mod report;
pub mod stats;
