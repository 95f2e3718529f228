//! The SQLite store: for one machine, whose processes may be restarted and killed. Several of them may share the file.
//!
//! By default a write is on the disk when the store reports it as done ([`Synchronous::Full`]). One thread writes; writes that
//! wait at the same time share a transaction.

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

/// Stores threads in an SQLite file.
///
/// Do not use a file on a network drive, because SQLite's locks do not hold there. To copy a file in use, use SQLite's own
/// backup.
pub struct SqliteStore {
    records: Records,
    reader: Worker,
    writer: Worker,
}

impl SqliteStore {
    /// Settings for the file at `path`.
    #[must_use]
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref())
    }

    /// Opens a file with the default settings, creates it if it does not exist, and migrates its tables. Blocks the calling
    /// thread meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be opened, or a newer version of this crate wrote it.
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
        // Deleted data remains in the write-ahead log until the log is emptied.
        self.writer.empty_log().await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("records", &self.records).finish_non_exhaustive()
    }
}
