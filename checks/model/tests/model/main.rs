//! Model checking: every schedule of a small world, with the real `Thread` and the simulator's rules.
//!
//! `cargo test -p check-model` explores a sample of each world;
//! `MODEL=all cargo test -p check-model --profile model -- --nocapture` exhausts them, in three to five minutes.
//!
//! Each world prints one line, `world <contents>: N unique states, exhausted` (or `cut`); each deliberate defect prints
//! one line, `caught: <invariant>: <defect>`, with the schedule that shows it.

mod adapter;
mod budget;
mod defects;
#[path = "../../../../examples/quickstart/diagram.rs"]
#[allow(dead_code, reason = "the quickstart draws for Mermaid too")]
mod diagram;
mod draw;
mod endpoint;
mod explore;
mod hash;
mod judge;
mod notify;
mod scene;
mod seen;
mod state;
mod stories;
mod turn;
mod watch;
mod wishes;
mod worlds;

/// Fast with millions of small allocations on two threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
