//! The memory of a million conversations of which only the owner is known, counted by the allocator; prints a line of
//! docs/performance.md.

#[path = "common/mod.rs"]
mod common;

use std::alloc::System;
use std::collections::HashMap;
use std::time::Duration;

use messenger_handover::event::{Channel, ControlChange, Event, EventKind};
use messenger_handover::handover::BoxError;
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{MemoryStore, ThreadStore, Write};
use messenger_handover::thread::{Config, Context, Input, Owner, Thread};
use messenger_handover::time::{Span, Timestamp};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Builder;

use common::deliveries::{BEGIN, FIRST_USER, PAGE};
use common::table::{self, Target};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const THREADS: u32 = 1_000_000;

/// A stored thread whose only event was a pass of control to the desk.
fn with_an_owner(user: u64) -> (Thread, Option<Timestamp>) {
    let config = Config::new(AppId::from(1001), Role::Bot, ThreadControlPolicy::BotPrimary);
    let cx = Context::new(&config);
    let now = Timestamp::from_millis(BEGIN + user);
    let desk = AppId::from(2002);
    let change = ControlChange::new(None, Some(desk.clone()));
    let kind = EventKind::PassThreadControl(change);
    let event = Event::new(Channel::Messaging, Span::at(now), kind);
    let mut thread = Thread::new();
    let _ = thread.step(&cx, Input::Event(event), now.plus(Duration::from_millis(500)), &mut Vec::new());
    assert!(thread.is_at_rest() && *thread.owner() == Owner::Other(Some(desk)));
    let wake = thread.next_wake(&cx);
    (thread, wake)
}

/// Allocated bytes per conversation since this region began.
fn each(region: &Region<'_, System>) -> f64 {
    let change = region.change();
    let taken = change.bytes_allocated - change.bytes_deallocated;
    f64::from(u32::try_from(taken / 1_000).unwrap_or(u32::MAX)) / f64::from(THREADS / 1_000)
}

fn main() -> Result<(), BoxError> {
    let (store, runtime) = (MemoryStore::new(), Builder::new_current_thread().build()?);
    let region = Region::new(ALLOCATOR);
    for user in 0..u64::from(THREADS) {
        let key = ThreadKey::new(PageId::from(PAGE), UserId::from(FIRST_USER + user));
        let (thread, wake) = with_an_owner(user);
        runtime.block_on(store.compare_and_swap(vec![Write::new(key, 0, 1, thread, wake)]))?;
    }
    let ours = each(&region);
    assert_eq!(store.len(), usize::try_from(THREADS)?);

    let mut map = HashMap::new();
    let region = Region::new(ALLOCATOR);
    for user in 0..u64::from(THREADS) {
        map.insert((PAGE, FIRST_USER + user), [7_u8; 32]);
    }
    let alternative = each(&region);
    assert_eq!(map.len(), usize::try_from(THREADS)?);

    let what = "store in memory, a million threads with only an owner; HashMap<(u64, u64), [u8; 32]>";
    println!("{}", table::HEAD);
    table::line(what, (ours, "bytes"), (alternative, "bytes"), Target::AtMost(2.0));
    Ok(())
}
