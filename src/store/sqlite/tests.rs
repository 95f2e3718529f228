//! Tests of the SQLite store: errors, groups of writes, damage, replaced files and unreadable rows.
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::SqliteStore;
use crate::id::{PageId, ThreadKey, UserId};
use crate::store::{StoreError, ThreadStore, Write, WriteOutcome};
use crate::thread::Thread;
use crate::time::Timestamp;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn store(&self) -> Arc<SqliteStore> {
        Arc::new(
            SqliteStore::builder(self.file("a.db")).busy_timeout(Duration::from_millis(300)).open().unwrap(),
        )
    }

    /// A connection of another program.
    fn connection(&self) -> Connection {
        Connection::open(self.file("a.db")).unwrap()
    }
}

fn key(user: u64) -> ThreadKey {
    ThreadKey::new(PageId::from(1), UserId::from(user))
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

async fn write(store: &SqliteStore, user: u64, version: u64) -> Result<Vec<WriteOutcome>, StoreError> {
    store
        .compare_and_swap(vec![Write::new(key(user), version - 1, version, Thread::new(), Some(at(version)))])
        .await
}

async fn version(store: &SqliteStore, user: u64) -> Result<u64, StoreError> {
    Ok(store.load(&[key(user)]).await?.remove(0).version)
}

#[tokio::test]
async fn sqlite_full_disk_is_said_and_passes() {
    let (folder, users) = (Folder::new(), 1..2_000);
    let store = folder.store();
    let limit = |pages: u32| {
        let store = Arc::clone(&store);
        async move { store.writer.run(move |db| db.pragma_update(None, "max_page_count", pages)).await.unwrap() }
    };
    limit(20).await;
    let all = || users.clone().map(|user| Write::new(key(user), 0, 1, Thread::new(), None)).collect();
    let error = store.compare_and_swap(all()).await.unwrap_err().to_string();
    assert_eq!(error, "the thread store failed: SQLite: database or disk is full (error 13)");
    limit(1_000_000).await;
    assert!(
        store.compare_and_swap(all()).await.unwrap().iter().all(|swapped| *swapped == WriteOutcome::Written)
    );
}

#[tokio::test]
async fn sqlite_errors_say_why() {
    let folder = Folder::new();
    let store = folder.store();
    write(&store, 1, 1).await.unwrap();
    let mut other = folder.connection();
    let lock = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let error = write(&store, 1, 2).await.unwrap_err().to_string();
    assert_eq!(error, "the thread store failed: SQLite: database is locked (error 5)");
    drop(lock);
    other.execute_batch("DROP TABLE handover_threads").unwrap();
    let error = version(&store, 1).await.unwrap_err().to_string();
    assert!(error.contains("SQLite: no such table: handover_threads"), "{error}");
    let error = SqliteStore::open(folder.file("none/a.db")).unwrap_err().to_string();
    assert!(error.contains("unable to open database file"), "{error}");
    fs::write(folder.file("b.db"), "no database at all, and long enough to be taken for one".repeat(99))
        .unwrap();
    let error = SqliteStore::open(folder.file("b.db")).unwrap_err().to_string();
    assert!(error.contains("file is not a database (error 26)"), "{error}");
}

/// The writes wait for a lock of another program, and then share a transaction.
#[tokio::test]
async fn sqlite_failing_piece_of_a_group_fails_alone() {
    let folder = Folder::new();
    let store = folder.store();
    let mut other = folder.connection();
    other
        .execute_batch(
            "CREATE TRIGGER unlucky BEFORE INSERT ON handover_threads WHEN NEW.customer = '13'
             BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        )
        .unwrap();
    let lock = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let writers: Vec<_> = (1..=40)
        .map(|user| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { write(&store, user, 1).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(lock);
    for (user, writer) in (1..).zip(writers) {
        let ended = writer.await.unwrap();
        if user == 13 {
            assert!(ended.unwrap_err().to_string().contains("not this one"));
        } else {
            assert_eq!(ended.unwrap(), [WriteOutcome::Written], "{user}");
        }
        assert_eq!(version(&store, user).await.unwrap(), u64::from(user != 13));
    }
}

/// As after an error that does not say whether the commit was done.
#[tokio::test]
async fn sqlite_write_that_is_repeated_is_written() {
    let folder = Folder::new();
    let store = folder.store();
    for version in [1, 1, 2, 2] {
        assert_eq!(write(&store, 1, version).await.unwrap(), [WriteOutcome::Written]);
    }
    assert_eq!(write(&store, 1, 1).await.unwrap(), [WriteOutcome::Conflict]);
    assert_eq!(version(&store, 1).await.unwrap(), 2);
}

#[tokio::test]
async fn sqlite_damaged_log_is_opened_again() {
    for damage in ["cut off", "overwritten"] {
        let folder = Folder::new();
        let store = folder.store();
        for user in 1..100 {
            write(&store, user, 1).await.unwrap();
        }
        store.writer.empty_log().await.unwrap();
        for user in 100..200 {
            write(&store, user, 1).await.unwrap();
        }
        let log = fs::OpenOptions::new().write(true).open(folder.file("a.db-wal")).unwrap();
        let length = log.metadata().unwrap().len();
        log.set_len(if damage == "cut off" { 100 } else { 0 }).unwrap();
        if damage == "overwritten" {
            log.set_len(length).unwrap();
        }
        // Pages in memory may hide the damage at first. Calls may fail, but not permanently.
        let mut worked = 0;
        for turn in 0..20 {
            let ended = write(&store, 1_000 + turn, 1).await.is_ok() && version(&store, 1).await.is_ok();
            worked = if ended { worked + 1 } else { 0 };
        }
        assert!(worked >= 15, "{damage}: {worked}");
        assert_eq!(version(&store, 1).await.unwrap(), 1, "what was in the file itself is lost");
        let whole: String =
            folder.connection().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok", "{damage}");
    }
}

#[tokio::test]
async fn sqlite_replaced_file_is_opened_again() {
    let folder = Folder::new();
    let store = folder.store();
    write(&store, 1, 1).await.unwrap();
    folder.connection().execute("VACUUM INTO ?1", [folder.file("copy.db").to_str().unwrap()]).unwrap();
    write(&store, 1, 2).await.unwrap();
    // Restores a copy as an operator does.
    for rest in ["a.db-wal", "a.db-shm"] {
        fs::remove_file(folder.file(rest)).unwrap();
    }
    fs::rename(folder.file("copy.db"), folder.file("a.db")).unwrap();
    assert_eq!(version(&store, 1).await.unwrap(), 1);
    assert_eq!(write(&store, 1, 2).await.unwrap(), [WriteOutcome::Written]);
    assert_eq!(version(&folder.store(), 1).await.unwrap(), 2);
    // A missing file is not created again, because its data would be lost without an error.
    fs::rename(folder.file("a.db"), folder.file("b.db")).unwrap();
    let error = write(&store, 1, 3).await.unwrap_err().to_string();
    assert!(error.contains("not in its place"), "{error}");
    fs::rename(folder.file("b.db"), folder.file("a.db")).unwrap();
    assert_eq!(write(&store, 1, 3).await.unwrap(), [WriteOutcome::Written]);
}

#[tokio::test]
async fn sqlite_row_with_unreadable_ids_is_passed_over() {
    let folder = Folder::new();
    let store = folder.store();
    for user in 1..=3 {
        write(&store, user, 1).await.unwrap();
    }
    folder
        .connection()
        .execute_batch(
            "UPDATE handover_threads SET open = 1;
             INSERT INTO handover_threads VALUES ('', 'x', 1, 0, 1, x''), ('1', char(10), 1, 0, 1, x''),
                 (CAST(x'ff' AS TEXT), '1', 1, 0, 1, x'')",
        )
        .unwrap();
    let due = |now, limit| store.due(at(now), Duration::from_millis(100), limit);
    assert_eq!(due(10, 4).await.unwrap(), [key(1)]);
    assert_eq!(due(20, 4).await.unwrap(), [key(2), key(3)]);
    assert_eq!(due(200, 3).await.unwrap(), [key(1), key(2), key(3)], "what is unreadable is due again");
    let mut listed = Vec::new();
    while let Some(next) = store.needing_attention(listed.last(), 1).await.unwrap().pop() {
        listed.push(next);
    }
    assert_eq!(listed, [key(1), key(2), key(3)]);
    assert_eq!(store.needing_attention(None, 9).await.unwrap(), listed);
}
