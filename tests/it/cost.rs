//! The number and size of store writes in a transfer. docs/stores.md states the figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use messenger_handover::policy::ThreadControlPolicy::{self, BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::store::{MemoryStore, Records, StoreError, ThreadStore, Write, WriteOutcome};
use messenger_handover::thread::MessageStatus;
use messenger_sim::Rules;

use crate::forwarding::{Forward, Forwarding};
use crate::world::{BOT, DESK, Ear, Host, Setup, World, thread};

/// A store that counts its writes.
#[derive(Debug, Default)]
struct Counting {
    inner: MemoryStore,
    writes: AtomicUsize,
    bytes: AtomicUsize,
}

#[async_trait]
impl Forward for Counting {
    fn inner(&self) -> &dyn ThreadStore {
        &self.inner
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        for Write { key, thread, .. } in &writes {
            let record = thread.as_ref().map(|thread| Records::new().encode(key, thread).unwrap());
            self.bytes.fetch_add(record.map_or(0, |record| record.len()), Ordering::SeqCst);
        }
        self.writes.fetch_add(writes.len(), Ordering::SeqCst);
        self.inner.compare_and_swap(writes).await
    }
}

/// The size of the conversation's record in bytes.
async fn record(host: &Host) -> usize {
    let now = host.handover.thread(&thread()).await.unwrap();
    Records::new().encode(&thread(), &now).unwrap().len()
}

/// The customer writes while the bot or nobody has control, an agent replies, and control returns to the bot.
async fn a_handover(rules: Rules, policy: ThreadControlPolicy, ear: fn() -> Ear) -> [usize; 2] {
    let stores = [Arc::new(Forwarding(Counting::default())), Arc::new(Forwarding(Counting::default()))];
    let mut setup = Setup::new(rules, policy);
    setup.ear = ear;
    setup.stores = stores.clone().map(|store| store as Arc<dyn ThreadStore>);
    let world = World::start(setup).await;
    world.customer_writes("hello");
    world.rest().await;
    world.desk.handover.open_intervention(&thread()).await.unwrap();
    world.desk.send("an answer").await.unwrap();
    world.rest().await;
    assert!(matches!(world.desk.status("an answer").await, MessageStatus::Sent { .. }));
    world.desk.handover.close_intervention(&thread()).await.unwrap();
    world.rest().await;
    let sizes = [record(&world.bot).await, record(&world.desk).await];
    let writes = stores.each_ref().map(|store| store.writes.load(Ordering::SeqCst));
    let bytes = stores.each_ref().map(|store| store.bytes.load(Ordering::SeqCst));
    println!(
        "{policy:?}: bot and desk wrote {writes:?} times, {bytes:?} bytes; a record has {sizes:?} at the end"
    );
    assert!(sizes.iter().all(|size| *size < 1_000), "{sizes:?}");
    writes
}

#[tokio::test]
async fn cost_of_a_transfer_is_few_writes() {
    for (rules, policy, notified, decided) in [
        (Rules::primary(BOT), BotPrimary, [9, 15], [6, 11]),
        (Rules::primary(DESK), EdPrimary, [5, 14], [3, 11]),
        (Rules::no_primary(), NoPrimary, [5, 15], [3, 11]),
    ] {
        for (ear, most) in [(Ear::default as fn() -> Ear, notified), (Ear::that_decides, decided)] {
            let writes = a_handover(rules.clone(), policy, ear).await;
            assert!(writes[0] <= most[0] && writes[1] <= most[1], "{policy:?}, at most {most:?}: {writes:?}");
        }
    }
}
