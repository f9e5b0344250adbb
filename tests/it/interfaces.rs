//! Tests of interfaces.
