//! The size of a conversation in each store, in bytes. `TEST_POSTGRES_URL` and `TEST_REDIS_URL` name the servers; the Redis
//! server must have no other users.

use std::sync::Arc;

use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::handover::BoxError;
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{PostgresStore, Records, RedisStore, SqliteStore, ThreadStore, Write};
use messenger_handover::thread::{Command, Config, Context, Input, Thread};
use messenger_handover::time::Timestamp;
use messenger_handover::webhook::{Item, dangerous_parse_unverified};
use serde_json::json;
use sqlx::{Connection, PgConnection};

const CONVERSATIONS: u64 = 20_000;
const SCHEMA: &str = "handover_sizes";

/// A thread of a desk that has control and this many waiting messages.
fn thread(user: u64, answers: u32) -> Thread {
    let config = Config::new(AppId::from(2002), Role::Desk, ThreadControlPolicy::EdPrimary);
    let (mut thread, now) = (Thread::new(), Timestamp::from_millis(1_790_000_000_000 + user));
    let mut step = |input| drop(thread.step(&Context::new(&config), input, now, &mut Vec::new()));
    let body = json!({"object": "page", "entry": [{"id": "10", "time": 1, "messaging": [{
        "sender": {"id": user.to_string()}, "recipient": {"id": "10"}, "timestamp": now.as_millis(),
        "pass_thread_control": {"new_owner_app_id": "2002", "previous_owner_app_id": "1001"}}]}]});
    let parsed = dangerous_parse_unverified(body.to_string().as_bytes()).expect("a delivery");
    for item in parsed.items {
        if let Item::Event { event, .. } = item {
            step(Input::Event(event));
        }
    }
    for answer in 0..answers {
        let key = MessageKey::new(format!("ticket-{user}-{answer}")).expect("a key");
        let text =
            "Thank you for waiting. Your parcel left our warehouse this morning, and is with you tomorrow.";
        let message = OutgoingMessage::text(text).expect("a text");
        step(Input::Command(Command::Send { key, message }));
    }
    thread
}

fn key(user: u64) -> ThreadKey {
    ThreadKey::new(PageId::from(987_654_321_098_765), UserId::from(7_000_000_000_000_000 + user))
}

async fn fill(store: Arc<dyn ThreadStore>, answers: u32) -> Result<(), BoxError> {
    for batch in 0..CONVERSATIONS / 500 {
        let wake = Some(Timestamp::from_millis(1_790_000_600_000));
        let write = |user| Write::new(key(user), 0, 1 + user, thread(user, answers), wake);
        store.compare_and_swap((batch * 500..(batch + 1) * 500).map(write).collect()).await?;
    }
    Ok(())
}

fn print(store: &str, answers: u32, bytes: u64) {
    println!("{store}, {answers} answers waiting: {} bytes", bytes / CONVERSATIONS);
}

async fn sqlite(answers: u32) -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("threads.db");
    fill(Arc::new(SqliteStore::open(&path)?), answers).await?;
    print("sqlite", answers, std::fs::metadata(path)?.len());
    Ok(())
}

async fn postgres(url: &str, answers: u32) -> Result<(), BoxError> {
    let mut db = PgConnection::connect(url).await?;
    fill(Arc::new(PostgresStore::builder(url).schema(SCHEMA).connect().await?), answers).await?;
    let size = sqlx::query_scalar("SELECT pg_total_relation_size('handover_sizes.handover_threads')");
    let size: i64 = size.fetch_one(&mut db).await?;
    sqlx::raw_sql("DROP SCHEMA handover_sizes CASCADE").execute(&mut db).await?;
    print("postgres", answers, size.unsigned_abs());
    Ok(())
}

async fn redis(url: &str, answers: u32) -> Result<(), BoxError> {
    let mut db = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut used = async || -> Result<u64, BoxError> {
        let info: redis::InfoDict = redis::cmd("INFO").arg("memory").query_async(&mut db).await?;
        info.get("used_memory").ok_or("it does not say".into())
    };
    let before = used().await?;
    let store = Arc::new(RedisStore::builder(url).prefix(SCHEMA).connect().await?);
    fill(Arc::clone(&store) as Arc<dyn ThreadStore>, answers).await?;
    let after = used().await?;
    store.forget(&(0..CONVERSATIONS).map(key).collect::<Vec<_>>()).await?;
    print("redis", answers, after.saturating_sub(before));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    for answers in [0, 3] {
        let record = Records::new().encode(&key(1), &thread(1, answers))?.len();
        println!("record, {answers} answers waiting: {record} bytes");
        sqlite(answers).await?;
        if let Ok(url) = std::env::var("TEST_POSTGRES_URL") {
            postgres(&url, answers).await?;
        }
        if let Ok(url) = std::env::var("TEST_REDIS_URL") {
            redis(&url, answers).await?;
        }
    }
    Ok(())
}
