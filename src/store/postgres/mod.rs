//! The Postgres store: for hosts with several replicas. Writes survive a crash of the database, and a failover where
//! replication is synchronous.
//!
//! A batch of writes is one statement, and one more for new and deleted threads, however many conversations it touches.
//! Batches of several deliveries that wait at the same time share these. Behind a pooler that may run each transaction on
//! another connection, call [`Builder::behind_transaction_pooler`].

mod builder;
mod db;
mod schema;
mod writers;

pub use builder::Builder;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::row::{self, EncodedWrite};
use super::{Loaded, Records, StoreError, ThreadStore, Write, WriteOutcome};
use crate::id::ThreadKey;
use crate::secret::DatabaseUrl;
use crate::time::Timestamp;

use db::Db;
use writers::Writers;

/// Stores threads in a table of a Postgres database, version 13 or later.
pub struct PostgresStore {
    records: Records,
    db: Db,
    writers: Writers,
}

impl PostgresStore {
    /// Settings for the database at `postgres://user:password@host/database`, with the parameters of libpq such as `sslmode`.
    pub fn builder(url: impl Into<DatabaseUrl>) -> Builder {
        Builder::new(builder::Database::Url(url.into()))
    }

    /// Settings for the host's own pool. Each statement then has a transaction of its own with its `statement_timeout`, which takes
    /// more round trips than a pool of this store's own.
    #[must_use]
    pub fn with_pool(pool: sqlx::PgPool) -> Builder {
        Builder::new(builder::Database::Pool(pool))
    }

    /// Connects with the default settings, and migrates the tables.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be reached, or a newer version of this crate made its tables.
    pub async fn connect(url: impl Into<DatabaseUrl>) -> Result<Self, StoreError> {
        Self::builder(url).connect().await
    }
}

#[async_trait]
impl ThreadStore for PostgresStore {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let found: HashMap<_, _> = self.db.load(keys).await?.into_iter().collect();
        let rows = keys.iter().map(|key| found.get(key).cloned()).collect();
        Ok(row::loaded(&self.records, keys, rows))
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        let writes = EncodedWrite::all(writes, &self.records)?;
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        self.writers.compare_and_swap(writes).await
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        self.db.due(row::moment(now), row::moment(now.plus(lease)), row::at_most(limit)).await
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.db.next_due(row::moment(after)).await
    }

    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        self.db.needing_attention(after, limit).await
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        if keys.is_empty() { Ok(()) } else { self.db.forget(keys).await }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("records", &self.records).finish_non_exhaustive()
    }
}
