//! Stores of conversations: the [`ThreadStore`] trait, and the stores that come with this crate.
//!
//! | store | feature | for |
//! |---|---|---|
//! | [`MemoryStore`] | `service` | tests, and hosts that may lose all state at a restart |
//! | `SqliteStore` | `sqlite` | one machine, whose processes may be restarted and killed |
//! | `PostgresStore` | `postgres` | several replicas; a crash of the database loses nothing |
//! | `RedisStore` | `redis` | several replicas; a crash or failover of Redis may lose the last writes |
//!
//! The guarantees, the size and the backup of each store are described in `docs/stores.md`.
//!
//! A host may write its own store: `Records` (feature `records`) encodes a [`Thread`] as bytes, and the `conformance` checks (feature
//! `conformance`) report what the store gets wrong.

#[cfg(feature = "conformance")]
pub mod conformance;
mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
mod record;
#[cfg(feature = "records")]
mod records;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
mod row;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
pub use record::{FORMAT, RecordError};
#[cfg(feature = "records")]
pub use records::{Records, Seal};
#[cfg(feature = "redis")]
pub use redis::RedisStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::id::ThreadKey;
use crate::secret::DatabaseUrl;
use crate::thread::Thread;
use crate::time::Timestamp;

/// Stores the [`Thread`]s of a host, with compare-and-swap and wake times.
///
/// Every method takes many threads at once, because one webhook delivery touches many. If a returned future is dropped, the
/// write may or may not be done: load the thread and compare its version.
#[async_trait]
pub trait ThreadStore: fmt::Debug + Send + Sync + 'static {
    /// Loads the threads with these keys, in the order of the keys. A thread that is not stored is a fresh [`Thread`] at
    /// version 0. A record that cannot be read is an error in its own [`Loaded::thread`]; the others are still loaded.
    ///
    /// # Errors
    /// [`StoreError`] if the store is unavailable: try again later.
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError>;

    /// Writes or deletes each thread whose stored version is [`Write::expected`], and returns one outcome for each write, in
    /// order. State, version, wake time and [`Write::needs_attention`] change together, and are saved when this returns.
    ///
    /// # Errors
    /// [`StoreError`] if the store is unavailable. Each write may or may not be done, or be done a moment later: load the
    /// threads and compare their versions.
    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError>;

    /// Leases at most `limit` threads whose wake time has come, the longest overdue first. A leased thread is not returned
    /// again before `now + lease`, to any process, unless it is written meanwhile. Its version does not change.
    ///
    /// # Errors
    /// [`StoreError`] if the store is unavailable: try again later.
    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError>;

    /// Lists at most `limit` threads whose last write had [`Write::needs_attention`], in an order of the store's own. For the
    /// next portion pass the last key of this one as `after`; that thread may have been deleted meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] if the store is unavailable: try again later.
    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError>;

    /// Deletes threads whatever their version, so that their contents cannot be read from the storage any more. Keys that are
    /// not stored are ignored.
    ///
    /// # Errors
    /// [`StoreError`] if the store is unavailable: call it again.
    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError>;

    /// The earliest wake time after `after`; `None` if there is no such time or the store cannot tell. The service asks after
    /// each poll, so that every timer fires on time. With a store that always answers `None`, the timers of other processes,
    /// and all but the earliest of this process, may fire up to 1 s late.
    ///
    /// # Errors
    /// [`StoreError`] if the store is unavailable: try again later.
    async fn next_due(&self, _after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    /// Whether the store answers, by a small query.
    ///
    /// # Errors
    /// [`StoreError`] if the store is unavailable.
    async fn ping(&self) -> Result<(), StoreError> {
        self.needing_attention(None, 1).await.map(drop)
    }
}

#[async_trait]
impl<S: ThreadStore + ?Sized> ThreadStore for Arc<S> {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        (**self).load(keys).await
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        (**self).compare_and_swap(writes).await
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        (**self).due(now, lease, limit).await
    }

    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        (**self).needing_attention(after, limit).await
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        (**self).forget(keys).await
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        (**self).next_due(after).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        (**self).ping().await
    }
}

/// Opens the store that a URL names: `memory:`, `sqlite:PATH`, `postgres://…`, `redis://…` or `rediss://…`. A path is taken as it is
/// written: no part of it is decoded, and it has no options behind a `?`. The file is created if there is none.
///
/// ```
/// # async fn start() -> Result<(), messenger_handover::store::StoreError> {
/// let store = messenger_handover::store::open("memory:").await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`StoreError`] if the store cannot be opened, if the URL names none, or if this program was built without the store's feature.
#[allow(clippy::unused_async, reason = "the stores on a server connect, where their features are on")]
pub async fn open(url: impl Into<DatabaseUrl>) -> Result<Arc<dyn ThreadStore>, StoreError> {
    let url = url.into();
    let (scheme, rest) = url.expose_secret().split_once(':').unwrap_or_default();
    Ok(match scheme.to_ascii_lowercase().as_str() {
        "memory" if rest.is_empty() => Arc::new(MemoryStore::new()),
        #[cfg(feature = "sqlite")]
        "sqlite" => Arc::new(SqliteStore::open(path_of(rest)?)?),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Arc::new(PostgresStore::connect(url).await?),
        #[cfg(feature = "redis")]
        "redis" | "rediss" => Arc::new(RedisStore::connect(url).await?),
        scheme => return Err(not_opened(scheme)),
    })
}

