use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::SqliteStore;
use super::file::{End, File, failed};
use super::worker::Worker;
use crate::store::{Records, StoreError};

/// How an SQLite file is opened.
#[derive(Debug, Clone)]
pub struct Builder {
    path: PathBuf,
    records: Records,
    synchronous: Synchronous,
    busy: Duration,
}

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Synchronous {
    /// When it is on the disk: nothing is lost when the machine loses its power.
    #[default]
    Full,
    /// When the operating system has it: nothing is lost when the process is killed, and the last moments are when
    /// the machine loses its power.
    Normal,
}

impl Builder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            records: Records::new(),
            synchronous: Synchronous::default(),
            busy: Duration::from_secs(2),
        }
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
        self.synchronous = synchronous;
        self
    }

    /// How long another process's write is waited for. 2 s if nothing is set.
    #[must_use]
    pub fn busy_timeout(mut self, busy: Duration) -> Self {
        self.busy = busy;
        self
    }

    /// Opens the file; creates it if it does not exist, and brings its tables up to date. Blocks for that moment.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be opened, or was written by a newer version of this crate.
    pub fn open(self) -> Result<SqliteStore, StoreError> {
        let records = self.records.clone();
        let file = Arc::new(File::open(self)?);
        Ok(SqliteStore {
            records,
            reader: Worker::start("handover-reader", Arc::clone(&file), End::Reader)?,
            writer: Worker::start("handover-writer", file, End::Writer)?,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn connect(&self, create: bool) -> Result<Connection, StoreError> {
        let failed = |error| failed("the SQLite file cannot be opened", &error);
        let mut flags = OpenFlags::default();
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
        let db = Connection::open_with_flags(&self.path, flags).map_err(failed)?;
        db.busy_timeout(self.busy).map_err(failed)?;
        self.keep_a_log(&db)?;
        let synchronous = match self.synchronous {
            Synchronous::Full => "full",
            Synchronous::Normal => "normal",
        };
        db.pragma_update(None, "synchronous", synchronous).map_err(failed)?;
        // What was removed is not to be found in the file.
        db.pragma_update_and_check(None, "secure_delete", true, |_| Ok(())).map_err(failed)?;
        db.set_prepared_statement_cache_capacity(16);
        Ok(db)
    }

    /// Sets the write-ahead log. SQLite does not wait for others who do so at the same time.
    fn keep_a_log(&self, db: &Connection) -> Result<(), StoreError> {
        let failed = |error| failed("the SQLite file cannot have a write-ahead log", &error);
        let begun = Instant::now();
        loop {
            match db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0)) {
                Ok(mode) if mode == "wal" => return Ok(()),
                Ok(mode) => {
                    return Err(StoreError::new(format!(
                        "no file with a write-ahead log: the journal is {mode:?}"
                    )));
                }
                Err(error)
                    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                        && begun.elapsed() < self.busy =>
                {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
}
