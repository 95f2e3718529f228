//! Model checking: every schedule of a small world, with the `Thread` that ships and the simulator's rules.
//!
//! Each test prints one line, `world <what is in it>: N unique states, exhausted` (or `cut`).

mod adapter;
mod world;

use std::time::Instant;

use messenger_handover::policy::ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::sim::Rules;
use stateright::{Checker, Model};

use world::{BOT, Budget, DESK, Scene};

/// So many states are looked at (many of them twice), unless `MODEL_STATES` says otherwise.
const STATES: usize = 40_000;

fn explore(what: &str, scene: Scene) {
    let most = std::env::var("MODEL_STATES").ok().and_then(|text| text.parse().ok()).unwrap_or(STATES);
    let begun = Instant::now();
    let checker = scene.checker().threads(2).target_state_count(most).spawn_dfs().join();
    let end = if checker.is_done() && checker.state_count() < most { "exhausted" } else { "cut" };
    let (states, seconds) = (checker.unique_state_count(), begun.elapsed().as_secs_f32());
    println!("world {what}: {states} unique states, {end} ({seconds:.1} s)");
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{what}: {property}\n{path}");
    }
}

fn budget() -> Budget {
    Budget { customer: 1, bot: 1, desk: 1, interventions: 1, persons: 0, faults: 1, crashes: 0 }
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
fn model_no_primary() {
    explore("no primary, handover", Scene::new(Rules::no_primary(), NoPrimary, budget()));
}

#[test]
fn model_default_bot() {
    explore("default application the bot", Scene::new(Rules::default_app(BOT), BotPrimary, budget()));
}
