//! Requests to a store as it grows: their latency one at a time, rows per second with four at once, and the bytes of a conversation.
//!
//! All but one conversation in a thousand are at rest, as a bot's conversations are after a handover; the others have a message
//! that waits. Wake times are spread over eight days, as those of conversations that are deleted after seven to eight.

use std::sync::Arc;
use std::time::{Duration, Instant};

use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::handover::BoxError;
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{self, ThreadStore, Write, WriteOutcome};
use messenger_handover::thread::{Command, Config, Context, Handled, Input, Output, Thread};
use messenger_handover::time::Timestamp;
use messenger_handover::webhook::{Item, dangerous_parse_unverified};
use pico_args::Arguments;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::sizes::Sizes;

const FIRST: u64 = 1_000;
/// The time at which the first conversation is due, in milliseconds.
const BEGIN: u64 = 1_790_000_000_000;
const EIGHT_DAYS: u64 = 8 * 24 * 60 * 60 * 1_000;
/// Longer than the time over which wake times are spread, so that nothing is due twice.
const LEASE: Duration = Duration::from_hours(16 * 24);
/// Conversations in one request.
const BATCH: u64 = 50;
/// Requests under way when rows per second are measured.
const AT_ONCE: u64 = 4;
const SAMPLES: u64 = 200;

type Store = Arc<dyn ThreadStore>;

