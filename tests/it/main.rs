//! One test binary: every file of its own would link the SDK again.

mod bad_input;
mod cp;
mod env;
mod faults;
mod interfaces;
mod layout;
mod names;
mod process_faults;
mod store_contract;
mod strategies;
mod stream;
