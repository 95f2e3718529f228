//! Deliveries into a durable store, compared with the same number of rows written by plain statements: one
//! compare-and-swap per row and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use messenger_handover::handover::{BoxError, Handover};
use messenger_handover::store::{PostgresStore, Records, SqliteStore};
use messenger_handover::webhook::dangerous_parse_unverified;
use rusqlite::{Connection, params};
use sqlx::postgres::PgPoolOptions;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::ROUNDS;
use crate::common::deliveries::{Deliveries, FIRST_USER, PAGE};
use crate::common::table::{self, Target, median};
use crate::host::host;
use crate::threads::{EVENTS, key};

pub const USERS: u64 = 5_000;
/// Duration of one measurement in a round.
pub const FOR: Duration = Duration::from_secs(2);
const IN_FLIGHT: usize = 32;
pub const CONNECTIONS: usize = 4;
const SCHEMA: &str = "handover_performance";

/// The result of a round: rows per second, and the latency of each operation in seconds.
pub struct Figures {
    pub rows: f64,
    times: Vec<f64>,
}

impl Figures {
    /// The figures of operations that took these times, each with this many rows, within `all`.
    #[expect(clippy::cast_precision_loss, reason = "some thousand rows")]
    pub fn of(times: Vec<f64>, rows: usize, all: Duration) -> Self {
        Self { rows: (times.len() * rows) as f64 / all.as_secs_f64(), times }
    }
}

/// The times that all these tasks took for their operations.
pub async fn times_of(mut tasks: JoinSet<Result<Vec<f64>, BoxError>>) -> Result<Vec<f64>, BoxError> {
    let mut times = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        times.extend(ended??);
    }
    Ok(times)
}

/// Submits deliveries, `in_flight` at a time, and waits at the end until all resulting work is saved.
pub async fn deliver(
    host: &Handover,
    seed: u64,
    in_flight: usize,
    events: usize,
) -> Result<Figures, BoxError> {
    let mut senders = JoinSet::new();
    let begun = Instant::now();
    for sender in 0..in_flight {
        let host = host.clone();
        let mut deliveries = Deliveries::of(USERS, seed * 1_000 + sender as u64);
        senders.spawn(async move {
            let mut times = Vec::new();
            while begun.elapsed() < FOR {
                let delivery = dangerous_parse_unverified(&deliveries.body(events))?;
                let begun = Instant::now();
                host.receive(delivery).await?;
                times.push(begun.elapsed().as_secs_f64());
            }
            Ok::<_, BoxError>(times)
        });
    }
    let times = times_of(senders).await?;
    while !host.threads_needing_attention(None, 1).await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(Figures::of(times, events, begun.elapsed()))
}

/// A record of the usual size of such a conversation.
pub fn record(host: &Handover, runtime: &Runtime) -> Result<Vec<u8>, BoxError> {
    let thread = runtime.block_on(host.thread(&key(7)))?;
    Ok(Records::new().encode(&key(7), &thread)?)
}

/// A plain table, and one statement per row.
fn raw_sqlite(db: &mut Connection, record: &[u8], rows: usize) -> Result<Figures, BoxError> {
    let (mut random, mut times) = (fastrand::Rng::with_seed(7), Vec::new());
    let begun = Instant::now();
    while begun.elapsed() < FOR {
        let begun = Instant::now();
        let transaction = db.transaction()?;
        {
            let mut select =
                transaction.prepare_cached("SELECT version FROM raw WHERE page = ?1 AND customer = ?2")?;
            let mut update = transaction.prepare_cached(
                "UPDATE raw SET version = ?3, record = ?4 WHERE page = ?1 AND customer = ?2 AND version = ?5",
            )?;
            for _ in 0..rows {
                let (page, user) = (PAGE.to_string(), (FIRST_USER + random.u64(..USERS)).to_string());
                let version: i64 = select.query_row(params![page, user], |row| row.get(0))?;
                let changed = update.execute(params![page, user, version + 1, record, version])?;
                assert_eq!(changed, 1);
            }
        }
        transaction.commit()?;
        times.push(begun.elapsed().as_secs_f64());
    }
    Ok(Figures::of(times, rows, begun.elapsed()))
}

fn raw_table(path: &std::path::Path, record: &[u8]) -> Result<Connection, BoxError> {
    let mut db = Connection::open(path)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.execute_batch(
        "CREATE TABLE raw (page TEXT NOT NULL, customer TEXT NOT NULL, version INTEGER NOT NULL, record BLOB NOT NULL,
         PRIMARY KEY (page, customer)) STRICT",
    )?;
    let filling = db.transaction()?;
    for user in 0..USERS {
        let row = params![PAGE.to_string(), (FIRST_USER + user).to_string(), 1, record];
        filling.execute("INSERT INTO raw VALUES (?1, ?2, ?3, ?4)", row)?;
    }
    filling.commit()?;
    Ok(db)
}

