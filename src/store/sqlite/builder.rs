//! The settings of the SQLite store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::SqliteStore;
use super::connect::{Connect, Synchronous};
use super::file::{End, File};
use super::worker::Worker;
use crate::store::{Records, StoreError};

/// Settings of an [`SqliteStore`].
#[derive(Debug, Clone)]
pub struct Builder {
    records: Records,
    connect: Connect,
}

impl Builder {
    pub(super) fn new(path: &Path) -> Self {
        Self { records: Records::new(), connect: Connect::new(path) }
    }

    /// The encoding of threads. Default: plain, readable by anyone who can read the file.
    #[must_use]
    pub fn records(mut self, records: Records) -> Self {
        self.records = records;
        self
    }

    /// The point at which a write counts as done. Default: [`Synchronous::Full`], on the disk.
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.connect.synchronous = synchronous;
        self
    }

    /// The timeout of waiting for another process's write. Default: 2 s.
    #[must_use]
    pub fn busy_timeout(mut self, busy: Duration) -> Self {
        self.connect.busy = busy;
        self
    }

    /// Opens the file, creates it if it does not exist, and migrates its tables. Blocks the calling thread meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be opened, or a newer version of this crate wrote it.
    pub fn open(self) -> Result<SqliteStore, StoreError> {
        let file = Arc::new(File::open(self.connect)?);
        Ok(SqliteStore {
            records: self.records,
            reader: Worker::start("handover-reader", Arc::clone(&file), End::Reader)?,
            writer: Worker::start("handover-writer", file, End::Writer)?,
        })
    }
}
