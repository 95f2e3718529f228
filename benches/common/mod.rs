//! Shared code of the benches: the table of figures, deliveries as the platform sends them, and the operating system's
//! figures for a process.

#![allow(dead_code, reason = "each bench uses its part of it")]

pub mod deliveries;
pub mod os;
pub mod table;
