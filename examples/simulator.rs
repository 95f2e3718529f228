//! The simulated platform on this machine, the same as `cargo run -p messenger-sim`.
//!
//! ```text
//! cargo run --example simulator -- --port 8080
//! ```

use std::process::ExitCode;

fn main() -> ExitCode {
    messenger_sim::program::run()
}
