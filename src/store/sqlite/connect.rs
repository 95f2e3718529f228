//! Opens and configures one connection to the SQLite file.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::StoreError;

/// The path of the file, and the settings of a connection to it.
#[derive(Debug, Clone)]
pub(super) struct Connect {
    path: PathBuf,
    pub(super) synchronous: Synchronous,
    pub(super) busy: Duration,
}

/// The point at which a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Synchronous {
    /// On the disk: a power failure loses nothing.
    #[default]
    Full,
    /// With the operating system: a killed process loses nothing, and a power failure loses the last moments.
    Normal,
}

impl Connect {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), synchronous: Synchronous::default(), busy: Duration::from_secs(2) }
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
        // Deleted data must not remain in the file.
        db.pragma_update_and_check(None, "secure_delete", true, |_| Ok(())).map_err(failed)?;
        db.set_prepared_statement_cache_capacity(16);
        Ok(db)
    }

    /// Turns the write-ahead log on. Retries, because SQLite does not wait for others that do so at the same time.
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

/// SQLite's messages name tables and columns, never the contents of a row.
pub(super) fn failed(what: &str, error: &rusqlite::Error) -> StoreError {
    let code =
        error.sqlite_error().map(|error| format!(" (error {})", error.extended_code)).unwrap_or_default();
    StoreError::new(format!("{what}: {error}{code}"))
}