fn sqlite(runtime: &Runtime) -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let host = {
        let _here = runtime.enter();
        host(Arc::new(SqliteStore::open(folder.path().join("ours.db"))?), true)?
    };
    // Every conversation exists before the measurement.
    runtime.block_on(deliver(&host, 1, IN_FLIGHT, EVENTS))?;
    let record = record(&host, runtime)?;
    let mut raw = raw_table(&folder.path().join("raw.db"), &record)?;
    let (mut fifty, mut single, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS as u64 {
        let ours = runtime.block_on(deliver(&host, 10 + round, 1, EVENTS))?;
        fifty.push((ours.rows, raw_sqlite(&mut raw, &record, EVENTS)?.rows));
        let ours = runtime.block_on(deliver(&host, 20 + round, IN_FLIGHT, 1))?;
        let one = raw_sqlite(&mut raw, &record, 1)?;
        single.push((ours.rows, one.rows));
        waits.push((percentile_99(ours.times) * 1000.0, median(one.times) * 1000.0));
    }
    table::rounds(
        "SQLite, 50 events a delivery; raw compare-and-swap, 50 a transaction",
        &fifty,
        "rows/s",
        Target::AtLeast(0.5),
    );
    table::rounds(
        "SQLite, 1 event a delivery, 32 in flight; raw, one a transaction",
        &single,
        "rows/s",
        Target::AtLeast(4.5),
    );
    table::rounds(
        "the same, p99 of a delivery; the median of a raw commit",
        &waits,
        "ms",
        Target::AtMost(10.0),
    );
    Ok(())
}

async fn raw_postgres(pool: &sqlx::PgPool, record: &[u8]) -> Result<Figures, BoxError> {
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..CONNECTIONS as u64 {
        let (pool, record) = (pool.clone(), record.to_vec());
        writers.spawn(async move {
            let (mut random, mut times) = (fastrand::Rng::with_seed(writer), Vec::new());
            let pages = vec![PAGE.to_string(); EVENTS];
            while begun.elapsed() < FOR {
                let begun = Instant::now();
                let mut users: Vec<String> = Vec::new();
                while users.len() < EVENTS {
                    let user = (FIRST_USER + random.u64(..USERS)).to_string();
                    if !users.contains(&user) {
                        users.push(user);
                    }
                }
                users.sort();
                let versions: Vec<(String, i64)> = sqlx::query_as(
                    "SELECT customer, version FROM handover_performance.raw
                     JOIN UNNEST($1::text[], $2::text[]) AS given (page, customer) USING (page, customer)",
                )
                .bind(&pages)
                .bind(&users)
                .fetch_all(&pool)
                .await?;
                let (users, versions): (Vec<_>, Vec<_>) = versions.into_iter().unzip();
                // If another writer has changed a row meanwhile, the row counts all the same.
                sqlx::query(
                    "UPDATE handover_performance.raw AS kept SET version = given.version + 1, record = given.record
                     FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bytea[])
                         AS given (page, customer, version, record)
                     WHERE kept.page = given.page AND kept.customer = given.customer AND kept.version = given.version",
                )
                .bind(&pages)
                .bind(users)
                .bind(versions)
                .bind(vec![record.clone(); EVENTS])
                .execute(&pool)
                .await?;
                times.push(begun.elapsed().as_secs_f64());
            }
            Ok::<_, BoxError>(times)
        });
    }
    let times = times_of(writers).await?;
    Ok(Figures::of(times, EVENTS, begun.elapsed()))
}

fn postgres(runtime: &Runtime, url: &str) -> Result<(), BoxError> {
    let connections = u32::try_from(CONNECTIONS)?;
    let store = PostgresStore::builder(url).schema(SCHEMA).connections(connections).connect();
    let host = {
        let _here = runtime.enter();
        host(Arc::new(runtime.block_on(store)?), true)?
    };
    runtime.block_on(deliver(&host, 1, CONNECTIONS, EVENTS))?;
    let record = record(&host, runtime)?;
    let pool = runtime.block_on(PgPoolOptions::new().max_connections(connections).connect(url))?;
    let fill = async {
        sqlx::raw_sql(
            "CREATE TABLE handover_performance.raw (page text COLLATE \"C\" NOT NULL, customer text COLLATE \"C\" NOT NULL,
             version bigint NOT NULL, record bytea NOT NULL, PRIMARY KEY (page, customer))",
        )
        .execute(&pool)
        .await?;
        let users: Vec<String> = (0..USERS).map(|user| (FIRST_USER + user).to_string()).collect();
        sqlx::query("INSERT INTO handover_performance.raw SELECT $1, UNNEST($2::text[]), 1, $3")
            .bind(PAGE.to_string())
            .bind(users)
            .bind(&record)
            .execute(&pool)
            .await
    };
    runtime.block_on(fill)?;
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS as u64 {
        let ours = runtime.block_on(deliver(&host, 10 + round, CONNECTIONS, EVENTS))?;
        rounds.push((ours.rows, runtime.block_on(raw_postgres(&pool, &record))?.rows));
    }
    table::rounds(
        "Postgres, 50 events a delivery, 4 connections; raw UNNEST of 50",
        &rounds,
        "rows/s",
        Target::AtLeast(0.4),
    );
    runtime.block_on(sqlx::raw_sql("DROP SCHEMA handover_performance CASCADE").execute(&pool))?;
    Ok(())
}

fn percentile_99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

/// Measures the stores of which `is_wanted` holds and whose server is there.
pub fn run(is_wanted: impl Fn(&str) -> bool) -> Result<(), BoxError> {
    let runtime = Runtime::new()?;
    if is_wanted("sqlite") {
        sqlite(&runtime)?;
    }
    let server = |store, variable| {
        let url = std::env::var(variable).ok();
        if url.is_none() {
            eprintln!("performance: without {store}, since {variable} names none");
        }
        url.filter(|_| is_wanted(store))
    };
    if let Some(url) = server("postgres", "TEST_POSTGRES_URL") {
        postgres(&runtime, &url)?;
    }
    if let Some(url) = server("redis", "TEST_REDIS_URL") {
        crate::redis::run(&runtime, &url)?;
    }
    Ok(())
}