/// The path of `sqlite:PATH` or `sqlite://PATH`.
#[cfg(feature = "sqlite")]
fn path_of(rest: &str) -> Result<&str, StoreError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.contains('?') || path.starts_with("sqlite:") {
        return Err(StoreError::new("sqlite: must be followed by the path of a file, without options"));
    }
    Ok(path)
}

/// Names no part of a URL that may hold a password.
fn not_opened(scheme: &str) -> StoreError {
    let feature = match scheme {
        "sqlite" => "sqlite",
        "postgres" | "postgresql" => "postgres",
        "redis" | "rediss" => "redis",
        _ => {
            return StoreError::new(
                "the URL is none of memory:, sqlite:PATH, postgres://…, redis://…, rediss://…",
            );
        }
    };
    StoreError::new(format!("this program was built without the feature `{feature}`"))
}

/// A thread that was loaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded {
    /// The version to expect when the thread is written; 0 if it is not stored.
    pub version: u64,
    /// The thread, or the reason why its record cannot be read.
    pub thread: Result<Arc<Thread>, RecordError>,
}

impl Loaded {
    /// A thread with its version.
    #[must_use]
    pub fn new(version: u64, thread: Result<impl Into<Arc<Thread>>, RecordError>) -> Self {
        Self { version, thread: thread.map(Into::into) }
    }

    /// A stored thread whose version cannot be read either.
    #[cfg(feature = "redis")]
    pub(crate) fn unreadable(error: RecordError) -> Self {
        Self { version: 0, thread: Err(error) }
    }

    /// A thread that is not stored.
    #[must_use]
    pub fn fresh() -> Self {
        Self::new(0, Ok(Thread::new()))
    }
}

/// One thread to write or delete.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// The conversation.
    pub key: ThreadKey,
    /// The version that must be stored; 0 if the thread must not be stored.
    pub expected: u64,
    /// The version to store. Never 0, at most `i64::MAX`, and never used before for this conversation, so that the stored
    /// version tells whether a write without a response was done. The service draws random versions.
    pub version: u64,
    /// The new state, or `None` to delete. A delete always has `expected != 0`.
    pub thread: Option<Arc<Thread>>,
    /// The time from which [`ThreadStore::due`] returns the thread; `None` if no timer is pending.
    pub wake: Option<Timestamp>,
}

impl Write {
    /// A write of `thread` over the version that was loaded.
    #[must_use]
    pub fn new(
        key: ThreadKey,
        expected: u64,
        version: u64,
        thread: impl Into<Arc<Thread>>,
        wake: Option<Timestamp>,
    ) -> Self {
        Self { key, expected, version, thread: Some(thread.into()), wake }
    }

    /// A delete, for a thread whose state has become fresh again.
    #[must_use]
    pub fn delete(key: ThreadKey, expected: u64, version: u64) -> Self {
        Self { key, expected, version, thread: None, wake: None }
    }

    /// Whether work is left for the service or the host: see [`Thread::needs_attention`]. False for a delete.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        self.thread.as_deref().is_some_and(Thread::needs_attention)
    }
}

/// The outcome of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteOutcome {
    /// The write was done.
    Written,
    /// Another version is stored: load the thread again.
    Conflict,
}

/// The store is unavailable. Whether the request was done is unknown; try again later.
///
/// The message gives the reason in the database's words (`database or disk is full`, `connection refused`, an SQLSTATE with
/// the server's message), without secrets and without contents of records. So it may be logged and sent to clients.
#[derive(Debug, Clone)]
pub struct StoreError {
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// A failure with this message, which must hold no secret.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// Adds the cause. Its message becomes part of this error's, so it must hold no secret either.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = format!("the thread store failed: {}", self.message);
        let mut cause = self.source();
        while let Some(error) = cause {
            let words = error.to_string();
            // Many errors already end with the message of their cause.
            if !said.ends_with(&words) {
                said = format!("{said}: {words}");
            }
            cause = error.source();
        }
        f.write_str(&said)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_error_says_its_causes_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot write: {0}")]
        struct Outer(#[source] std::io::Error);

        let error = StoreError::new("a database of a host's own")
            .with_source(Outer(std::io::Error::other("disk full")));
        assert_eq!(
            error.to_string(),
            "the thread store failed: a database of a host's own: cannot write: disk full"
        );
        assert_eq!(StoreError::new("away").to_string(), "the thread store failed: away");
    }

    #[tokio::test]
    async fn open_refuses_what_names_no_store() {
        for url in ["", "memory", "memory:x", "sqlite", "mysql://a", "/var/lib/a.db", "MEMORY:x", ":"] {
            let error = open(url).await.err().unwrap_or_else(|| panic!("{url} is opened"));
            assert!(error.to_string().contains("none of memory:"), "{url}: {error}");
        }
        assert!(open("Memory:").await.is_ok());
        #[cfg(feature = "sqlite")]
        for url in ["sqlite:", "sqlite://", "sqlite:a.db?mode=ro", "sqlite:sqlite:a.db"] {
            assert!(open(url).await.err().unwrap().to_string().contains("path of a file"), "{url}");
        }
    }
}
