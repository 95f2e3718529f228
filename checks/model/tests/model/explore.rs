//! Explores a world and reports the result.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::scene::Scene;
use crate::seen::Seen;

/// The limit of explored states per world, by the variable `MODEL`: a sample by default, which takes a minute without
/// optimisation; with `all` more than any world of the normal run has; with `large` or a number for larger worlds.
fn most() -> usize {
    match std::env::var("MODEL").as_deref() {
        Ok("large") => 60_000_000,
        Ok("all") => 8_000_000,
        Ok(number) => number.parse().expect("MODEL: all, large or a number of states"),
        Err(_) => 5_000,
    }
}

/// Whether worlds are only sampled, so that expected situations may be missing.
pub fn only_samples() -> bool {
    std::env::var_os("MODEL").is_none()
}

/// Explores every schedule of a world, and returns the noteworthy situations seen. Depth first, because breadth-first
/// search of large states takes much memory; if a property fails, breadth first again for the shortest counterexample.
///
/// # Panics
/// With the counterexample, drawn, if a property does not hold.
pub fn explore(what: &str, scene: Scene) -> Vec<Seen> {
    let most = most();
    let options =
        |scene: Scene| scene.checker().threads(2).target_state_count(most).finish_when(HasDiscoveries::Any);
    let begun = Instant::now();
    let shown = scene.clone();
    let checker = options(scene).spawn_dfs().join();
    if !checker.discoveries().is_empty() {
        let shortest = options(shown.clone()).spawn_bfs().join().discoveries();
        let (property, path) = shortest.into_iter().chain(checker.discoveries()).next().unwrap();
        panic!("{what}: {property}\n{}", shown.draw(path.into_actions()));
    }
    // This count includes repeated states, so if it is below the limit, no state was left out.
    let end = if checker.state_count() < most { "exhausted" } else { "cut" };
    let (states, seconds) = (checker.unique_state_count(), begun.elapsed().as_secs_f32());
    println!("world {what}: {states} unique states, {end} ({seconds:.1} s)");
    let all = std::env::var("MODEL").is_ok_and(|what| what == "all");
    assert!(end == "exhausted" || !all, "{what} has grown too large for the normal run");
    shown.seen()
}

/// Explores a world with a defect, which must violate this property.
pub fn catch(property: &'static str, defect: &str, scene: Scene) {
    let wanted = HasDiscoveries::AllOf([property].into());
    let shown = scene.clone();
    let checker = scene.checker().threads(2).target_state_count(8_000_000).finish_when(wanted);
    let found = checker.spawn_bfs().join().discoveries();
    let names: Vec<_> = found.keys().copied().collect();
    let Some(path) = found.into_iter().find_map(|(name, path)| (name == property).then_some(path)) else {
        panic!("{defect} is not caught by {property:?}, but by {names:?}");
    };
    println!("caught: {property}: {defect}\n{}", shown.draw(path.into_actions()));
}
