//! The simulator as a program; see [`messenger_sim::program`].

use std::process::ExitCode;

fn main() -> ExitCode {
    messenger_sim::program::run()
}
