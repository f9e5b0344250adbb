//! Tests of process_faults.
