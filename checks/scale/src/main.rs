//! What grows with the number of conversations.
//!
//! ```text
//! cargo run --release -p check-scale -- stores --store postgres://user:password@127.0.0.1/db --most 10000000
//! cargo run --release -p check-scale -- picture benches/scale.txt > docs/growth.svg
//! ```

mod picture;
mod sizes;
mod stores;

use std::process::ExitCode;

use messenger_handover::handover::BoxError;
use pico_args::Arguments;

/// As in a production host (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
  stores      the latency of each request to a store of 1,000, 10,000 and so on conversations, and its size
    --store S   sqlite:PATH, postgres://… or redis://…, with nothing in it
    --most N    the last number of conversations, 100,000 if not given
  picture FILE  what `stores` printed, as an SVG
";

fn run(mut arguments: Arguments) -> Result<(), BoxError> {
    match arguments.subcommand()?.as_deref() {
        Some("stores") => stores::run(arguments),
        Some("picture") => picture::run(arguments),
        other => Err(format!("unknown command {other:?}\n\n{HELP}").into()),
    }
}

fn main() -> ExitCode {
    match run(Arguments::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}
