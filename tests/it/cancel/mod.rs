//! Cancellation: every public async fn may be dropped at any moment. Each one first runs to its end; then it runs
//! again once per poll and once per millisecond of its duration, is dropped there, and the final states are compared.
//! Time is virtual, so a run that is dropped late is identical to the first one until then.

mod clients;
mod endpoints;
mod service;

use std::collections::BTreeSet;
use std::fs;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use messenger_handover::id::{AppId, ThreadKey};
use messenger_handover::policy::ThreadControlPolicy::BotPrimary;
use messenger_handover::store::ThreadStore;
use messenger_handover::thread::{Notice, Thread};
use messenger_sim::{Platform, Rules};

use crate::schedules::ground::{BOT, thread};
use crate::schedules::host::Host;
use crate::schedules::in_virtual_time;
use crate::schedules::world::{Setup, World};

/// The source files whose public async functions each have a case here.
const SOURCES: [&str; 13] = [
    "src/handover/mod.rs",
    "src/handover/sender_action.rs",
    "src/handover/backlog.rs",
    "src/handover/maintenance.rs",
    "src/webhook/endpoint.rs",
    "src/bots_api/endpoint.rs",
    "src/bots_api/client.rs",
    "src/engage/endpoint.rs",
    "src/engage/api.rs",
    "src/control.rs",
    "src/graph/client.rs",
    "src/graph/page.rs",
    "src/store/mod.rs",
];

type Doing = Pin<Box<dyn Future<Output = ()>>>;

/// The moment at which a future is dropped.
#[derive(Debug, Clone, Copy)]
enum Drop {
    Never,
    /// After this number of polls.
    Polls(usize),
    /// After this number of milliseconds, whatever the future awaits then.
    Millis(u64),
}

/// The effect that a drop may have on a function's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contract {
    /// No effect: after the first poll the work is completed.
    Carried,
    /// The work is done completely or not at all, and a later drop never undoes more of it. If the caller, who got
    /// no outcome, repeats the call, the work is done exactly once.
    DoneOrNot,
    /// The function only reads.
    Reads,
}

/// One public async function and how to call it.
struct Case {
    source: &'static str,
    name: &'static str,
    contract: Contract,
    /// Whether the bot grants requests by itself.
    trusts: bool,
    before: fn(Arc<World>) -> Doing,
    call: fn(Arc<World>) -> Doing,
}

/// The final state of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    seen: Seen,
    saved: [Arc<Thread>; 2],
}

/// The part of the final state that does not depend on timing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    owner: Option<AppId>,
    conversation: Vec<String>,
    signs: Vec<String>,
    told: [Vec<Notice>; 2],
}

fn customer() -> ThreadKey {
    thread(77)
}

/// Polls the future until it is dropped. Returns the number of polls and the output, if it completed before.
async fn poll_and_drop<T>(mut future: Pin<Box<dyn Future<Output = T> + '_>>, at: Drop) -> (usize, Option<T>) {
    let mut polls = 0;
    let most = if let Drop::Polls(most) = at { most } else { usize::MAX };
    let polling = poll_fn(|cx| {
        if polls < most {
            polls += 1;
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
        }
        if polls < most { Poll::Pending } else { Poll::Ready(None) }
    });
    let output = match at {
        Drop::Millis(ms) => {
            tokio::time::timeout(Duration::from_millis(ms), polling).await.unwrap_or_default()
        }
        _ => polling.await,
    };
    drop(future);
    (polls, output)
}

/// Runs a case. Returns the number of polls, the duration in milliseconds, whether it completed, the final state, and
/// the state after the same call was repeated.
fn run(case: &Case, at: Drop) -> (usize, u64, bool, End, Seen) {
    in_virtual_time(1, async {
        let mut setup = Setup::new(Rules::primary(BOT), BotPrimary);
        setup.bot_trusts = case.trusts;
        let world = World::start(setup, Platform::new(), Rng::with_seed(1), 0);
        let key = customer();
        world.ground.platform(|platform, now| platform.customer_writes(&key.page, &key.user, "hello", now));
        rest(&world).await;
        (case.before)(Arc::clone(&world)).await;
        let begun = tokio::time::Instant::now();
        let (polls, output) = poll_and_drop((case.call)(Arc::clone(&world)), at).await;
        let ran = u64::try_from(begun.elapsed().as_millis()).unwrap();
        rest(&world).await;
        let end = end(&world).await;
        if case.contract == Contract::DoneOrNot {
            (case.call)(Arc::clone(&world)).await;
            rest(&world).await;
        }
        world.ground.verdict().unwrap();
        (polls, ran, output.is_some(), end, seen(&world))
    })
}

