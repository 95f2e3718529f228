//! Tests of the stores that need a server. `TEST_POSTGRES_URL`, `TEST_PGBOUNCER_URL` (in front of the same Postgres, in
//! transaction mode), `TEST_REDIS_URL` and `TEST_REDIS_CLUSTER_URL` name one each. A test without its server is reported as
//! ignored; with `HANDOVER_REQUIRE_STORES` none may be missing.
//!
//! Each test uses its own schema or prefix, and removes it.

#[path = "../../../../tests/it/forwarding.rs"]
mod forwarding;
mod in_turn;
mod postgres;
mod redis;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{ThreadStore, Write, WriteOutcome, conformance};
use messenger_handover::thread::{Command, Config, Context, Input, Thread};
use messenger_handover::time::Timestamp;

type Ended = Result<(), Failed>;
type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;
/// Opens another connection to the same store.
type Connect = Arc<dyn Fn() -> Connecting + Send + Sync>;
type Connecting = Pin<Box<dyn Future<Output = Result<Arc<dyn ThreadStore>, Failed>> + Send>>;
/// A test and its name.
type Test = (&'static str, fn(Connect) -> Running);

/// A name that no other test uses, nor a concurrent run.
fn a_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Fixed length, so that no name is a prefix of another.
    format!("handover_test_{:08}_{:04}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

fn key(user: u64) -> ThreadKey {
    ThreadKey::new(PageId::from(10), UserId::from(user))
}

/// A desk's thread with a waiting message.
fn thread(text: &str) -> Thread {
    let config = Config::new(AppId::from(1), Role::Desk, ThreadControlPolicy::BotPrimary);
    let (key, message) = (MessageKey::new("a").unwrap(), OutgoingMessage::text(text).unwrap());
    let mut thread = Thread::new();
    let send = Input::Command(Command::Send { key, message });
    let _ = thread.step(&Context::new(&config), send, Timestamp::from_millis(1_790_000_000_000), &mut vec![]);
    thread
}

/// All threads that need attention, listed one at a time.
async fn listed_singly(store: &dyn ThreadStore) -> Result<Vec<ThreadKey>, Failed> {
    let mut listed = Vec::new();
    while let Some(next) = store.needing_attention(listed.last(), 1).await?.pop() {
        listed.push(next);
    }
    Ok(listed)
}

async fn conforms(connect: Connect) -> Ended {
    let report = conformance::check(connect().await?).await;
    if report.is_ok() { Ok(()) } else { Err(report.to_string().into()) }
}

async fn conforms_with_two_instances(connect: Connect) -> Ended {
    let report = conformance::check(in_turn::InTurn::new([connect().await?, connect().await?])).await;
    if report.is_ok() { Ok(()) } else { Err(report.to_string().into()) }
}

async fn restart_keeps_records(connect: Connect) -> Ended {
    let wake = Some(Timestamp::from_millis(5));
    let written =
        connect().await?.compare_and_swap(vec![Write::new(key(1), 0, 7, thread("hello"), wake)]).await?;
    assert_eq!(written, [WriteOutcome::Written]);
    let store = connect().await?;
    let loaded = store.load(&[key(1)]).await?.remove(0);
    assert_eq!((loaded.version, loaded.thread?), (7, Arc::new(thread("hello"))));
    let due = store.due(Timestamp::from_millis(9), Duration::from_secs(1), 9).await?;
    assert_eq!(due, [key(1)]);
    assert_eq!(store.needing_attention(None, 9).await?, [key(1)]);
    Ok(())
}

/// Concurrent writers of the same threads wait or get a conflict, and all finish.
async fn contention_serves_all_writers(connect: Connect) -> Ended {
    let stores = [connect().await?, connect().await?];
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..60_u64 {
        let store = Arc::clone(&stores[usize::from(writer % 2 == 0)]);
        writers.spawn(async move {
            // The same conversations in different orders: the worst case for row locks.
            let mut users: Vec<u64> = (0..40).collect();
            users.rotate_left(usize::try_from(writer * 7 % 40).unwrap());
            let keys: Vec<_> = users.into_iter().map(key).collect();
            let mut written = Vec::new();
            for turn in 0..5 {
                let loaded = store.load(&keys).await?;
                let write = |(key, version): (&ThreadKey, u64)| {
                    Write::new(key.clone(), version, 1 + writer * 100 + turn, thread("x"), None)
                };
                let batch = keys.iter().zip(loaded.iter().map(|loaded| loaded.version)).map(write).collect();
                let verdicts = store.compare_and_swap(batch).await?;
                for ((key, loaded), verdict) in keys.iter().zip(&loaded).zip(verdicts) {
                    if verdict == WriteOutcome::Written {
                        written.push((key.clone(), loaded.version, 1 + writer * 100 + turn));
                    }
                }
            }
            Ok::<_, Failed>(written)
        });
    }
    let mut after = BTreeMap::new();
    while let Some(writer) = writers.join_next().await {
        for (key, expected, version) in writer?? {
            assert_eq!(after.insert((key, expected), version), None, "two were written over {expected}");
        }
    }
    // Each version was written over the previous one, up to the stored one.
    for key in (0..40).map(key) {
        let mut last = 0;
        while let Some(next) = after.remove(&(key.clone(), last)) {
            last = next;
        }
        assert_eq!(stores[0].load(&[key]).await?.remove(0).version, last);
    }
    assert_eq!(after, BTreeMap::new());
    Ok(())
}

/// Tests for every store.
const COMMON: [Test; 4] = [
    ("conforms", |connect| Box::pin(conforms(connect))),
    ("conforms_with_two_instances", |connect| Box::pin(conforms_with_two_instances(connect))),
    ("restart_keeps_records", |connect| Box::pin(restart_keeps_records(connect))),
    ("contention_serves_all_writers", |connect| Box::pin(contention_serves_all_writers(connect))),
];

/// The server that a test needs.
#[derive(Debug)]
struct Server {
    name: &'static str,
    url: Option<String>,
}

impl Server {
    fn of(name: &'static str, variable: &str) -> Self {
        let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
        assert!(
            url.is_some() || std::env::var_os("HANDOVER_REQUIRE_STORES").is_none(),
            "{variable} is not set, and HANDOVER_REQUIRE_STORES is"
        );
        Self { name, url }
    }

    /// A test that gets the server's address, in its own runtime.
    fn trial<F>(&self, name: &str, run: impl FnOnce(String) -> F + Send + 'static) -> Trial
    where
        F: Future<Output = Ended>,
    {
        let url = self.url.clone();
        let is_there = url.is_some();
        let run = move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
            runtime.block_on(run(url.unwrap_or_default()))
        };
        Trial::test(format!("{}::{name}", self.name), run).with_ignored_flag(!is_there)
    }
}

fn main() {
    let mut trials = postgres::trials(&Server::of("postgres", "TEST_POSTGRES_URL"), false);
    trials.extend(postgres::trials(&Server::of("pgbouncer", "TEST_PGBOUNCER_URL"), true));
    trials.extend(redis::trials(&Server::of("redis", "TEST_REDIS_URL"), false));
    trials.extend(redis::trials(&Server::of("redis_cluster", "TEST_REDIS_CLUSTER_URL"), true));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
