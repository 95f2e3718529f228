//! What the benches share: the table of figures, deliveries as the platform sends them, and what the operating
//! system says about a process.

#![allow(dead_code, reason = "each bench uses its part of it")]

pub mod deliveries;
pub mod os;
pub mod table;
