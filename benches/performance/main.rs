//! What the crate costs, as ratios between two things that are measured in one run. `docs/performance.md` says how to
//! read it. `cargo bench --bench performance -- events` runs the lines of one part.

mod events;
mod host;
mod journey;
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

/// As a host in production has one: with that of the system the same costs twice as much (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often the things that are compared are measured, one after the other: A B A B A B.
const ROUNDS: usize = 3;

/// Where criterion writes to and where its figures are read from.
fn figures() -> &'static Path {
    Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/criterion"))
}

/// One of the things that are compared.
type Measured<'a> = (&'a str, &'a mut dyn FnMut(&mut Bencher<'_>));

/// Measures things in turn. Answers the median of each in nanoseconds, for each round; nothing where criterion only
/// tries whether they run, or leaves the group out.
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

/// What criterion has just measured. It is taken away, so that nobody reads it for the figure of a later run.
fn read(group: &str, name: &str) -> Option<f64> {
    let file = figures().join(group).join(name).join("new").join("estimates.json");
    let estimates: Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
    std::fs::remove_file(file).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

/// A line that compares one of the things with another: the figures and their ratio are medians over the rounds.
fn line(what: &str, rounds: &[Vec<f64>], ours: usize, other: usize, target: table::Target) {
    if rounds.is_empty() {
        return;
    }
    let pairs: Vec<_> = rounds.iter().map(|round| (round[ours] / 1000.0, round[other] / 1000.0)).collect();
    table::rounds(what, &pairs, "µs", target);
}

/// Whether this part is asked for: all are, or those that are named.
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
    // As criterion does: without `--bench` it is only tried whether everything runs, which needs no million.
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
    if is_wanted("stores") {
        stores::run()?;
    }
    if is_wanted("journey") {
        journey::run()?;
    }
    criterion.final_summary();
    Ok(())
}
