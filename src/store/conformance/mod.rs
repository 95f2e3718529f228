//! Checks that a [`ThreadStore`] does what it must, each with a name and a message. Call them in the tests of a store, this
//! crate's own or a host's:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use std::sync::Arc;
//! use messenger_handover::store::{MemoryStore, conformance};
//!
//! let report = conformance::check(Arc::new(MemoryStore::new())).await;
//! assert!(report.is_ok(), "{report}");
//! # }
//! ```
//!
//! The checks write conversations of Pages that do not exist, and delete them afterwards. Nothing else may use the store
//! meanwhile, because the checks lease due threads.

mod checks;
mod ground;
mod wake_times;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use checks::{
    each_of_a_batch_has_its_own_verdict, forgotten_is_gone, ids_are_kept_as_they_are,
    large_batches_and_records_are_kept_whole, one_thread_twice_in_a_batch_is_written_in_order,
    only_the_expected_version_is_overwritten, open_threads_are_listed_page_by_page,
    removed_is_gone_and_its_version_too, times_at_the_ends_are_kept, what_is_not_kept_is_fresh,
    what_is_written_is_read, what_was_written_is_read_at_once, writers_at_the_same_time_lose_nothing,
};
use ground::Wrong;
use wake_times::{
    a_written_thread_is_due_at_its_new_time, nobody_else_gets_what_is_handed_out,
    the_longest_overdue_comes_first, the_next_wake_time_is_not_told_too_late, what_is_handed_out_is_leased,
};

use super::{Loaded, StoreError, ThreadStore, Write, WriteOutcome};
use crate::id::ThreadKey;
use crate::time::Timestamp;

/// The checks that ran, and their results.
#[derive(Debug, Clone)]
#[must_use]
pub struct Report {
    checks: Vec<(&'static str, Result<(), String>)>,
}

/// A check with its name.
struct Check {
    name: &'static str,
    run: fn(Arc<dyn ThreadStore>) -> Running,
}

type Running = Pin<Box<dyn Future<Output = Result<(), Wrong>> + Send>>;

macro_rules! all {
    ($($check:ident),* $(,)?) => {
        const ALL: &[Check] =
            &[$(Check { name: stringify!($check), run: |store| Box::pin($check(store)) }),*];
    };
}

all![
    what_is_not_kept_is_fresh,
    what_is_written_is_read,
    only_the_expected_version_is_overwritten,
    each_of_a_batch_has_its_own_verdict,
    one_thread_twice_in_a_batch_is_written_in_order,
    writers_at_the_same_time_lose_nothing,
    what_was_written_is_read_at_once,
    removed_is_gone_and_its_version_too,
    the_longest_overdue_comes_first,
    what_is_handed_out_is_leased,
    a_written_thread_is_due_at_its_new_time,
    the_next_wake_time_is_not_told_too_late,
    nobody_else_gets_what_is_handed_out,
    open_threads_are_listed_page_by_page,
    forgotten_is_gone,
    large_batches_and_records_are_kept_whole,
    ids_are_kept_as_they_are,
    times_at_the_ends_are_kept,
];

/// Records which threads a check writes, so that they can be deleted before the next one.
#[derive(Debug)]
struct Noting {
    inner: Arc<dyn ThreadStore>,
    keys: Mutex<BTreeSet<ThreadKey>>,
}

impl Noting {
    fn keys(&self) -> MutexGuard<'_, BTreeSet<ThreadKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ThreadStore for Noting {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        self.inner.load(keys).await
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        self.keys().extend(writes.iter().map(|write| write.key.clone()));
        self.inner.compare_and_swap(writes).await
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        self.inner.due(now, lease, limit).await
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_due(after).await
    }

    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        self.inner.needing_attention(after, limit).await
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        self.inner.forget(keys).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

/// Runs all checks on a store, one after the other, also after a failure. Call it in a Tokio runtime.
pub async fn check(store: Arc<dyn ThreadStore>) -> Report {
    let mut checks = Vec::new();
    for Check { name, run } in ALL {
        // In a task, so that a store that panics fails only this check.
        let noting = Arc::new(Noting { inner: Arc::clone(&store), keys: Mutex::default() });
        let ended = tokio::spawn(run(Arc::clone(&noting) as Arc<dyn ThreadStore>)).await;
        let mut found = match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Wrong(words))) => Err(words),
            Err(error) => Err(format!("it panics: {error}")),
        };
        let keys: Vec<_> = noting.keys().iter().cloned().collect();
        if let Err(error) = store.forget(&keys).await {
            found = found.and_then(|()| Err(format!("what was written cannot be forgotten: {error}")));
        }
        checks.push((*name, found));
    }
    Report { checks }
}

impl Report {
    /// Whether all checks passed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|(_, found)| found.is_ok())
    }

    /// The checks that failed, each with its message.
    pub fn wrong(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.checks.iter().filter_map(|(name, found)| Some((*name, found.as_ref().err()?.as_str())))
    }

    /// All checks by name, and whether each passed.
    pub fn checks(&self) -> impl Iterator<Item = (&'static str, bool)> {
        self.checks.iter().map(|(name, found)| (*name, found.is_ok()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, found) in &self.checks {
            match found {
                Ok(()) => writeln!(f, "ok     {name}")?,
                Err(words) => writeln!(f, "WRONG  {name}: {words}")?,
            }
        }
        Ok(())
    }
}
