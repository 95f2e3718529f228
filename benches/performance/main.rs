//! The crate's costs, as ratios between two measurements of the same run; `docs/performance.md` explains them.
//! `cargo bench --bench performance -- events` runs one part.

mod events;
mod host;
mod journey;
mod redis;
mod service;
mod simulator;
mod stores;
mod threads;

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/it/world.rs"]
mod world;

use std::path::Path;
use std::time::Duration;

use criterion::{Bencher, Criterion};
use messenger_handover::handover::BoxError;
use serde_json::Value;

use common::table;

/// As in a production host; with the system's allocator the same work costs twice as much (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of rounds in which the candidates are measured alternately: A B A B A B.
const ROUNDS: usize = 3;

/// The folder of criterion's results.
fn figures() -> &'static Path {
    Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/criterion"))
}

/// One of the compared candidates.
type Measured<'a> = (&'a str, &'a mut dyn FnMut(&mut Bencher<'_>));

/// Measures the candidates in turn. Returns the median of each in nanoseconds, for each round; empty if criterion only
/// tests that they run, or if it filters the group out.
fn in_turn(criterion: &mut Criterion, group: &str, things: &mut [Measured<'_>]) -> Vec<Vec<f64>> {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let mut timed = criterion.benchmark_group(format!("{group} {round}"));
        for (name, thing) in things.iter_mut() {
            timed.bench_function(*name, |bencher| thing(bencher));
        }
        timed.finish();
        rounds.push(things.iter().filter_map(|(name, _)| read(&format!("{group} {round}"), name)).collect());
    }
    rounds.retain(|round: &Vec<f64>| round.len() == things.len());
    rounds
}

/// Reads criterion's latest result, and deletes it so that no later run reads it again.
fn read(group: &str, name: &str) -> Option<f64> {
    let file = figures().join(group).join(name).join("new").join("estimates.json");
    let estimates: Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
    std::fs::remove_file(file).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

/// Prints a line that compares two candidates: the figures and their ratio are medians over the rounds.
fn line(what: &str, rounds: &[Vec<f64>], ours: usize, other: usize, target: table::Target) {
    if rounds.is_empty() {
        return;
    }
    let pairs: Vec<_> = rounds.iter().map(|round| (round[ours] / 1000.0, round[other] / 1000.0)).collect();
    table::rounds(what, &pairs, "µs", target);
}

/// Whether this part was selected: the named parts, or all if none is named.
fn is_wanted(part: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    named.peek().is_none() || named.any(|name| name.starts_with(part))
}

fn main() -> Result<(), BoxError> {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .output_directory(figures())
        .configure_from_args();
    println!("{}", table::HEAD);
    // As in criterion: without `--bench` the benches only run once as a test, which needs no million.
    let measures = std::env::args().any(|argument| argument == "--bench");
    let many = if measures { 1_000_000 } else { 1_000 };
    if is_wanted("events") {
        events::run(&mut criterion, many);
    }
    if is_wanted("service") {
        service::run(&mut criterion, many)?;
    }
    if is_wanted("simulator") {
        simulator::run(&mut criterion);
    }
    if !measures {
        return Ok(());
    }
    stores::run(|store| is_wanted("stores") || is_wanted(store))?;
    if is_wanted("journey") {
        journey::run()?;
    }
    criterion.final_summary();
    Ok(())
}
