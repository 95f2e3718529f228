//! The shared base of both hosts: the platform, virtual time, one random generator, and a trace of all events.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use messenger_handover::handover::Clock;
use messenger_handover::id::{PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;
use messenger_sim::{Delivery, Platform};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

pub const BOT: u64 = 1001;
pub const DESK: u64 = 2002;
pub const PAGE: u64 = 10;
const START: u64 = 1_790_000_000_000;

pub fn thread(user: u64) -> ThreadKey {
    ThreadKey::new(PageId::from(PAGE), UserId::from(user))
}

/// A clock that runs with tokio's virtual time, skewed from the platform's by some milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Virtual {
    began: Instant,
    skew: i64,
}

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        Timestamp::from_millis((START + passed).checked_add_signed(self.skew).unwrap())
    }
}

#[derive(Debug)]
pub struct Ground {
    platform: Mutex<Platform>,
    clock: Virtual,
    rng: Mutex<Rng>,
    /// Fault rate in per cent.
    rate: Mutex<u32>,
    loses_next: AtomicBool,
    trace: Mutex<Trace>,
    /// Signals that webhooks are queued.
    pub posted: Notify,
    /// Number of webhooks and people's acts that are still in progress.
    under_way: Mutex<usize>,
}

#[derive(Debug, Default)]
struct Trace {
    hash: DefaultHasher,
    lines: Vec<(ThreadKey, String)>,
    calls: BTreeMap<ThreadKey, usize>,
    signs: Vec<(ThreadKey, String)>,
    wrong: Vec<(ThreadKey, String)>,
}

/// Counts as in progress until it is dropped.
pub struct UnderWay<'a>(&'a Ground);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.0.under_way.lock().unwrap() -= 1;
    }
}

impl Ground {
    pub fn new(platform: Platform, rng: Rng, rate: u32) -> Self {
        Self {
            platform: Mutex::new(platform),
            clock: Virtual { began: Instant::now(), skew: 0 },
            rng: Mutex::new(rng),
            rate: Mutex::new(rate),
            loses_next: AtomicBool::new(false),
            trace: Mutex::default(),
            posted: Notify::new(),
            under_way: Mutex::new(0),
        }
    }

    /// A host's clock, skewed by this many milliseconds.
    pub fn clock(&self, skew: i64) -> Virtual {
        Virtual { skew, ..self.clock }
    }

    /// Lets the platform act, and queues its webhooks.
    pub fn platform<R>(&self, act: impl FnOnce(&mut Platform, Timestamp) -> R) -> R {
        let result = act(&mut self.platform.lock().unwrap(), self.clock.now());
        self.posted.notify_one();
        result
    }

    pub fn take_outgoing(&self) -> Vec<Delivery> {
        self.platform.lock().unwrap().take_outgoing()
    }

    pub fn rng(&self) -> MutexGuard<'_, Rng> {
        self.rng.lock().unwrap()
    }

    /// Whether a fault happens now, at this share of the fault rate.
    pub fn unlucky(&self, share_of_rate: f64) -> bool {
        let rate = f64::from(*self.rate.lock().unwrap()) / 100.0;
        rate > 0.0 && self.rng().f64() < rate * share_of_rate
    }

    /// Loses the next call, whatever the fault rate.
    pub fn lose_next(&self) {
        self.loses_next.store(true, Ordering::SeqCst);
    }

    pub fn is_lost(&self) -> bool {
        self.loses_next.swap(false, Ordering::SeqCst) || self.unlucky(0.5)
    }

    /// Ends all faults, and starts counting calls anew.
    pub fn calm(&self) {
        *self.rate.lock().unwrap() = 0;
        self.trace().calls.clear();
    }

    /// Waits for a random network latency; constant once the faults have ended.
    pub async fn way(&self) {
        let is_calm = *self.rate.lock().unwrap() == 0;
        let ms = if is_calm {
            3
        } else {
            let mut rng = self.rng();
            let longest = [2, 20, 200, 200, 3_000][rng.usize(..5)];
            rng.u64(0..=longest)
        };
        sleep(Duration::from_millis(ms)).await;
    }

    fn trace(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().unwrap()
    }

    pub fn note(&self, thread: &ThreadKey, what: std::fmt::Arguments<'_>) {
        let at = self.clock.now().as_millis() - START;
        let line = format!("{at:>8} {what}");
        let mut trace = self.trace();
        trace.hash.write(thread.user.to_string().as_bytes());
        trace.hash.write(line.as_bytes());
        trace.lines.push((thread.clone(), line));
    }

    pub fn called(&self, thread: &ThreadKey) {
        *self.trace().calls.entry(thread.clone()).or_default() += 1;
    }

    /// Records a typing indicator or a read mark that the customer sees.
    pub fn shown(&self, thread: &ThreadKey, sign: &str) {
        self.trace().signs.push((thread.clone(), sign.to_owned()));
    }

    /// The typing indicators and read marks that the customer saw, in order.
    pub fn signs(&self, thread: &ThreadKey) -> Vec<String> {
        let trace = self.trace();
        trace.signs.iter().filter(|(of, _)| of == thread).map(|(_, sign)| sign.clone()).collect()
    }

    /// Number of calls about a thread since the faults ended.
    pub fn calls(&self, thread: &ThreadKey) -> usize {
        self.trace().calls.get(thread).copied().unwrap_or_default()
    }

    /// Records a violation. Tasks use this, because a panic inside a task goes unnoticed.
    pub fn wrong(&self, thread: &ThreadKey, what: String) {
        self.trace().wrong.push((thread.clone(), what));
    }

    /// The first violation, the number of violations, and the trace of its conversation.
    pub fn verdict(&self) -> Result<(), String> {
        let trace = self.trace();
        let Some((thread, what)) = trace.wrong.first() else { return Ok(()) };
        let mut told = format!("{what} ({} wrong in all; customer {}):\n", trace.wrong.len(), thread.user);
        for (_, line) in trace.lines.iter().filter(|(of, _)| of == thread) {
            writeln!(told, "{line}").unwrap();
        }
        Err(told)
    }

    /// A hash of the trace and its number of events; equal for two identical runs.
    pub fn hash(&self) -> (u64, usize) {
        let trace = self.trace();
        (trace.hash.finish(), trace.lines.len())
    }

    pub fn begins(&self) -> UnderWay<'_> {
        *self.under_way.lock().unwrap() += 1;
        UnderWay(self)
    }

    pub fn under_way(&self) -> usize {
        *self.under_way.lock().unwrap()
    }
}
