//! A load test: the throughput of a host under a minute of mixed traffic at full speed, with every message accounted for.
//!
//! ```text
//! cargo run --release -p check-load -- --store memory --seconds 60 --threads 1000 --seed 7
//! cargo run --release -p check-load -- --store sqlite --seconds 60 --overload
//! ```
//!
//! The host is a bot in a separate process, which is measured. The parent is everything else: the simulated platform with
//! faults, its customers, and a desk. Nine deliveries in ten hold one event and the tenth holds twenty; one turn in twenty is
//! a transfer to the desk and back; one message in twenty is answered.
//!
//! The simulator delivers one event at a time to an app, has no batches, and keeps every message. Therefore the load
//! generator makes and signs the customers' messages itself, on the channel that follows from the simulator's owner of the
//! thread; calls, their faults, echoes and control events come from the simulator. All deliveries go over a fixed number of
//! connections and are redelivered until accepted, as Meta does. Each connection waits for its response, so the host
//! determines the speed.
//!
//! With `--overload` the host may have 1,000 events under way (`Builder::events_at_once`), and its handler blocks for 10 s
//! while customers continue. An event that waits in a conversation behind a pending notification is not under way, so the
//! host accepts more than 1,000: `overload.events_taken_in`.
//!
//! Conversations remember their last messages, and reach their limits after some hundred messages each. Memory is therefore
//! not judged in a run of less than 30 s, and on a slow machine with many conversations it may still grow.
//!
//! The exit status is 1 if a message was lost or duplicated, if the 99th percentile of response times exceeds 1 s, or if
//! memory grows.

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

/// As in a production host (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
  --store S      memory, sqlite, or the URL of a Postgres or Redis without conversations
  --seconds N    how long customers write, 60 if not given; the first five do not count
  --threads N    conversations, 1000 if not given
  --in-flight N  deliveries that wait for an answer at the same time, 64 if not given; with --overload so few that
                 their events have room in a thousand
  --seed N       who writes what, and what goes wrong
  --overload     the handler does not end for ten seconds, beginning with the sixth
";

struct Options {
    /// `memory:`, `sqlite` for a file of its own, or a server's URL.
    store: String,
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
        store: if store == "memory" { "memory:".to_owned() } else { store },
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
