//! Long schedules of many customers through two whole services, in virtual time: the Graph client, the
//! webhook server, Engage Digital's endpoint and its client, the simulated platform, and stores, handlers,
//! lines and processes that fail at any moment. One number gives the same schedule again:
//!
//! ```sh
//! HANDOVER_SEED=7 cargo test --test it schedules
//! HANDOVER_SCHEDULES=500 cargo test --test it schedules
//! ```

mod acts;
pub mod ground;
pub mod host;
mod judge;
mod store;
mod wire;
pub mod world;

use std::time::Duration;

use fastrand::Rng;

use ground::thread;
use world::World;

/// How much is done, by how many.
#[derive(Debug, Clone, Copy)]
struct Size {
    customers: u64,
    steps: usize,
    /// What goes wrong of what could, in per cent.
    rate: u32,
}

/// Two hours: an answer waits at most half an hour for what never comes.
const LONGEST_REST: Duration = Duration::from_hours(2);

/// A runtime on this thread whose time passes when nothing else is to be done.
pub fn in_virtual_time<T>(seed: u64, future: impl Future<Output = T>) -> T {
    // What the library itself draws is drawn on this thread.
    fastrand::seed(seed);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// Plays one schedule. Gives what happened, as a hash and a number of events.
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

/// On some days more goes wrong than on others.
fn usual(seed: u64) -> Size {
    Size { customers: 200, steps: 4_000, rate: if seed.is_multiple_of(3) { 30 } else { 10 } }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn what_must_hold_holds_for_hundreds_of_customers() {
    let seeds = match number("HANDOVER_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("HANDOVER_SCHEDULES").unwrap_or(6),
    };
    let wrong: Vec<_> = seeds.filter_map(|seed| play(seed, usual(seed)).err()).collect();
    assert!(wrong.is_empty(), "{} schedules went wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn a_seed_gives_the_same_schedule_again() {
    let size = Size { customers: 40, steps: 800, rate: 10 };
    let seed = number("HANDOVER_SEED").unwrap_or(1);
    let first = play(seed, size).unwrap();
    for _ in 0..3 {
        assert_eq!(play(seed, size).unwrap(), first);
    }
    assert!(first.1 > 1_500, "{} events are no schedule", first.1);
    assert_ne!(play(seed + 1, size).unwrap(), first);
}
