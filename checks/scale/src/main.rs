//! Costs that grow with the number of conversations, each part a subcommand.
//!
//! ```text
//! cargo run --release -p check-scale -- replicas --conversations 1000000 --replicas 4 --minutes 60 --seed 7
//! cargo run --release -p check-scale -- stores --store postgres://user:password@127.0.0.1/db --most 10000000
//! cargo run --release -p check-scale -- picture benches/scale.txt > docs/images/growth.svg
//! ```
//!
//! The exit status is 1 if something is wrong and 64 for unknown arguments.

mod memory;
mod picture;
mod replicas;
mod sizes;
mod stores;

use std::process::ExitCode;

use messenger_handover::handover::BoxError;
use pico_args::Arguments;

const HELP: &str = "\
check-scale stores: the latency of each request to a store of 1,000, 10,000 and so on conversations, and its size

  --store S          sqlite:PATH, postgres://… or redis://…, with no conversation in it
  --most N           the last number of conversations, 100000 if not given

check-scale picture FILE: what `stores` printed, as an SVG
";

fn ended(result: Result<(), BoxError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    let command = arguments.subcommand().ok().flatten();
    match command.as_deref() {
        Some("replicas") => replicas::main(arguments),
        Some("stores") => ended(stores::run(arguments)),
        Some("picture") => ended(picture::run(arguments)),
        _ => {
            eprint!("{}\n{HELP}", replicas::HELP);
            ExitCode::from(64)
        }
    }
}
