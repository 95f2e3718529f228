//! Model checking: every schedule of a small world, with the `Thread` that ships and the simulator's rules.
//!
//! `cargo test -p check-model` has a glance at each world; `MODEL=all cargo test -p check-model --profile model -- --nocapture`
//! exhausts them, in two minutes.
//!
//! Each world prints one line, `world <what is in it>: N unique states, exhausted` (or `cut`); each defect that is
//! put in on purpose one, `caught: <invariant>: <defect>`, with the schedule that shows it.

mod adapter;
mod defects;
#[path = "../../../../examples/quickstart/diagram.rs"]
#[allow(dead_code, reason = "the quickstart draws for Mermaid too")]
mod diagram;
mod draw;
mod endpoint;
mod explore;
mod hash;
mod judge;
mod scene;
mod state;
mod turn;
mod watch;
mod worlds;

/// Millions of small states are made and dropped, by two threads at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
