//! The shared base: the platform, virtual time, random numbers, the ledger, and the time that each part takes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use messenger_handover::handover::Clock;
use messenger_handover::id::{PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;
use messenger_sim::Platform;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::ledger::Ledger;

pub const BOT: u64 = 1001;
pub const DESK: u64 = 2002;
pub const PAGE: u64 = 10;
const FIRST_USER: u64 = 70_000_000_000;
const START: u64 = 1_790_000_000_000;

pub fn page() -> PageId {
    PageId::from(PAGE)
}

pub fn thread(conversation: u32) -> ThreadKey {
    ThreadKey::new(page(), UserId::from(FIRST_USER + u64::from(conversation)))
}

/// The conversation of a key.
pub fn conversation(thread: &ThreadKey) -> u32 {
    let user: u64 = thread.user.to_string().parse().unwrap_or_default();
    u32::try_from(user.saturating_sub(FIRST_USER)).unwrap_or(u32::MAX)
}

/// Milliseconds since the beginning.
pub fn since_start(at: Timestamp) -> u32 {
    u32::try_from(at.as_millis().saturating_sub(START)).unwrap_or(u32::MAX)
}

/// A clock that runs with tokio's virtual time, skewed by some milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Virtual {
    began: Instant,
    skew: i64,
}

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis((START + passed).saturating_add_signed(self.skew))
    }
}

/// Real time that a part of the program took so far. On one thread, nothing runs beside it.
#[derive(Debug, Default)]
pub struct Stopwatch(AtomicU64);

impl Stopwatch {
    pub fn time<R>(&self, work: impl FnOnce() -> R) -> R {
        let begun = std::time::Instant::now();
        let result = work();
        self.add(begun.elapsed());
        result
    }

    pub fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
pub struct Ground {
    platform: Mutex<Platform>,
    clock: Virtual,
    rng: Mutex<Rng>,
    ledger: Mutex<Ledger>,
    /// Signals that webhooks may be pending.
    pub posted: Notify,
    /// The deliveries and acts of agents that have not ended.
    under_way: AtomicUsize,
    /// The calls into the core.
    pub core: Stopwatch,
    /// The work of this program itself, without the core: who writes, bodies and their signatures.
    pub own: Stopwatch,
}

/// Counts as under way until it is dropped.
pub struct UnderWay<'a>(&'a Ground);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ground {
    pub fn new(platform: Platform, rng: Rng, ledger: Ledger) -> Self {
        Self {
            platform: Mutex::new(platform),
            clock: Virtual { began: Instant::now(), skew: 0 },
            rng: Mutex::new(rng),
            ledger: Mutex::new(ledger),
            posted: Notify::new(),
            under_way: AtomicUsize::new(0),
            core: Stopwatch::default(),
            own: Stopwatch::default(),
        }
    }

    pub fn clock(&self, skew: i64) -> Virtual {
        Virtual { skew, ..self.clock }
    }

    /// Lets the platform act. It may have webhooks afterwards.
    pub fn platform<R>(&self, act: impl FnOnce(&mut Platform, Timestamp) -> R) -> R {
        let now = self.clock.now();
        let result = self.core.time(|| act(&mut lock(&self.platform), now));
        self.posted.notify_one();
        result
    }

    /// Drops the platform with all its conversations.
    pub fn drop_platform(&self) {
        drop(std::mem::take(&mut *lock(&self.platform)));
    }

    /// Milliseconds since the beginning.
    pub fn now(&self) -> u32 {
        since_start(self.clock.now())
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    pub fn rng(&self) -> MutexGuard<'_, Rng> {
        lock(&self.rng)
    }

    /// Returns true once in `times` calls, by chance.
    pub fn once_in(&self, times: u32) -> bool {
        self.rng().u32(..times) == 0
    }

    /// Waits for a random virtual time.
    pub async fn wait(&self, ms: std::ops::Range<u64>) {
        let ms = self.rng().u64(ms);
        sleep(Duration::from_millis(ms)).await;
    }

    pub fn begins(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }
}
