//! Checks at a scale that the tests do not reach, each a subcommand.
//!
//! ```text
//! cargo run --release -p check-scale -- replicas --conversations 1000000 --replicas 4 --minutes 60 --seed 7
//! ```
//!
//! The exit status is 1 if something is wrong and 64 for unknown arguments.

mod memory;
mod replicas;

use std::process::ExitCode;

use pico_args::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    match arguments.subcommand() {
        Ok(Some(name)) if name == "replicas" => replicas::main(arguments),
        _ => {
            eprint!("{}", replicas::HELP);
            ExitCode::from(64)
        }
    }
}
