//! Helpers of the checks: conversations, writes of them, and comparisons with their messages.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::call::{MessageKey, OutgoingMessage};
use crate::id::{AppId, PageId, ThreadKey, UserId};
use crate::policy::{Role, ThreadControlPolicy};
use crate::store::{StoreError, ThreadStore, Write};
use crate::thread::{Command, Config, Context, Input, Thread};
use crate::time::Timestamp;

/// The message of a failed check.
pub(super) struct Wrong(pub(super) String);

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self(format!("it answers an error: {error}"))
    }
}

pub(super) type Found = Result<(), Wrong>;
pub(super) type Store = Arc<dyn ThreadStore>;

/// The most characters that are shown of a found or expected value.
const LONGEST_WORDS: usize = 200;

/// A Page with a random id, so that nobody else has its conversations.
pub(super) struct Page(pub(super) PageId);

impl Page {
    pub(super) fn new() -> Self {
        Self(PageId::from(fastrand::u64(1 << 60..u64::MAX)))
    }

    pub(super) fn key(&self, user: u64) -> ThreadKey {
        ThreadKey::new(self.0.clone(), UserId::from(user))
    }

    pub(super) fn keys(&self, users: std::ops::Range<u64>) -> Vec<ThreadKey> {
        users.map(|user| self.key(user)).collect()
    }
}

/// A desk's thread with this many pending messages of this many letters each. It needs attention unless there are none.
pub(super) fn thread(answers: usize, letters: usize) -> Thread {
    let config = Config::new(AppId::from(1), Role::Desk, ThreadControlPolicy::BotPrimary);
    let now = Timestamp::from_millis(1_700_000_000_000);
    let mut thread = Thread::new();
    for answer in 0..answers {
        let key = MessageKey::new(format!("a{answer}")).expect("a letter and a number are a key");
        let message = OutgoingMessage::text("ö".repeat(letters.max(1))).expect("letters are a text");
        let _ = thread.step(
            &Context::new(&config),
            Input::Command(Command::Send { key, message }),
            now,
            &mut Vec::new(),
        );
    }
    thread
}

/// A time before any that a host writes, so that its threads are due first.
pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn write(key: &ThreadKey, expected: u64, version: u64) -> Write {
    Write::new(key.clone(), expected, version, thread(1, 1), None)
}

pub(super) fn due_at(key: &ThreadKey, expected: u64, version: u64, wake: Timestamp) -> Write {
    Write { wake: Some(wake), ..write(key, expected, version) }
}

pub(super) fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Found {
    if found == expected {
        return Ok(());
    }
    let short = |value: &T| {
        let words = format!("{value:?}");
        if words.chars().count() <= LONGEST_WORDS {
            words
        } else {
            words.chars().take(LONGEST_WORDS).chain("…".chars()).collect()
        }
    };
    Err(Wrong(format!("{what}: {} instead of {}", short(found), short(expected))))
}

pub(super) async fn versions(store: &Store, keys: &[ThreadKey]) -> Result<Vec<u64>, Wrong> {
    Ok(store.load(keys).await?.iter().map(|loaded| loaded.version).collect())
}

pub(super) async fn due(store: &Store, now: u64, lease: u64, limit: usize) -> Result<Vec<ThreadKey>, Wrong> {
    Ok(store.due(at(now), Duration::from_millis(lease), limit).await?)
}
