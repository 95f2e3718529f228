//! Where conversations are kept: a small trait, and the store in memory.

mod memory;

pub use memory::MemoryStore;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::id::ThreadKey;
use crate::thread::Thread;
use crate::time::Timestamp;

/// Keeps the [`Thread`]s of a host, with compare-and-swap and wake times.
///
/// Everything is for many threads at once, since one webhook delivery touches many. Dropping a
/// returned future may leave the write done or not done; whoever retries it learns by the version.
#[async_trait]
pub trait ThreadStore: fmt::Debug + Send + Sync + 'static {
    /// The threads with these keys, in the order of the keys. One that is not kept is a fresh
    /// [`Thread`] at version 0.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot answer now.
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError>;

    /// Writes each thread whose version is still the expected one, and answers for each, in order,
    /// whether it was written. A written thread has the next version.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot answer now; then each may or may not have been written.
    async fn swap(&self, swaps: Vec<Swap>) -> Result<Vec<Swapped>, StoreError>;

    /// At most `limit` threads whose wake time has come, the longest overdue first. Each is leased: it
    /// is not handed out again before `now + lease`, unless it is written meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot answer now.
    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError>;

    /// Removes threads, whatever their version. Those that are not kept are passed over.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot answer now.
    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError>;
}

/// A thread as it was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loaded {
    /// The version to expect when it is written; 0 if it was not kept.
    pub version: u64,
    /// The thread.
    pub thread: Thread,
}

impl Loaded {
    /// A thread with its version.
    #[must_use]
    pub fn new(version: u64, thread: Thread) -> Self {
        Self { version, thread }
    }
}

/// One thread to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swap {
    /// Which conversation.
    pub key: ThreadKey,
    /// The version that it must still have.
    pub expected: u64,
    /// What it becomes.
    pub thread: Thread,
    /// When it has to be looked at again.
    pub wake: Option<Timestamp>,
}

impl Swap {
    /// A write of `thread` over the version that was loaded.
    #[must_use]
    pub fn new(key: ThreadKey, expected: u64, thread: Thread, wake: Option<Timestamp>) -> Self {
        Self { key, expected, thread, wake }
    }
}

/// How one write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Swapped {
    /// It was written.
    Written,
    /// Somebody else wrote it meanwhile: load it again.
    Conflict,
}

/// The store could not answer. Nothing is known about what was asked of it; try again later.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the thread store failed: {message}")]
pub struct StoreError {
    message: String,
    #[source]
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// A failure, in words that hold no secret.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}
