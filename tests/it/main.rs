//! One test binary: every file of its own would link the SDK again.

#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "tests may, and tables of cases are long"
)]

mod backup;
mod backup_bad_input;
mod backup_daemon;
mod backup_job;
mod backup_restore;
mod backup_tend;
mod backup_year;
mod bad_input;
mod batches;
mod bench;
mod bench_cli;
mod changing_files;
mod cp;
mod discard;
mod doctor;
mod env;
mod fault_endings;
mod fault_waits;
mod faults;
mod first_answers;
mod full_disk;
mod interfaces;
mod interrupts;
mod kills;
mod layout;
mod left_behind;
mod mirror;
mod mirror_peers;
mod mirror_plan;
mod mirror_resume;
mod names;
mod odd_request;
mod odd_s3;
mod odd_server;
mod oddities;
mod oddities_addresses;
mod oddities_signing;
mod presumed_sizes;
mod process_faults;
mod refusals;
mod renamed;
mod restore;
mod restore_ends;
mod scene;
mod store_contract;
mod store_listing;
mod store_reading;
mod strategies;
mod strategy_counts;
mod stream;
mod tls;
mod tls_front;
mod unattended;
