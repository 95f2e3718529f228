//! Integration tests: behaviour through the public API, over real HTTP where a test does not need virtual time.

#![allow(clippy::incompatible_msrv, reason = "tests use a current Rust")]

mod account;
mod bad_input;
mod cancel;
mod capture;
mod claims;
mod clocks;
mod conformance;
mod cost;
mod critical_path;
mod decide;
mod deliveries;
mod doctor;
mod engage;
mod examples;
mod flood;
mod forwarding;
mod hosts;
mod layers;
mod mailbox;
mod operation;
mod outage;
mod overload;
mod own_process;
mod page_policy;
mod payloads;
mod people;
mod places;
mod plain;
mod records;
mod references;
mod refusals;
mod refused;
mod restricted;
mod schedules;
mod secrets;
mod send;
mod signs;
mod store;
mod telling;
mod total;
mod waker;
mod workflows;
mod world;
