//! Tests of the SQLite store: restarts, sharing, deletion and file formats.

#[path = "../../../../tests/it/forwarding.rs"]
mod forwarding;
#[path = "../stores/in_turn.rs"]
mod in_turn;
mod seal;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::sqlite::Synchronous;
use messenger_handover::store::{SqliteStore, ThreadStore, Write, WriteOutcome, conformance};
use messenger_handover::thread::{Command, Config, Context, Input, Thread};
use messenger_handover::time::Timestamp;
use tempfile::TempDir;

use in_turn::InTurn;

/// A database file in a folder that is deleted after the test.
#[derive(Debug)]
struct File(TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("threads.db")
    }

    /// All bytes of the folder's files.
    fn bytes(&self) -> Vec<u8> {
        fs::read_dir(&self.0).unwrap().flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }
}

fn key(user: u64) -> ThreadKey {
    ThreadKey::new(PageId::from(10), UserId::from(user))
}

fn thread(text: &str) -> Thread {
    let config = Config::new(AppId::from(1), Role::Desk, ThreadControlPolicy::BotPrimary);
    let (key, message) = (MessageKey::new("a").unwrap(), OutgoingMessage::text(text).unwrap());
    let mut thread = Thread::new();
    let send = Input::Command(Command::Send { key, message });
    let _ = thread.step(&Context::new(&config), send, Timestamp::from_millis(1_790_000_000_000), &mut vec![]);
    thread
}

fn contains(bytes: &[u8], words: &str) -> bool {
    bytes.windows(words.len()).any(|window| window == words.as_bytes())
}

fn open(path: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(path).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_store_conforms() {
    let file = File::new();
    let report = conformance::check(open(&file.path())).await;
    assert!(report.is_ok(), "{report}");
    let faster = SqliteStore::builder(file.path()).synchronous(Synchronous::Normal).open().unwrap();
    let report = conformance::check(Arc::new(faster)).await;
    assert!(report.is_ok(), "{report}");
}

#[tokio::test]
async fn sqlite_restart_keeps_records() {
    let file = File::new();
    let store = open(&file.path());
    let written = vec![Write::new(key(1), 0, 7, thread("hello"), Some(Timestamp::from_millis(5)))];
    assert_eq!(store.compare_and_swap(written).await.unwrap(), [WriteOutcome::Written]);
    drop(store);
    let store = open(&file.path());
    let loaded = store.load(&[key(1)]).await.unwrap().remove(0);
    assert_eq!((loaded.version, &*loaded.thread.unwrap()), (7, &thread("hello")));
    let due = store.due(Timestamp::from_millis(9), Duration::from_secs(1), 9).await.unwrap();
    assert_eq!(due, [key(1)]);
    assert_eq!(store.needing_attention(None, 9).await.unwrap(), [key(1)]);
}

/// Two processes of one machine may share a file; here, two stores with their own connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_two_stores_on_one_file_conform() {
    let file = File::new();
    let stores: [Arc<dyn ThreadStore>; 2] = [open(&file.path()), open(&file.path())];
    let report = conformance::check(InTurn::new(stores)).await;
    assert!(report.is_ok(), "{report}");
}

/// As when all processes of a machine start for the first time.
#[test]
fn sqlite_new_file_can_be_opened_concurrently() {
    for _ in 0..10 {
        let file = File::new();
        std::thread::scope(|threads| {
            let openers: Vec<_> = (0..8).map(|_| threads.spawn(|| SqliteStore::open(file.path()))).collect();
            for opener in openers {
                opener.join().unwrap().unwrap();
            }
        });
    }
}

/// An open read transaction keeps old data in the log: `forget` returns an error, and a second call deletes it.
#[tokio::test]
async fn sqlite_forget_during_a_read_is_an_error() {
    let file = File::new();
    let store = SqliteStore::builder(file.path()).busy_timeout(Duration::from_millis(50)).open().unwrap();
    store.compare_and_swap(vec![Write::new(key(1), 0, 1, thread("a private matter"), None)]).await.unwrap();
    let mut other = rusqlite::Connection::open(file.path()).unwrap();
    let reads = other.transaction().unwrap();
    reads.query_row("SELECT count(*) FROM handover_threads", [], |_| Ok(())).unwrap();
    let error = store.forget(&[key(1)]).await.unwrap_err().to_string();
    assert!(error.contains("forget it again"), "{error}");
    drop(reads);
    store.forget(&[key(1)]).await.unwrap();
    assert!(!contains(&file.bytes(), "a private matter"));
}

/// Deleted data is gone from the database's log, too.
#[tokio::test]
async fn sqlite_forget_removes_the_bytes_from_the_files() {
    let file = File::new();
    let store = open(&file.path());
    let write = |user, words: &str| Write::new(key(user), 0, 1, thread(words), None);
    store.compare_and_swap(vec![write(1, "a private matter"), write(2, "another")]).await.unwrap();
    assert!(contains(&file.bytes(), "a private matter"));
    store.forget(&[key(1)]).await.unwrap();
    assert!(!contains(&file.bytes(), "a private matter") && contains(&file.bytes(), "another"));
}

#[test]
fn sqlite_file_of_a_newer_version_is_refused() {
    let file = File::new();
    drop(open(&file.path()));
    let db = rusqlite::Connection::open(file.path()).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteStore::open(file.path()).unwrap_err().to_string();
    assert!(error.contains("version 99") && error.contains("update it"), "{error}");
}

#[test]
fn sqlite_file_that_is_no_database_is_an_error() {
    let file = File::new();
    assert!(SqliteStore::open(file.path().join("no/such.db")).is_err());
    fs::write(file.path(), "this is a letter to my aunt, and no database at all".repeat(99)).unwrap();
    assert!(SqliteStore::open(file.path()).is_err());
    let error = SqliteStore::open(":memory:").unwrap_err().to_string();
    assert!(error.contains("no file with a write-ahead log"), "{error}");
}
