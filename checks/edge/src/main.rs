//! The crate's costs where HTTP is involved, as ratios in one table. Servers and callers are separate processes and
//! take turns, A B A B. The figures are the CPU time that the operating system counts for each, and for calls also the
//! time until their response.
//!
//! `cargo run --release -p check-edge`; `-- --rounds 3 --requests 2000` is quicker, and `-- --peers` compares bot frameworks of
//! other languages. `docs/performance.md` explains the figures.

mod calls;
mod child;
mod load;
mod peers;
mod served;

#[path = "../../../benches/common/mod.rs"]
mod common;

use messenger_handover::handover::BoxError;
use pico_args::Arguments;
use tokio::process::Command;

use child::Server;
use common::deliveries::{Deliveries, SECRET};
use common::table::{self, Target};

/// As in a production host; with the system's allocator the same work costs twice as much (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of customers.
const CUSTOMERS: u64 = 1_000;

struct Effort {
    rounds: usize,
    requests: usize,
}

/// The CPU time of each server per delivery, in nanoseconds, by round.
async fn webhook(servers: &[&Server], effort: &Effort, events: usize) -> Result<Vec<Vec<f64>>, BoxError> {
    let mut deliveries = Deliveries::new(CUSTOMERS);
    let requests = effort.requests / events.min(10);
    let mut rounds = Vec::new();
    // One extra round to warm up, which does not count.
    for _ in 0..=effort.rounds {
        let mut round = Vec::new();
        for server in servers {
            round.push(load::cpu_per_request(server, &mut deliveries, requests, events).await?);
        }
        rounds.push(round);
    }
    Ok(rounds.split_off(1))
}

/// The duration and the CPU time of a call, in nanoseconds, per caller and round.
async fn graph(effort: &Effort, in_flight: usize) -> Result<Vec<[(f64, f64); 2]>, BoxError> {
    let server = Server::own("graph").await?;
    let (port, in_flight) = (server.port.to_string(), in_flight.to_string());
    let calls = effort.requests.to_string();
    let mut rounds = Vec::new();
    for _ in 0..=effort.rounds {
        let mut round = [(0.0, 0.0); 2];
        for (figures, which) in round.iter_mut().zip(["typed", "raw"]) {
            let arguments =
                ["--calls", which, "--port", &port, "--in-flight", &in_flight, "--requests", &calls];
            let printed = child::output(&arguments).await?;
            let (time, cpu) = printed.trim().split_once(' ').ok_or("no figures")?;
            *figures = (time.parse()?, cpu.parse()?);
        }
        rounds.push(round);
    }
    Ok(rounds.split_off(1))
}

/// Prints a line of figures in nanoseconds.
fn line(what: &str, rounds: &[(f64, f64)], target: Target) {
    let micros: Vec<_> = rounds.iter().map(|(ours, other)| (ours / 1000.0, other / 1000.0)).collect();
    table::rounds(what, &micros, "µs", target);
}

fn column(rounds: &[Vec<f64>], of: usize, other: usize) -> Vec<(f64, f64)> {
    rounds.iter().map(|round| (round[of], round[other])).collect()
}

async fn measure(effort: Effort) -> Result<(), BoxError> {
    println!("{}", table::HEAD);
    let (ours, noop) = (Server::own("ours").await?, Server::own("noop").await?);
    let notified = Server::own("notified").await?;
    let mut node = Command::new("node");
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/node.mjs")).arg(SECRET);
    let node = Server::start(&mut node).await;
    let mut servers = vec![&ours, &noop, &notified];
    servers.extend(&node);
    let one = webhook(&servers, &effort, 1).await?;
    line("one signed event over HTTP, CPU; axum that answers 200", &column(&one, 0, 1), Target::AtMost(1.9));
    line(
        "the same, of which the handler is notified; axum that answers 200",
        &column(&one, 2, 1),
        Target::None,
    );
    match &node {
        Ok(_) => line(
            "one signed event over HTTP, CPU; node:http with HMAC and JSON.parse",
            &column(&one, 0, 3),
            Target::AtMost(0.5),
        ),
        Err(error) => eprintln!("edge: without node: {error}"),
    }
    let fifty = webhook(&servers, &effort, 50).await?;
    line("50 events in one body, CPU; axum that answers 200", &column(&fifty, 0, 1), Target::AtMost(10.0));
    line(
        "the same, of which the handler is notified; axum that answers 200",
        &column(&fifty, 2, 1),
        Target::None,
    );
    let one_by_one: Vec<_> = graph(&effort, 1).await?.iter().map(|[ours, raw]| (ours.0, raw.0)).collect();
    line("a typed Graph call, p50; raw reqwest", &one_by_one, Target::AtMost(1.05));
    let busy: Vec<_> = graph(&effort, 32).await?.iter().map(|[ours, raw]| (ours.1, raw.1)).collect();
    line("the same, CPU at 32 in flight; raw reqwest", &busy, Target::AtMost(1.25));
    Ok(())
}

fn main() -> Result<(), BoxError> {
    let mut arguments = Arguments::from_env();
    // One thread per process, as in Node: on two processors, server and caller do not compete.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(what) = arguments.opt_value_from_str::<_, String>("--serve")? {
        return runtime.block_on(served::serve(&what));
    }
    let calls: Option<String> = arguments.opt_value_from_str("--calls")?;
    let requests = arguments.opt_value_from_str("--requests")?.unwrap_or(20_000);
    if let Some(which) = calls {
        let (port, in_flight) =
            (arguments.value_from_str("--port")?, arguments.value_from_str("--in-flight")?);
        return runtime.block_on(calls::run(&which, port, in_flight, requests));
    }
    let peers = arguments.contains("--peers");
    let rounds = arguments.opt_value_from_str("--rounds")?.unwrap_or(7);
    let effort = Effort { rounds, requests };
    runtime.block_on(async { if peers { peers::measure(&effort).await } else { measure(effort).await } })
}
