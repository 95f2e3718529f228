//! The store in an SQLite file: for one machine, whose hosts may be restarted and killed. Several processes of one
//! machine may share the file.
//!
//! What was written is on the disk when the service hears of it (full synchronisation). One thread writes; whatever
//! waits for it at the same time shares a transaction.

mod builder;
mod connect;
mod file;
mod schema;
mod statements;
#[cfg(test)]
mod tests;
mod worker;

pub use builder::Builder;
pub use connect::Synchronous;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::row::{self, EncodedWrite};
use super::{Loaded, Records, StoreError, ThreadStore, Write, WriteOutcome};
use crate::id::ThreadKey;
use crate::time::Timestamp;

use worker::Worker;

/// Keeps threads in an SQLite file.
///
/// A file on a network drive is no place for it: SQLite's locks do not hold there. To copy a file in use, use SQLite's
/// own backup.
pub struct SqliteStore {
    records: Records,
    reader: Worker,
    writer: Worker,
}

impl SqliteStore {
    /// How a file is opened, if not with the defaults.
    #[must_use]
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref())
    }

    /// Opens a file; creates it if it does not exist, and brings its tables up to date. Blocks for that moment.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be opened, or was written by a newer version of this crate.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open()
    }
}

#[async_trait]
impl ThreadStore for SqliteStore {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        let wanted = keys.to_vec();
        let rows = self.reader.run(move |db| statements::load(db, &wanted)).await?;
        Ok(row::loaded(&self.records, keys, rows))
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        let writes = EncodedWrite::all(writes, &self.records)?;
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        self.writer.run(move |db| statements::compare_and_swap(db, &writes)).await
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        self.writer.run(move |db| statements::due(db, now, now.plus(lease), limit)).await
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.reader.run(move |db| statements::next_due(db, after)).await
    }

    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        let after = after.cloned();
        self.reader.run(move |db| statements::needing_attention(db, after.as_ref(), limit)).await
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        let keys = keys.to_vec();
        self.writer.run(move |db| statements::forget(db, &keys)).await?;
        // What was removed is still in the write-ahead log until that is emptied.
        self.writer.empty_log().await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("records", &self.records).finish_non_exhaustive()
    }
}