/// Waits longer than any timeout in these cases.
async fn rest(world: &World) {
    tokio::time::sleep(Duration::from_mins(2)).await;
    world.settle(&[customer()], Duration::from_secs(30)).await;
}

async fn end(world: &World) -> End {
    let saved = async |host: &Host| host.kept.load(&[customer()]).await.unwrap().remove(0).thread.unwrap();
    End { seen: seen(world), saved: [saved(&world.bot).await, saved(&world.desk).await] }
}

fn seen(world: &World) -> Seen {
    let told = |host: &Host| host.book.page(&customer()).told.into_iter().map(|(_, notice)| notice).collect();
    let (bot, desk) = (told(&world.bot), told(&world.desk));
    Seen {
        owner: world.owner(&customer()),
        conversation: world.conversation(&customer()),
        signs: world.ground.signs(&customer()),
        told: [bot, desk],
    }
}

fn check(case: &Case) {
    let Case { name, contract, .. } = case;
    let (_, _, _, untouched, once) = run(case, Drop::Polls(0));
    let (polls, millis, ended, done, twice) = run(case, Drop::Never);
    assert!(ended && polls > 1 && millis > 0, "{name} is over at its first poll: nothing can be dropped");
    let acts = *contract != Contract::Reads;
    assert_eq!(done.seen != untouched.seen || done.saved != untouched.saved, acts, "{name}");
    let drops = (1..polls).map(Drop::Polls).chain((0..millis).map(Drop::Millis));
    let mut is_done = false;
    for at in drops {
        if matches!(at, Drop::Millis(0)) {
            is_done = false;
        }
        let (_, _, ended, after, again) = run(case, at);
        assert!(!ended, "{name} ended before {at:?}");
        match contract {
            Contract::Carried => assert_eq!(after, done, "{name}, dropped at {at:?}"),
            Contract::Reads => assert_eq!(after, untouched, "{name}, dropped at {at:?}"),
            Contract::DoneOrNot => {
                is_done |= after.seen != untouched.seen;
                let expected = if is_done { &done } else { &untouched };
                assert_eq!(after.seen, expected.seen, "{name}, dropped at {at:?}");
                assert_eq!(again, if is_done { &twice } else { &once }.clone(), "{name}, again after {at:?}");
            }
        }
    }
    assert!(*contract != Contract::DoneOrNot || is_done, "{name} is never done before it answers");
}

fn cases() -> Vec<Case> {
    service::cases().into_iter().chain(endpoints::cases()).collect()
}

#[test]
fn cancel_after_the_first_poll_completes_the_call() {
    service::cases().iter().for_each(check);
}

#[test]
fn cancel_request_is_done_or_not_and_can_be_repeated() {
    endpoints::cases().iter().for_each(check);
}

/// The public async functions of a source file: its own, and those of its public traits.
fn public_async(source: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(source)).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    let mut names = BTreeSet::new();
    let mut in_port = false;
    for line in text.lines() {
        in_port |=
            ["HandoverClient:", "ThreadStore:", "DeskEndpoint:"].iter().any(|port| line.contains(port));
        in_port &= line != "}";
        let name = line.trim_start().strip_prefix("pub async fn ");
        let name = name.or_else(|| line.strip_prefix("    async fn ").filter(|_| in_port));
        names.extend(name.map(|name| name.split(['(', '<']).next().unwrap().to_owned()));
    }
    names
}

#[test]
fn cancel_has_a_case_for_every_public_async_fn() {
    for source in SOURCES {
        let known = cases().into_iter().filter(|case| case.source == source).map(|case| case.name);
        let known: BTreeSet<_> = known.chain(clients::names(source)).map(ToOwned::to_owned).collect();
        assert_eq!(known, public_async(source), "{source}");
        assert!(!known.is_empty(), "{source} has none");
    }
}
