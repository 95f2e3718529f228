//! The time from an agent's message until the customer reads it, while the bot has control, over HTTP with the latency of
//! Graph; compared with the sum of the calls that must be made one after the other.

use std::time::{Duration, Instant};

use messenger_handover::handover::BoxError;
use messenger_handover::policy::ThreadControlPolicy::{self, BotPrimary, EdPrimary};
use messenger_handover::thread;
use messenger_sim::{Fault, FaultAction, Rules};
use tokio::runtime::Runtime;

use crate::common::table::{self, Target, median};
use crate::world::{self, BOT, DESK, Setup, World, bot};

const CALL: Duration = Duration::from_millis(50);
const TIMES: usize = 9;

async fn journey(rules: Rules, policy: ThreadControlPolicy) -> Result<f64, BoxError> {
    let world = World::start(Setup::new(rules, policy)).await;
    world.customer_writes("hello");
    world.rest().await;
    if world.owner() != Some(bot()) {
        world.desk.handover.hand_over(&world::thread(), thread::Target::App(bot())).await?;
        world.rest().await;
    }
    let mut slow = Fault::new("call", FaultAction::Delay);
    slow.ms = Some(u64::try_from(CALL.as_millis())?);
    world.sim.add_fault(slow)?;
    let begun = Instant::now();
    world.desk.send("an answer").await?;
    while world.conversation().last().is_none_or(|text| text != "an answer") {
        if begun.elapsed() > Duration::from_secs(10) {
            return Err("the customer never read it".into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(begun.elapsed().as_secs_f64())
}

pub fn run() -> Result<(), BoxError> {
    let runtime = Runtime::new()?;
    let cases = [
        ("bot primary: request, pass, send", Rules::primary(BOT), BotPrimary, 3),
        ("ED primary: take, send", Rules::primary(DESK), EdPrimary, 2),
    ];
    for (name, rules, policy, calls) in cases {
        let times: Result<Vec<_>, _> =
            (0..TIMES).map(|_| runtime.block_on(journey(rules.clone(), policy))).collect();
        let (ours, sum) = (median(times?) * 1000.0, (CALL * calls).as_secs_f64() * 1000.0);
        let what = format!("an agent's answer while the bot has control, {name}; the calls alone");
        table::line(&what, (ours, "ms"), (sum, "ms"), Target::AtMost(1.05));
    }
    Ok(())
}
