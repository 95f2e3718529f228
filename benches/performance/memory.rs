//! What a million conversations take in memory of which only the owner is known, each kind in a process of its own.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use messenger_handover::event::{Channel, ControlChange, Event, EventKind};
use messenger_handover::handover::BoxError;
use messenger_handover::id::AppId;
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{MemoryStore, Swap, ThreadStore};
use messenger_handover::thread::{Config, Context, Input, Owner, Thread};
use messenger_handover::time::{Span, Timestamp};
use tokio::runtime::Builder;

use crate::common::deliveries::{BEGIN, FIRST_USER, PAGE};
use crate::common::os;
use crate::common::table::{self, Target};
use crate::threads::key;

const THREADS: u32 = 1_000_000;
const FILL: &str = "HANDOVER_BENCH_FILL";

/// What this process is to fill its memory with, if it is such a process.
pub fn asked_to_fill() -> Option<String> {
    std::env::var(FILL).ok()
}

/// Prints how many bytes each takes.
pub fn fill(with: &str) -> Result<(), BoxError> {
    let before = os::resident_bytes(std::process::id())?;
    if with == "ours" {
        let store = MemoryStore::new();
        let runtime = Builder::new_current_thread().build()?;
        for user in 0..u64::from(THREADS) {
            let (thread, wake) = with_an_owner(user);
            runtime.block_on(store.swap(vec![Swap::write(key(user), 0, 1, thread, wake)]))?;
        }
        assert_eq!(store.len(), usize::try_from(THREADS)?);
        print(before)?;
        drop(store);
    } else {
        let mut map = HashMap::new();
        for user in 0..u64::from(THREADS) {
            map.insert((PAGE, FIRST_USER + user), [7_u8; 32]);
        }
        assert_eq!(map.len(), usize::try_from(THREADS)?);
        print(before)?;
        drop(map);
    }
    Ok(())
}

fn print(before: u64) -> Result<(), BoxError> {
    let bytes = os::resident_bytes(std::process::id())? - before;
    println!("{}", bytes / u64::from(THREADS));
    Ok(())
}

/// As it is kept when all that was heard of it is that control was passed to the desk.
fn with_an_owner(user: u64) -> (Thread, Option<Timestamp>) {
    let config = Config::new(AppId::from(1001), Role::Bot, ThreadControlPolicy::BotPrimary);
    let cx = Context::new(&config);
    let now = Timestamp::from_millis(BEGIN + user);
    let desk = AppId::from(2002);
    let change = ControlChange { new_owner: Some(desk.clone()), ..ControlChange::default() };
    let kind = EventKind::PassThreadControl(change);
    let event = Event { channel: Channel::Messaging, at: Span::at(now), kind };
    let mut thread = Thread::new();
    let _ = thread.step(&cx, Input::Event(event), now.plus(Duration::from_millis(500)), &mut Vec::new());
    assert!(thread.is_at_rest() && *thread.owner() == Owner::Other(Some(desk)));
    let wake = thread.next_wake(&cx);
    (thread, wake)
}

pub fn run() -> Result<(), BoxError> {
    let filled = |with: &str| -> Result<f64, BoxError> {
        let output = Command::new(std::env::current_exe()?).env(FILL, with).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    };
    let what = "store in memory, a million threads with only an owner; HashMap<(u64, u64), [u8; 32]>";
    table::line(what, (filled("ours")?, "bytes"), (filled("map")?, "bytes"), Target::at_most(2.0));
    Ok(())
}
