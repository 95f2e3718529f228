//! What the checks share: conversations of their own, writes of them, and how to say what is wrong.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::call::{MessageKey, OutgoingMessage};
use crate::id::{AppId, PageId, ThreadKey, UserId};
use crate::policy::{Role, ThreadControlPolicy};
use crate::store::{StoreError, ThreadStore, Write};
use crate::thread::{Command, Config, Context, Input, Thread};
use crate::time::Timestamp;

/// What is wrong, in words.
pub(super) struct Wrong(pub(super) String);

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self(format!("it answers an error: {error}"))
    }
}

pub(super) type Found = Result<(), Wrong>;
pub(super) type Store = Arc<dyn ThreadStore>;

/// Of what was found and expected, each.
const LONGEST_WORDS: usize = 200;

/// Conversations that nobody else has.
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

/// A desk with so many answers that wait, of so many letters each: open, but with none.
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

/// Before anything that a host writes, so that it is due before that.
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
