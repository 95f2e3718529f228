//! Tests of timers, health and numbers with a store in trouble.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::call::{Failure, FailureKind};
use messenger_handover::control::CallError;
use messenger_handover::handover::{Clock, Stopped, Unhealthy};
use messenger_handover::prelude::*;
use messenger_handover::store::{Loaded, StoreError, Write, WriteOutcome};
use messenger_handover::testing::{FakeClient, VirtualClock};
use messenger_handover::thread::OnUnknown;
use messenger_handover::time::Timestamp;

use crate::forwarding::{Forward, Forwarding};

const S: Duration = Duration::from_secs(1);

fn key(user: u64) -> ThreadKey {
    ThreadKey::new(PageId::from(10), UserId::from(user))
}

/// A store of which a test breaks one part.
#[derive(Debug, Default)]
struct Broken {
    inner: MemoryStore,
    /// Writes of customer 1 never end.
    hangs: AtomicBool,
    /// Reads never end.
    loads_hang: AtomicBool,
    /// Only reads are answered.
    is_read_only: AtomicBool,
}

impl Broken {
    fn check(&self) -> Result<(), StoreError> {
        let read_only = self.is_read_only.load(Ordering::SeqCst);
        if read_only { Err(StoreError::new("a replica that is read only")) } else { Ok(()) }
    }
}

#[async_trait]
impl Forward for Broken {
    fn inner(&self) -> &dyn ThreadStore {
        &self.inner
    }

    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        if self.loads_hang.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.load(keys).await
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        self.check()?;
        if self.hangs.load(Ordering::SeqCst) && writes.iter().any(|write| write.key == key(1)) {
            std::future::pending::<()>().await;
        }
        self.inner.compare_and_swap(writes).await
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        self.check()?;
        self.inner.due(now, lease, limit).await
    }
}

/// A handler that always fails, and so is notified again and again; it counts its runs.
#[derive(Default)]
struct Fails(Mutex<BTreeMap<ThreadKey, u32>>);

#[async_trait]
impl Handler for Fails {
    async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
        *self.0.lock().unwrap().entry(notification.thread.clone()).or_default() += 1;
        Err("not now".into())
    }
}

fn a_bot() -> (Arc<Forwarding<Broken>>, Arc<Fails>, FakeClient, Handover) {
    let (store, handler, platform) =
        (Arc::<Forwarding<Broken>>::default(), Arc::<Fails>::default(), FakeClient::new(1));
    let policy = ThreadControlPolicy::BotPrimary;
    let bot = Handover::builder(1, Role::Bot, policy, platform.clone(), Arc::clone(&handler));
    let bot = bot.without_desk_endpoint().on_unknown(OnUnknown::Hold);
    let bot = bot.store(Arc::clone(&store)).clock(VirtualClock::new());
    (store, handler, platform, bot.start().unwrap())
}

