//! The store of a run: described by a string that replicas receive, opened by each of them, and removed at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use messenger_handover::handover::BoxError;
use messenger_handover::store::{
    MemoryStore, PostgresStore, RedisStore, SqliteStore, StoreError, ThreadStore, Write, WriteOutcome,
};
use redis::AsyncCommands;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, raw_sql};

use crate::forwarding::Forward;
use crate::replica::Reporter;

/// A database outage that lasts longer ends the run.
const LONGEST_AWAY: Duration = Duration::from_mins(1);

/// The location of a run's conversations; each host adds its own name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Storage {
    /// `sqlite`, or the URL of a server.
    pub place: String,
    /// A folder for SQLite; otherwise a schema or prefix that no other run uses.
    pub name: String,
}

impl Storage {
    /// Opens the store. Retries during a database outage, as a supervisor that restarts the host would.
    pub async fn open(&self, host: &str) -> Result<Arc<dyn ThreadStore>, BoxError> {
        let begun = Instant::now();
        loop {
            match self.open_now(host).await {
                Err(error) if error.is::<StoreError>() && begun.elapsed() < LONGEST_AWAY => {
                    tracing::warn!(%error, "the store cannot be opened now");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                ended => return ended,
            }
        }
    }

    async fn open_now(&self, host: &str) -> Result<Arc<dyn ThreadStore>, BoxError> {
        let name = format!("{}_{host}", self.name);
        Ok(match self.place.split(':').next() {
            Some("sqlite") => Arc::new(SqliteStore::open(format!("{}/{host}.db", self.name))?),
            Some("postgres" | "postgresql") => {
                Arc::new(PostgresStore::builder(&*self.place).schema(name).connections(4).connect().await?)
            }
            // Not shared between processes, so the run must fail: this proves that the account detects losses.
            Some("memory") => Arc::new(MemoryStore::new()),
            Some("redis" | "rediss") => {
                let (url, is_cluster) = self.node();
                let builder = RedisStore::builder(url).prefix(name);
                let builder = if is_cluster { builder.cluster([url]) } else { builder };
                Arc::new(builder.connect().await?)
            }
            _ => return Err("--store is sqlite, postgres://…, redis://… or memory".into()),
        })
    }

    /// The URL of a Redis node, and whether it belongs to a cluster, which a suffix `?cluster` marks.
    fn node(&self) -> (&str, bool) {
        self.place.strip_suffix("?cluster").map_or((&*self.place, false), |url| (url, true))
    }

    /// Removes everything that the run has written; in a cluster, only the data of the named node.
    pub async fn remove(&self, hosts: &[&str]) -> Result<(), BoxError> {
        if self.place.starts_with("postgres") {
            // A pooler may refuse this parameter.
            let options: PgConnectOptions = self.place.parse()?;
            let mut db = options.extra_float_digits(None).connect().await?;
            for host in hosts {
                let drop = format!("DROP SCHEMA IF EXISTS {}_{host} CASCADE", self.name);
                raw_sql(AssertSqlSafe(drop)).execute(&mut db).await?;
            }
        } else if self.place.starts_with("redis") {
            let mut db = redis::Client::open(self.node().0)?.get_multiplexed_async_connection().await?;
            for host in hosts {
                let names: Vec<String> = db.keys(format!("{{{}_{host}*", self.name)).await?;
                for name in names {
                    let () = db.del(name).await?;
                }
            }
        }
        Ok(())
    }
}

/// A store that counts its write conflicts, and reports the messages that it has saved.
#[derive(Debug)]
pub struct Reported {
    pub inner: Arc<dyn ThreadStore>,
    pub reporter: Arc<Reporter>,
}

#[async_trait]
impl Forward for Reported {
    fn inner(&self) -> &dyn ThreadStore {
        &*self.inner
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        let saved: Vec<_> = writes.iter().map(|write| (write.key.clone(), write.thread.clone())).collect();
        let swapped = self.inner.compare_and_swap(writes).await?;
        let conflicts = swapped.iter().filter(|swapped| **swapped == WriteOutcome::Conflict).count();
        self.reporter.conflicts.fetch_add(conflicts as u64, Ordering::SeqCst);
        for ((key, thread), _) in
            saved.iter().zip(&swapped).filter(|(_, swapped)| **swapped == WriteOutcome::Written)
        {
            let waiting = thread.iter().flat_map(|thread| thread.waiting_messages());
            self.reporter.saved(key, waiting.map(|message| message.key)).await;
        }
        Ok(swapped)
    }
}
