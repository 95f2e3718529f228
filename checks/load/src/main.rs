//! How much a host takes in: a minute of mixed traffic, as fast as the machine can, with everything accounted for.
//!
//! ```text
//! cargo run --release -p check-load -- --store memory --seconds 60 --threads 1000 --seed 7
//! cargo run --release -p check-load -- --store sqlite --seconds 60 --overload
//! ```
//!
//! The host is a bot in a process of its own, which is measured. The parent is everybody else: the simulated platform with
//! faults, its customers, and a desk. Nine deliveries in ten hold one event and the tenth holds twenty; one turn in twenty is
//! a handover to the desk and back; one message in twenty is answered.
//!
//! The simulator delivers one event at a time to an app, knows no batches, and keeps whatever was said. So what customers
//! write is made and signed here, on the channel that is right by the simulator's owner of the thread; calls, their faults,
//! echoes and events of control are the simulator's. All of it is delivered over so many connections, again where it was
//! not accepted, as Meta does: each waits for its answer, so the host decides how fast it goes.
//!
//! With `--overload` the host may have a thousand events under way (`Builder::events_at_once`), and its handler does not end
//! for ten seconds, while customers go on. What waits in a conversation behind a notice that is being told is not under way,
//! so it takes in more than a thousand: `overload.events_taken_in`.
//!
//! Conversations remember their last messages and answers, which fills up in some hundred messages each: memory is not judged
//! in a run of less than half a minute, and on a slow machine with many conversations it still grows.
//!
//! The exit status is 1 if anything was lost or doubled, if the 99th percentile of answers is beyond a second, or if memory
//! grows.

mod account;
mod child;
mod host;
#[path = "../../../benches/common/os.rs"]
mod os;
mod platform;
mod report;
mod run;
mod senders;
mod traffic;

use std::process::ExitCode;
use std::time::Duration;

use messenger_handover::handover::BoxError;
use pico_args::Arguments;

/// As a host in production has one (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
  --store S      memory or sqlite
  --seconds N    how long customers write, 60 if not given; the first five do not count
  --threads N    conversations, 1000 if not given
  --in-flight N  deliveries that wait for an answer at the same time, 64 if not given; with --overload so few that
                 their events have room in a thousand
  --seed N       who writes what, and what goes wrong
  --overload     the handler does not end for ten seconds, beginning with the sixth
";

struct Options {
    sqlite: bool,
    lasts: Duration,
    threads: usize,
    in_flight: usize,
    seed: u64,
    overload: bool,
}

fn options(mut arguments: Arguments) -> Result<Options, BoxError> {
    let store: String = arguments.value_from_str("--store")?;
    let seconds = arguments.opt_value_from_str("--seconds")?.unwrap_or(60);
    let options = Options {
        sqlite: store == "sqlite",
        lasts: Duration::from_secs(seconds),
        threads: arguments.opt_value_from_str("--threads")?.unwrap_or(1_000),
        in_flight: arguments.opt_value_from_str("--in-flight")?.unwrap_or(64),
        seed: arguments.opt_value_from_str("--seed")?.unwrap_or(1),
        overload: arguments.contains("--overload"),
    };
    let rest = arguments.finish();
    if !rest.is_empty() {
        return Err(format!("unknown arguments {rest:?}").into());
    }
    if !["memory", "sqlite"].contains(&store.as_str()) {
        return Err("--store is memory or sqlite".into());
    }
    if options.threads == 0 || options.in_flight == 0 {
        return Err("at least one conversation and one delivery".into());
    }
    let least = if options.overload { 25 } else { 10 };
    if seconds < least {
        return Err(format!("at least {least} seconds").into());
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> ExitCode {
    messenger_sim::program::log_to_stderr();
    let mut arguments = Arguments::from_env();
    if arguments.contains("--host") {
        return match host::run().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("host: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let options = match options(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("load: {error}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    match run::run(&options).await {
        Ok(figures) => {
            let wrong = figures.print();
            for why in &wrong {
                eprintln!("load: {why}");
            }
            if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}
