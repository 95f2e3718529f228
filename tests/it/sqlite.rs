//! The store in an SQLite file: as the file is left behind, and shared.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use messenger_handover::call::{AnswerKey, OutgoingMessage};
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::sqlite::Synchronous;
use messenger_handover::store::{SqliteStore, Swap, Swapped, ThreadStore, conformance};
use messenger_handover::thread::{Command, Config, Context, Input, Thread};
use messenger_handover::time::Timestamp;

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("handover-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("threads.db")
    }

    /// All that is on the disk.
    fn bytes(&self) -> Vec<u8> {
        fs::read_dir(&self.0).unwrap().flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn key(user: u64) -> ThreadKey {
    ThreadKey::new(PageId::from(10), UserId::from(user))
}

fn thread(text: &str) -> Thread {
    let config = Config::new(AppId::from(1), Role::Desk, ThreadControlPolicy::BotPrimary);
    let (key, message) = (AnswerKey::new("a").unwrap(), OutgoingMessage::text(text).unwrap());
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
async fn the_store_in_a_file_conforms() {
    let folder = Folder::new();
    let report = conformance::check(open(&folder.file())).await;
    assert!(report.is_ok(), "{report}");
    let faster = SqliteStore::builder(folder.file()).synchronous(Synchronous::Normal).open().unwrap();
    let report = conformance::check(Arc::new(faster)).await;
    assert!(report.is_ok(), "{report}");
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let folder = Folder::new();
    let store = open(&folder.file());
    let written = vec![Swap::write(key(1), 0, 7, thread("hello"), Some(Timestamp::from_millis(5)))];
    assert_eq!(store.swap(written).await.unwrap(), [Swapped::Written]);
    drop(store);
    let store = open(&folder.file());
    let loaded = store.load(&[key(1)]).await.unwrap().remove(0);
    assert_eq!((loaded.version, loaded.thread.unwrap()), (7, thread("hello")));
    let due = store.due(Timestamp::from_millis(9), Duration::from_secs(1), 9).await.unwrap();
    assert_eq!(due, [key(1)]);
    assert_eq!(store.open(None, 9).await.unwrap(), [key(1)]);
}

/// Two processes of one machine share a file: here two stores, each with its own connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_stores_on_one_file_lose_nothing() {
    let folder = Folder::new();
    let stores = [open(&folder.file()), open(&folder.file())];
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8_u64 {
        let store = Arc::clone(&stores[usize::try_from(writer).unwrap() % 2]);
        writers.spawn(async move {
            let mut written = 0_u64;
            for turn in 0..25 {
                let loaded = store.load(&[key(1)]).await.unwrap().remove(0);
                let version = 1 + writer * 1000 + turn;
                let swap = Swap::write(key(1), loaded.version, version, thread("x"), None);
                written += u64::from(store.swap(vec![swap]).await.unwrap() == [Swapped::Written]);
                let own = Swap::write(key(100 + version), 0, 1, thread("x"), None);
                assert_eq!(store.swap(vec![own]).await.unwrap(), [Swapped::Written]);
            }
            written
        });
    }
    let written: u64 = writers.join_all().await.iter().sum();
    assert!((25..=200).contains(&written), "{written}");
    assert_eq!(stores[0].open(None, 1000).await.unwrap().len(), 201);
}

/// Also from what the database keeps beside its tables.
#[tokio::test]
async fn what_is_forgotten_is_not_in_the_file() {
    let folder = Folder::new();
    let store = open(&folder.file());
    let swap = |user, words: &str| Swap::write(key(user), 0, 1, thread(words), None);
    store.swap(vec![swap(1, "a private matter"), swap(2, "another")]).await.unwrap();
    assert!(contains(&folder.bytes(), "a private matter"));
    store.forget(&[key(1)]).await.unwrap();
    assert!(!contains(&folder.bytes(), "a private matter") && contains(&folder.bytes(), "another"));
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let folder = Folder::new();
    drop(open(&folder.file()));
    let db = rusqlite::Connection::open(folder.file()).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteStore::open(folder.file()).unwrap_err().to_string();
    assert!(error.contains("version 99") && error.contains("update it"), "{error}");
}

#[test]
fn what_is_no_database_is_told() {
    let folder = Folder::new();
    assert!(SqliteStore::open(folder.0.join("no/such/folder.db")).is_err());
    fs::write(folder.file(), "this is a letter to my aunt, and no database at all".repeat(99)).unwrap();
    assert!(SqliteStore::open(folder.file()).is_err());
}
