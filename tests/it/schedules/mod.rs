//! Long random schedules of many customers through two complete services, in virtual time: the Graph client, the
//! webhook endpoint, Engage Digital's endpoint and its client, the simulated platform, and stores, handlers,
//! connections and processes that fail at any moment. A seed reproduces its schedule:
//!
//! ```sh
//! HANDOVER_SEED=7 cargo test --test it schedules
//! HANDOVER_SCHEDULES=500 cargo test --test it schedules
//! ```

mod acts;
pub mod ground;
pub mod host;
mod judge;
mod line;
mod store;
mod wire;
pub mod world;

use std::time::Duration;

use fastrand::Rng;

use ground::thread;
use world::World;

/// The size of a schedule.
#[derive(Debug, Clone, Copy)]
struct Size {
    customers: u64,
    steps: usize,
    /// Fault rate in per cent.
    rate: u32,
}

/// 2 h. Messages and claims time out after 30 min at most.
const LONGEST_REST: Duration = Duration::from_hours(2);

/// Runs a future on this thread in virtual time: the clock advances whenever all tasks wait.
pub fn in_virtual_time<T>(seed: u64, future: impl Future<Output = T>) -> T {
    // The library draws its random numbers on this thread.
    fastrand::seed(seed);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// Plays one schedule. Returns a hash of the trace and its number of events.
fn play(seed: u64, size: Size) -> Result<(u64, usize), String> {
    in_virtual_time(seed, async {
        let mut rng = Rng::with_seed(seed);
        let (setup, platform) = acts::scene(&mut rng);
        let scene = format!("{setup:?}");
        let world = World::start(setup, platform, rng, size.rate);
        acts::play(&world, size.customers, size.steps).await;
        world.ground.calm();
        let threads: Vec<_> = (1..=size.customers).map(thread).collect();
        for (side, busy) in world.settle(&threads, LONGEST_REST).await {
            let now = world.host(side).process().handover.thread(&busy).await.unwrap();
            world.ground.wrong(&busy, format!("{side:?} never comes to rest: {now:#?}"));
        }
        for thread in &threads {
            if let Err(wrong) = judge::judge(&world, thread).await {
                world.ground.wrong(thread, wrong);
            }
        }
        world.ground.verdict().map_err(|wrong| format!("seed {seed}, {scene}: {wrong}"))?;
        Ok(world.ground.hash())
    })
}

/// The usual size; every third seed has a higher fault rate.
fn usual(seed: u64) -> Size {
    Size { customers: 200, steps: 4_000, rate: if seed.is_multiple_of(3) { 30 } else { 10 } }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn schedules_keep_the_invariants_for_hundreds_of_customers() {
    let seeds = match number("HANDOVER_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("HANDOVER_SCHEDULES").unwrap_or(6),
    };
    let wrong: Vec<_> = seeds.filter_map(|seed| play(seed, usual(seed)).err()).collect();
    assert!(wrong.is_empty(), "{} schedules went wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn schedules_are_reproduced_by_their_seed() {
    let size = Size { customers: 40, steps: 800, rate: 10 };
    let seed = number("HANDOVER_SEED").unwrap_or(1);
    let first = play(seed, size).unwrap();
    for _ in 0..3 {
        assert_eq!(play(seed, size).unwrap(), first);
    }
    assert!(first.1 > 1_500, "{} events are no schedule", first.1);
    assert_ne!(play(seed + 1, size).unwrap(), first);
}
