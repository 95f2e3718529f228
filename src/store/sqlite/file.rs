//! The connections to the SQLite file, reopened when it is damaged or replaced.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::connect::{Connect, failed};
use super::schema;
use crate::store::StoreError;

/// The connections to a file. They are reopened when the file or its log is damaged, or when another file has taken its place;
/// all at once, because they share what they hold of the log in memory.
pub(super) struct File {
    connect: Connect,
    reader: Mutex<Option<Open>>,
    writer: Mutex<Option<Open>>,
}

struct Open {
    db: Connection,
    /// The file's identity when it was opened.
    file: Option<Identity>,
}

/// Device and inode, where the system has them.
type Identity = (u64, u64);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Reader,
    Writer,
}

/// The reason why work on a connection failed.
pub(super) enum Failed {
    /// There is no connection.
    Closed(StoreError),
    Answered(rusqlite::Error),
}

impl File {
    pub(super) fn open(connect: Connect) -> Result<Self, StoreError> {
        let writer = open(&connect, End::Writer, true)?;
        let reader = open(&connect, End::Reader, false)?;
        Ok(Self { connect, reader: Mutex::new(Some(reader)), writer: Mutex::new(Some(writer)) })
    }

    /// Runs `work` on a connection. After an error that a new connection may not have, closes all; the next use reopens them.
    pub(super) fn with<T>(
        &self,
        end: End,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Failed> {
        let mut connection = self.lock(end);
        if let Some(open) = &*connection
            && open.file.is_some()
        {
            let Some(now) = identity(&self.connect) else {
                return Err(Failed::Closed(StoreError::new("the SQLite file is not in its place any more")));
            };
            if open.file != Some(now) {
                tracing::error!("another SQLite file has taken the place of the one in use, and is opened");
                drop(connection);
                self.close();
                connection = self.lock(end);
            }
        }
        let open = match &mut *connection {
            Some(open) => open,
            closed => closed.insert(open(&self.connect, end, false).map_err(Failed::Closed)?),
        };
        let ended = work(&mut open.db).map_err(Failed::Answered);
        if let Err(error) = &ended
            && error.is_damage()
        {
            tracing::error!(%error, "the SQLite file or its log is damaged, and is opened again");
            drop(connection);
            self.close();
        }
        ended
    }

    fn lock(&self, end: End) -> MutexGuard<'_, Option<Open>> {
        let connection = match end {
            End::Reader => &self.reader,
            End::Writer => &self.writer,
        };
        // After a panic SQLite has rolled back the transaction.
        connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all connections. This cannot deadlock, because no other caller waits for one lock while it holds the other.
    fn close(&self) {
        let (mut reader, mut writer) = (self.lock(End::Reader), self.lock(End::Writer));
        for connection in [&mut *reader, &mut *writer] {
            if let Some(open) = connection.take() {
                // A damaged log must not be written into the file. It is read again, up to its first damaged page.
                let _ = open.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            }
        }
    }
}

fn open(connect: &Connect, end: End, create: bool) -> Result<Open, StoreError> {
    // If the file is replaced while it is opened, the next use notices it.
    let before = identity(connect);
    let mut db = connect.connect(create)?;
    match end {
        End::Writer => schema::migrate(&mut db)?,
        End::Reader => {
            db.pragma_update(None, "query_only", true)
                .map_err(|error| failed("the SQLite file cannot be opened", &error))?;
        }
    }
    Ok(Open { db, file: before.or_else(|| identity(connect)) })
}

#[cfg(unix)]
fn identity(connect: &Connect) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::metadata(connect.path()).ok()?;
    Some((file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Connect) -> Option<Identity> {
    None
}

impl Failed {
    /// Whether the file may be readable again after it is reopened.
    pub(super) fn is_damage(&self) -> bool {
        use ErrorCode::{CannotOpen, DatabaseCorrupt, NotADatabase, ReadOnly, SystemIoFailure};
        let damages = [CannotOpen, DatabaseCorrupt, NotADatabase, ReadOnly, SystemIoFailure];
        self.code().is_some_and(|code| damages.contains(&code))
    }

    /// Whether every attempt now fails in the same way.
    pub(super) fn is_for_all(&self) -> bool {
        use ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory};
        let general = [DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory];
        self.is_damage() || self.code().is_none_or(|code| general.contains(&code))
    }

    /// The code of an error that SQLite returned.
    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Closed(_) => None,
            Self::Answered(error) => error.sqlite_error_code().or(Some(ErrorCode::Unknown)),
        }
    }

    pub(super) fn told(&self) -> StoreError {
        match self {
            Self::Closed(error) => error.clone(),
            Self::Answered(error) => failed("SQLite", error),
        }
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.told().fmt(f)
    }
}
