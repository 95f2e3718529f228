//! How an SQLite file is opened, as the host says it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::SqliteStore;
use super::connect::{Connect, Synchronous};
use super::file::{End, File};
use super::worker::Worker;
use crate::store::{Records, StoreError};

/// How an SQLite file is opened.
#[derive(Debug, Clone)]
pub struct Builder {
    records: Records,
    connect: Connect,
}

impl Builder {
    pub(super) fn new(path: &Path) -> Self {
        Self { records: Records::new(), connect: Connect::new(path) }
    }

    /// How threads are written down; readable by whoever reads the file if nothing is set.
    #[must_use]
    pub fn records(mut self, records: Records) -> Self {
        self.records = records;
        self
    }

    /// When a write counts as done; on the disk if nothing is set.
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.connect.synchronous = synchronous;
        self
    }

    /// How long another process's write is waited for. 2 s if nothing is set.
    #[must_use]
    pub fn busy_timeout(mut self, busy: Duration) -> Self {
        self.connect.busy = busy;
        self
    }

    /// Opens the file; creates it if it does not exist, and brings its tables up to date. Blocks for that moment.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be opened, or was written by a newer version of this crate.
    pub fn open(self) -> Result<SqliteStore, StoreError> {
        let file = Arc::new(File::open(self.connect)?);
        Ok(SqliteStore {
            records: self.records,
            reader: Worker::start("handover-reader", Arc::clone(&file), End::Reader)?,
            writer: Worker::start("handover-writer", file, End::Writer)?,
        })
    }
}
