//! Number of Graph calls and webhooks between an agent's message and its arrival at the customer: the minimum that
//! the protocol allows, and exactly one more call for a wrong belief.

use std::time::Duration;

use messenger_handover::id::AppId;
use messenger_handover::policy::ThreadControlPolicy::{self, BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::thread::{ClaimOrigin, MessageStatus, Target};
use messenger_sim::{ApiCall, Fault, FaultAction, Rules, Wire};

use crate::world::{BOT, DESK, Host, Setup, World, bot, desk, thread};

/// The traffic, in order, up to the call that sends this text.
fn until_it_is_sent(wires: &[Wire], text: &str) -> Vec<String> {
    let who = |app: &AppId| if *app == bot() { "bot" } else { "desk" };
    let mut path = Vec::new();
    for wire in wires {
        match wire {
            Wire::Call { app, edge, outcome, detail, .. } => {
                let refused = if outcome.is_err() { " refused" } else { "" };
                path.push(format!("{} {edge}{refused}", who(app)));
                if edge == "messages" && outcome.is_ok() && detail.as_deref() == Some(text) {
                    return path;
                }
            }
            Wire::Webhook { app, label, .. } => path.push(format!("{} hears {label}", who(app))),
            _ => {}
        }
    }
    panic!("{text} was never sent: {wires:#?}");
}

/// Changes the owner through the apps themselves, so that both are up to date.
async fn give_to(world: &World, app: &AppId) {
    let host = |app: &AppId| if *app == bot() { &world.bot } else { &world.desk };
    match world.owner() {
        Some(owner) if owner == *app => {}
        Some(owner) => {
            host(&owner).handover.hand_over(&thread(), Target::App(app.clone())).await.unwrap();
        }
        None => {
            let claimed =
                host(app).handover.claim(&thread(), ClaimOrigin::Host, Duration::from_secs(5)).await;
            assert!(claimed.is_ok(), "{claimed:?}");
            // The other app reads on standby and is up to date afterwards.
            host(app).send("an earlier answer").await.unwrap();
        }
    }
    world.rest().await;
    assert_eq!(world.owner().as_ref(), Some(app));
}

/// The customer has written, and `owner` has control.
async fn start(rules: Rules, policy: ThreadControlPolicy, may_take: bool, owner: Option<AppId>) -> World {
    let mut setup = Setup::new(rules, policy);
    setup.desk_may_take = may_take;
    let world = World::start(setup).await;
    world.customer_writes("hello");
    world.rest().await;
    if let Some(owner) = owner {
        give_to(&world, &owner).await;
    }
    world
}

async fn path(world: &World, host: &Host) -> Vec<String> {
    world.forget_wires();
    host.send("an answer").await.unwrap();
    world.rest().await;
    assert!(matches!(host.status("an answer").await, MessageStatus::Sent { .. }));
    until_it_is_sent(&world.wires(), "an answer")
}

fn owners(policy: ThreadControlPolicy) -> Rules {
    match policy {
        BotPrimary => Rules::primary(BOT),
        EdPrimary => Rules::primary(DESK),
        NoPrimary => Rules::no_primary(),
    }
}

#[tokio::test]
async fn critical_path_of_the_owner_is_one_send() {
    for policy in ThreadControlPolicy::ALL {
        let world = start(owners(policy), policy, false, Some(desk())).await;
        assert_eq!(path(&world, &world.desk).await, ["desk messages"], "{policy}");
        let world = start(owners(policy), policy, false, Some(bot())).await;
        assert_eq!(path(&world, &world.bot).await, ["bot messages"], "{policy}");
    }
}

#[tokio::test]
async fn critical_path_of_the_primary_is_take_and_send() {
    let world = start(owners(EdPrimary), EdPrimary, false, Some(bot())).await;
    // The desk does not wait for the webhook that notifies the bot.
    let path = path(&world, &world.desk).await;
    assert_eq!(calls_of(&path), ["desk take_thread_control", "desk messages"]);
}

#[tokio::test]
async fn critical_path_of_a_secondary_is_request_pass_and_send() {
    let expected = [
        "desk request_thread_control",
        "bot hears request_thread_control",
        "bot pass_thread_control",
        "desk hears pass_thread_control",
        "desk messages",
    ];
    for policy in [BotPrimary, NoPrimary] {
        let world = start(owners(policy), policy, false, Some(bot())).await;
        assert_eq!(path(&world, &world.desk).await, expected, "{policy}");
    }
}

/// The first app to send gets control; without a primary a bot requests it before it sends, and gets it at once.
#[tokio::test]
async fn critical_path_of_an_idle_thread() {
    for policy in ThreadControlPolicy::ALL {
        let world = start(Rules::no_primary(), policy, false, None).await;
        assert_eq!(path(&world, &world.desk).await, ["desk messages"], "{policy}");
    }
    let world = start(Rules::no_primary(), NoPrimary, false, None).await;
    let expected = ["bot request_thread_control", "bot hears pass_thread_control", "bot messages"];
    assert_eq!(path(&world, &world.bot).await, expected);
}

/// A message is sent on a belief, without a query first; a wrong belief costs the one refused call.
#[tokio::test]
async fn critical_path_with_a_wrong_belief_is_one_call_longer() {
    for (policy, right) in [(EdPrimary, 2), (BotPrimary, 3), (NoPrimary, 3)] {
        let world = start(owners(policy), policy, false, Some(desk())).await;
        // Control goes to the bot without a notification to the desk, not even by the response to the desk's own call.
        let mut lost = Fault::new("webhook", FaultAction::Lose);
        lost.app = Some(desk());
        world.sim.add_fault(lost).unwrap();
        let pass = ApiCall::Pass { user: thread().user, target: Some(bot()), metadata: None };
        world.sim.with_platform(|platform, now| platform.call(&desk(), &thread().page, &pass, now).unwrap());
        world.rest().await;
        world.sim.clear_faults();
        let path = path(&world, &world.desk).await;
        assert_eq!(path[0], "desk messages refused", "{policy}");
        assert_eq!(calls_of(&path).len(), right + 1, "{policy}: {path:?}");
    }
}

fn calls_of(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).filter(|step| !step.contains(" hears ")).collect()
}
