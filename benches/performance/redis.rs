//! Deliveries into Redis, compared with plain pipelines: the version of each row is read, then the row is written.

use std::sync::Arc;
use std::time::Instant;

use messenger_handover::handover::BoxError;
use messenger_handover::store::RedisStore;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::ROUNDS;
use crate::common::deliveries::FIRST_USER;
use crate::common::table::{self, Target};
use crate::host::host;
use crate::stores::{CONNECTIONS, FOR, Figures, USERS, deliver, record, times_of};
use crate::threads::EVENTS;

const PREFIX: &str = "handover_performance";

async fn raw(connection: &MultiplexedConnection, record: &[u8]) -> Result<Figures, BoxError> {
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..CONNECTIONS as u64 {
        let (mut connection, record) = (connection.clone(), record.to_vec());
        writers.spawn(async move {
            let (mut random, mut times) = (fastrand::Rng::with_seed(writer), Vec::new());
            while begun.elapsed() < FOR {
                let begun = Instant::now();
                let mut key = || format!("{PREFIX}:raw:{}", FIRST_USER + random.u64(..USERS));
                let keys: Vec<_> = (0..EVENTS).map(|_| key()).collect();
                let mut reads = redis::pipe();
                for key in &keys {
                    reads.hget(key, "version");
                }
                let versions: Vec<Option<u64>> = reads.query_async(&mut connection).await?;
                let mut changes = redis::pipe();
                for (key, version) in keys.iter().zip(versions) {
                    let version = version.unwrap_or_default() + 1;
                    changes
                        .cmd("HSET")
                        .arg(key)
                        .arg("version")
                        .arg(version)
                        .arg("record")
                        .arg(&record)
                        .ignore();
                }
                changes.exec_async(&mut connection).await?;
                times.push(begun.elapsed().as_secs_f64());
            }
            Ok::<_, BoxError>(times)
        });
    }
    let times = times_of(writers).await?;
    Ok(Figures::of(times, EVENTS, begun.elapsed()))
}

async fn remove(connection: &mut MultiplexedConnection) -> Result<(), BoxError> {
    let keys: Vec<String> = redis::cmd("KEYS").arg(format!("*{PREFIX}*")).query_async(connection).await?;
    for some in keys.chunks(1_000) {
        redis::cmd("DEL").arg(some).exec_async(connection).await?;
    }
    Ok(())
}

pub fn run(runtime: &Runtime, url: &str) -> Result<(), BoxError> {
    let mut connection =
        runtime.block_on(async { redis::Client::open(url)?.get_multiplexed_async_connection().await })?;
    runtime.block_on(remove(&mut connection))?;
    let store = runtime.block_on(RedisStore::builder(url).prefix(PREFIX).connect())?;
    let host = {
        let _here = runtime.enter();
        host(Arc::new(store), true)?
    };
    runtime.block_on(deliver(&host, 1, CONNECTIONS, EVENTS))?;
    let record = record(&host, runtime)?;
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS as u64 {
        let ours = runtime.block_on(deliver(&host, 10 + round, CONNECTIONS, EVENTS))?;
        rounds.push((ours.rows, runtime.block_on(raw(&connection, &record))?.rows));
    }
    table::rounds(
        "Redis, 50 events a delivery, 4 in flight; raw pipelines of 50",
        &rounds,
        "rows/s",
        Target::AtLeast(0.4),
    );
    runtime.block_on(remove(&mut connection))
}
