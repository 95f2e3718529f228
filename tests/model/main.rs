//! Model checking: every schedule of a small world, with the `Thread` that ships and the simulator's rules.
//!
//! Each test prints one line, `world <what is in it>: N unique states, exhausted` (or `cut`).

mod adapter;
#[path = "../../examples/quickstart/diagram.rs"]
#[allow(dead_code, reason = "the quickstart draws for Mermaid too")]
mod diagram;
mod draw;
mod hash;
mod judge;
mod probe;
mod scene;
mod state;
mod turn;

use std::time::Instant;

use messenger_handover::policy::ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::sim::Rules;
use stateright::{Checker, Model};

use scene::{BOT, DESK, Scene};
use state::Budget;

/// Millions of small states are made and dropped, by two threads at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// So many states are looked at (many of them twice), unless `MODEL_STATES` says otherwise.
const STATES: usize = 3_000_000;

fn explore(what: &str, scene: Scene) {
    let most = std::env::var("MODEL_STATES").ok().and_then(|text| text.parse().ok()).unwrap_or(STATES);
    let begun = Instant::now();
    let checker = scene.clone().checker().threads(2).target_state_count(most).spawn_bfs().join();
    let end = if checker.state_count() < most { "exhausted" } else { "cut" };
    let (states, seconds) = (checker.unique_state_count(), begun.elapsed().as_secs_f32());
    println!(
        "world {what}: {states} unique states, {end} ({seconds:.1} s, {} looked at, depth {})",
        checker.state_count(),
        checker.max_depth()
    );
    println!("{:?}", scene.seen());
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{what}: {property}\n{}", scene.draw(path.into_actions()));
    }
}

fn budget() -> Budget {
    Budget { desk: 1, interventions: 1, ..Budget::default() }
}

#[test]
fn model_bot_primary() {
    explore("bot primary, handover", Scene::new(Rules::primary(BOT), BotPrimary, budget()));
}
#[test]
fn model_ed_primary() {
    explore("ed primary, handover", Scene::new(Rules::primary(DESK), EdPrimary, budget()));
}
#[test]
fn model_zero() {
    explore("zero", Scene::new(Rules::zero_config(), NoPrimary, budget()));
}