pub fn run(mut arguments: Arguments) -> Result<(), BoxError> {
    let url: String = arguments.value_from_str("--store")?;
    let most: u64 = arguments.opt_value_from_str("--most")?.unwrap_or(100_000);
    let rest = arguments.finish();
    if !rest.is_empty() {
        return Err(format!("unknown arguments {rest:?}").into());
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(grow(&url, most))
}

async fn grow(url: &str, most: u64) -> Result<(), BoxError> {
    let store = store::open(url).await?;
    if !store.load(&[key(0)]).await?.iter().all(|loaded| loaded.version == 0) {
        return Err("there are conversations in this store already".into());
    }
    let sizes = Sizes::of(url).await?;
    let kinds = Arc::new([at_rest(), waiting()]);
    let (name, _) = url.split_once(':').unwrap_or((url, ""));
    let (mut filled, mut size) = (0, FIRST);
    while size <= most {
        let begun = Instant::now();
        fill(&store, &kinds, filled..size).await?;
        say(name, size, "filled_rows_per_s", per_second(size - filled, begun.elapsed()));
        filled = size;
        sizes.settle().await?;
        for (what, bytes) in sizes.bytes().await? {
            say(name, size, &format!("bytes_{what}"), ratio(bytes, size));
        }
        requests(name, &store, size).await?;
        let begun = Instant::now();
        let changed = churn(&store, size).await?;
        say(name, size, "changed_rows_per_s", per_second(changed, begun.elapsed()));
        let begun = Instant::now();
        if sizes.settle().await? {
            say(name, size, "vacuum_ms", begun.elapsed().as_secs_f64() * 1_000.0);
        }
        for (what, bytes) in sizes.bytes().await? {
            say(name, size, &format!("bytes_{what}_after_changes"), ratio(bytes, size));
        }
        size *= 10;
    }
    Ok(())
}

/// One line of the report.
fn say(store: &str, size: u64, what: &str, value: f64) {
    println!("{store} {size} {what} {value:.3}");
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn ratio(value: u64, of: u64) -> f64 {
    value as f64 / of as f64
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per_second(rows: u64, time: Duration) -> f64 {
    rows as f64 / time.as_secs_f64()
}

fn key(user: u64) -> ThreadKey {
    ThreadKey::new(PageId::from(987_654_321_098_765), UserId::from(7_000_000_000_000_000 + user))
}

/// Spread evenly, in no order: neighbours in time are no neighbours in the table.
fn wake(user: u64) -> Timestamp {
    Timestamp::from_millis(BEGIN + user.wrapping_mul(0x9e37_79b9_7f4a_7c15) % EIGHT_DAYS)
}

/// A thread of a bot that gave control to the desk and got it back.
fn at_rest() -> Arc<Thread> {
    let event = |number: u64, what: Value| {
        let mut item = json!({"sender": {"id": "7"}, "recipient": {"id": "10"}, "timestamp": BEGIN + number});
        item.as_object_mut().expect("an object").extend(what.as_object().expect("an object").clone());
        item
    };
    let message = |number: u64| {
        let mid = format!(
            "m_{number:020}NEhXfYYKj8mJEMQPpz5jdCK48PnKAjSdjfipqxqMvK8ma6AC8fplwlqLP5cgXIbu7I3rBN0P0"
        );
        event(number, json!({"message": {"mid": mid, "text": "May I talk to a person, please?"}}))
    };
    let pass = |number, to: &str, from: &str| {
        let change = json!({"new_owner_app_id": to, "previous_owner_app_id": from});
        event(number, json!({"pass_thread_control": change}))
    };
    let items = vec![message(1), pass(2, "2002", "1001"), pass(3, "1001", "2002"), message(4)];
    let thread = stepped(&items);
    assert!(thread.is_at_rest());
    Arc::new(thread)
}

/// The same thread with a message that waits.
fn waiting() -> Arc<Thread> {
    let mut thread = Thread::clone(&at_rest());
    let key = MessageKey::new("reply:m_00000000000000000004").expect("a key");
    let message = OutgoingMessage::text("Thank you for waiting. A person will be with you in a moment.")
        .expect("a text");
    let _ = thread.step(
        &Context::new(&config()),
        Input::Command(Command::Send { key, message }),
        now(),
        &mut Vec::new(),
    );
    assert!(thread.needs_attention());
    Arc::new(thread)
}

fn config() -> Config {
    Config::new(AppId::from(1001), Role::Bot, ThreadControlPolicy::BotPrimary)
}

fn now() -> Timestamp {
    Timestamp::from_millis(BEGIN + 1_000)
}

fn stepped(items: &[Value]) -> Thread {
    let (config, mut thread) = (config(), Thread::new());
    let cx = Context::new(&config);
    let body = json!({"object": "page", "entry": [{"id": "10", "time": 1, "messaging": items}]});
    let parsed = dangerous_parse_unverified(body.to_string().as_bytes()).expect("a delivery");
    for item in parsed.items {
        let Item::Event { event, .. } = item else { panic!("not an event: {item:?}") };
        let mut out = Vec::new();
        let _ = thread.step(&cx, Input::Event(event), now(), &mut out);
        while let Some(output) = out.pop() {
            if let Output::Notice { id, .. } = output {
                let handled = Input::NoticeHandled { notice: id, handled: Handled::done() };
                let _ = thread.step(&cx, handled, now(), &mut out);
            }
        }
    }
    thread
}

async fn fill(
    store: &Store,
    kinds: &Arc<[Arc<Thread>; 2]>,
    users: std::ops::Range<u64>,
) -> Result<(), BoxError> {
    const ROWS: u64 = 500;
    let mut tasks = JoinSet::new();
    for part in 0..AT_ONCE {
        let (store, kinds, users) = (Arc::clone(store), Arc::clone(kinds), users.clone());
        tasks.spawn(async move {
            let starts = users.clone().step_by(usize::try_from(ROWS).unwrap_or(1));
            for start in starts.skip(usize::try_from(part)?).step_by(usize::try_from(AT_ONCE)?) {
                let write = |user: u64| {
                    let thread = Arc::clone(&kinds[usize::from(user.is_multiple_of(1_000))]);
                    Write::new(key(user), 0, 1 + fastrand::u64(..1 << 60), thread, Some(wake(user)))
                };
                let writes = (start..users.end.min(start + ROWS)).map(write).collect();
                all_written(&store.compare_and_swap(writes).await?)?;
            }
            Ok::<_, BoxError>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

fn all_written(outcomes: &[WriteOutcome]) -> Result<(), BoxError> {
    let written = outcomes.iter().all(|outcome| *outcome == WriteOutcome::Written);
    written.then_some(()).ok_or_else(|| "a write conflicts, and nobody else writes".into())
}

/// The latency of each request, one at a time.
async fn requests(name: &str, store: &Store, size: u64) -> Result<(), BoxError> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut load = Times::default();
    for _ in 0..SAMPLES {
        let keys = [key(random.u64(..size))];
        load.add(store.load(&keys)).await?;
    }
    load.say(name, size, "load_one");

    // Each time a hundred more are due than before, and then nothing is. Before the writes, which make conversations due later.
    let (mut due, mut none, mut next) = (Times::default(), Times::default(), Times::default());
    let step = (EIGHT_DAYS * 100 / size).max(1);
    let (mut found, turns) = (0, (SAMPLES / 4).min(size / 100));
    for turn in 1..=turns {
        let at = Timestamp::from_millis(BEGIN + turn * step);
        found += due.add(store.due(at, LEASE, 1_000)).await?.len() as u64;
        let early = none.add(store.due(at, LEASE, 1_000)).await?;
        if !early.is_empty() {
            return Err("leased conversations are due again".into());
        }
        next.add(store.next_due(at)).await?;
    }
    if found < turns * 50 {
        return Err(format!("only {found} were due in {turns} polls").into());
    }
    due.say(name, size, "due_hundred");
    none.say(name, size, "due_none");
    next.say(name, size, "next_due");

    let (mut load, mut save) = (Times::default(), Times::default());
    for _ in 0..SAMPLES {
        let users = some_users(&mut random, size);
        let keys: Vec<_> = users.iter().map(|user| key(*user)).collect();
        let loaded = load.add(store.load(&keys)).await?;
        all_written(&save.add(store.compare_and_swap(rewrites(&users, loaded)?)).await?)?;
    }
    load.say(name, size, "load_fifty");
    save.say(name, size, "save_fifty");

    let mut open = Times::default();
    for _ in 0..SAMPLES {
        let after = key(random.u64(..size));
        open.add(store.needing_attention(Some(&after), 100)).await?;
    }
    open.say(name, size, "open_hundred");
    Ok(())
}

fn some_users(random: &mut fastrand::Rng, size: u64) -> Vec<u64> {
    let mut users: Vec<_> = (0..BATCH).map(|_| random.u64(..size)).collect();
    users.sort_unstable();
    users.dedup();
    users
}

/// Writes each conversation as it was loaded, with a later wake time: what a customer's message does to the indexes.
fn rewrites(users: &[u64], loaded: Vec<store::Loaded>) -> Result<Vec<Write>, BoxError> {
    let rewrite = |(user, loaded): (&u64, store::Loaded)| {
        let later = wake(*user).plus(Duration::from_millis(EIGHT_DAYS + fastrand::u64(..1_000_000)));
        Ok(Write::new(key(*user), loaded.version, 1 + fastrand::u64(..1 << 60), loaded.thread?, Some(later)))
    };
    users.iter().zip(loaded).map(rewrite).collect()
}

/// Changes as many conversations as a tenth of all, at least 10,000, at most a million. Returns their number.
async fn churn(store: &Store, size: u64) -> Result<u64, BoxError> {
    let batches = (size / 10).clamp(10_000, 1_000_000) / BATCH / AT_ONCE;
    let mut tasks = JoinSet::new();
    for part in 0..AT_ONCE {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let (mut random, mut changed) = (fastrand::Rng::with_seed(part), 0);
            for _ in 0..batches {
                // Those of each task are its own, so that none conflict.
                let mut users = some_users(&mut random, size / AT_ONCE);
                for user in &mut users {
                    *user = *user * AT_ONCE + part;
                }
                let keys: Vec<_> = users.iter().map(|user| key(*user)).collect();
                let loaded = store.load(&keys).await?;
                all_written(&store.compare_and_swap(rewrites(&users, loaded)?).await?)?;
                changed += users.len() as u64;
            }
            Ok::<_, BoxError>(changed)
        });
    }
    let mut changed = 0;
    while let Some(ended) = tasks.join_next().await {
        changed += ended??;
    }
    Ok(changed)
}

/// Latencies of one kind of request, in milliseconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    async fn add<T, E>(&mut self, request: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let begun = Instant::now();
        let answer = request.await;
        self.0.push(begun.elapsed().as_secs_f64() * 1_000.0);
        answer
    }

    fn say(mut self, store: &str, size: u64, what: &str) {
        self.0.sort_by(f64::total_cmp);
        for (percent, name) in [(50, "p50"), (99, "p99")] {
            let at = (self.0.len() * percent / 100).min(self.0.len() - 1);
            say(store, size, &format!("{what}_{name}_ms"), self.0[at]);
        }
    }
}