#[tokio::test(start_paused = true)]
async fn waker_a_conversation_whose_write_hangs_holds_up_no_other_timer() {
    let (store, handler, platform, bot) = a_bot();
    bot.events(vec![platform.customer_writes(&key(1), "x")]).await.unwrap();
    tokio::time::sleep(S / 10).await;
    store.hangs.store(true, Ordering::SeqCst);
    tokio::time::sleep(3 * S).await;
    for user in 2..5 {
        bot.events(vec![platform.customer_writes(&key(user), "x")]).await.unwrap();
    }
    let mut lag = Duration::ZERO;
    for _ in 0..120 {
        tokio::time::sleep(S).await;
        lag = lag.max(bot.stats().due_lag);
    }
    let runs = handler.0.lock().unwrap().clone();
    // After 1, 2, 4, 8, 16, 32 s and then every minute.
    assert!((2..5).all(|user| runs[&key(user)] >= 6), "{runs:?}");
    assert!(lag < 3 * S, "{lag:?}");
    assert!(bot.healthy(S).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn waker_that_may_only_read_is_unhealthy_and_its_lag_grows() {
    let (store, handler, platform, bot) = a_bot();
    bot.events(vec![platform.customer_writes(&key(1), "x")]).await.unwrap();
    bot.healthy(S).await.unwrap();
    store.is_read_only.store(true, Ordering::SeqCst);
    tokio::time::sleep(60 * S).await;
    let Err(Unhealthy::Store(why)) = bot.healthy(S).await else { panic!("it is said to be healthy") };
    assert!(why.to_string().contains("read only"), "{why}");
    let lag = bot.stats().due_lag;
    assert!(lag > 50 * S && lag < 61 * S, "{lag:?}");
    let runs = handler.0.lock().unwrap()[&key(1)];
    store.is_read_only.store(false, Ordering::SeqCst);
    tokio::time::sleep(5 * S).await;
    bot.healthy(S).await.unwrap();
    assert!(bot.stats().due_lag < 2 * S, "{:?}", bot.stats().due_lag);
    assert!(handler.0.lock().unwrap()[&key(1)] > runs);
}

#[tokio::test(start_paused = true)]
async fn waker_sees_what_an_earlier_process_left() {
    let clock = VirtualClock::new();
    let (store, _, platform, bot) = a_bot();
    for user in 0..200 {
        bot.events(vec![platform.customer_writes(&key(user), "x")]).await.unwrap();
    }
    assert!(bot.settled(S).await);
    for (most, conversations, has_more) in
        [(0, 0, true), (150, 150, true), (200, 200, false), (1_000, 200, false), (usize::MAX, 200, false)]
    {
        let backlog = bot.backlog(most).await.unwrap();
        assert_eq!(
            (backlog.conversations, backlog.notices, backlog.has_more),
            (conversations, conversations, has_more)
        );
    }
    assert_eq!(bot.stop(S).await, Stopped::Finished);
    tokio::time::sleep(3600 * S).await;
    let policy = ThreadControlPolicy::BotPrimary;
    let next = Handover::builder(1, Role::Bot, policy, platform, Fails::default()).without_desk_endpoint();
    let next = next.store(store).clock(clock).start().unwrap();
    tokio::time::sleep(S / 100).await;
    assert!(next.stats().due_lag > 3_500 * S, "{:?}", next.stats());
    tokio::time::sleep(10 * S).await;
    assert!(next.stats().handler_failures >= 200 && next.stats().due_lag < S, "{:?}", next.stats());
}

#[tokio::test(start_paused = true)]
async fn waker_or_not_a_store_that_hangs_is_counted() {
    let (store, _, platform, bot) = a_bot();
    store.loads_hang.store(true, Ordering::SeqCst);
    assert!(bot.events(vec![platform.customer_writes(&key(1), "x")]).await.is_err());
    tokio::time::sleep(200 * S).await;
    let stats = bot.stats();
    assert!(stats.store_failures > 0 && stats.store_failures == stats.store_calls, "{stats:?}");
    assert!(stats.store_time >= 30 * S, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn waker_or_not_the_backlog_counts_what_waits() {
    let (_, _, platform, bot) = a_bot();
    let send = async |user, name: &str| {
        let message = OutgoingMessage::text(name).unwrap();
        bot.send(&key(user), MessageKey::new(name).unwrap(), message).await.unwrap();
        assert!(bot.settled(S).await);
    };
    let begun = VirtualClock::new().now();
    let failure = |kind| Failure::new(kind, "on purpose");
    platform.fail_next(CallError::refused(failure(FailureKind::Transient)));
    send(1, "busy").await;
    let busy = bot.backlog(10).await.unwrap();
    assert_eq!((busy.conversations, busy.messages, busy.unknown, busy.has_more), (1, 1, 0, false));
    assert!(busy.first_expiry.unwrap() > begun);
    platform.fail_next(CallError::unknown(failure(FailureKind::Transport)));
    send(2, "unknown").await;
    send(2, "behind it").await;
    tokio::time::sleep(120 * S).await;
    let later = bot.backlog(10).await.unwrap();
    // The first was sent at its second attempt; the handler fails on what it is told of both.
    assert_eq!((later.conversations, later.messages, later.unknown), (2, 2, 1));
    assert!(later.notices >= 2 && later.first_expiry >= busy.first_expiry, "{busy:?} {later:?}");
}
