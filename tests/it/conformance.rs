//! The conformance checks for stores pass for a correct store, and name the defect of a wrong one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::id::{ThreadKey, UserId};
use messenger_handover::store::{
    Loaded, MemoryStore, StoreError, ThreadStore, Write, WriteOutcome, conformance,
};
use messenger_handover::thread::Thread;
use messenger_handover::time::Timestamp;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance_of_memory_store() {
    let store = Arc::new(MemoryStore::new());
    let report = conformance::check(Arc::clone(&store) as Arc<dyn ThreadStore>).await;
    assert!(report.is_ok(), "{report}");
    assert!(report.checks().count() > 10);
    assert!(store.is_empty(), "the checks leave something behind");
}

/// Defects that a store can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    IgnoresTheVersion,
    WritesWhatIsInConflict,
    AllOrNothing,
    VerdictsBackwards,
    LoadsInItsOwnOrder,
    LosesTheThread,
    CutsLargeBatches,
    KeepsWhatIsRemoved,
    RemovesWhateverTheVersion,
    HasNoLease,
    LeasesForever,
    HandsOutTheLatestFirst,
    IgnoresTheLimit,
    DueAMomentLate,
    RacesForWhatIsDue,
    KeepsTheOldWakeTime,
    TellsTheNextTooLate,
    ListsWhatIsClosed,
    ListsOnePageOnly,
    ForgetsNothing,
    TrimsIds,
    FoldsCase,
    ReadsWhatWasOnce,
    LosesTheEndOfTime,
    Panics,
    Fails,
}

use Fault::*;

#[derive(Debug)]
struct Faulty {
    inner: MemoryStore,
    /// Results of earlier loads.
    cache: Mutex<BTreeMap<ThreadKey, Loaded>>,
    fault: Fault,
}

impl Faulty {
    fn key(&self, key: &ThreadKey) -> ThreadKey {
        let user = key.user.to_string();
        let user = match self.fault {
            TrimsIds => user.trim().to_owned(),
            FoldsCase => user.to_lowercase(),
            _ => user,
        };
        ThreadKey::new(key.page.clone(), UserId::new(user).unwrap())
    }

    fn keys(&self, keys: &[ThreadKey]) -> Vec<ThreadKey> {
        keys.iter().map(|key| self.key(key)).collect()
    }
}

#[async_trait]
impl ThreadStore for Faulty {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        let mut keys = self.keys(keys);
        match self.fault {
            LoadsInItsOwnOrder => keys.sort(),
            Panics => panic!("on purpose"),
            Fails => return Err(StoreError::new("on purpose")),
            _ => {}
        }
        let mut loaded = self.inner.load(&keys).await?;
        if self.fault == ReadsWhatWasOnce {
            let mut cache = self.cache.lock().unwrap();
            for (key, loaded) in keys.iter().zip(&mut loaded) {
                *loaded = cache.insert(key.clone(), loaded.clone()).unwrap_or_else(|| loaded.clone());
            }
        }
        if self.fault == LosesTheThread {
            for loaded in &mut loaded {
                loaded.thread = Ok(Thread::new().into());
            }
        }
        Ok(loaded)
    }

    async fn compare_and_swap(&self, mut writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        let wanted = writes.len();
        let keys: Vec<_> = writes.iter().map(|write| self.key(&write.key)).collect();
        let kept = self.inner.load(&keys).await?;
        for ((write, key), kept) in writes.iter_mut().zip(keys).zip(&kept) {
            write.key = key;
            let removes = write.thread.is_none();
            match self.fault {
                IgnoresTheVersion => write.expected = kept.version,
                RemovesWhateverTheVersion if removes => write.expected = kept.version,
                KeepsWhatIsRemoved if removes => write.thread = Some(Thread::new().into()),
                KeepsTheOldWakeTime if kept.version != 0 => write.wake = Some(Timestamp::from_millis(10)),
                _ => {}
            }
        }
        match self.fault {
            WritesWhatIsInConflict => {
                let verdicts: Vec<_> = writes
                    .iter()
                    .zip(&kept)
                    .map(|(write, kept)| {
                        if write.expected == kept.version {
                            WriteOutcome::Written
                        } else {
                            WriteOutcome::Conflict
                        }
                    })
                    .collect();
                for (write, kept) in writes.iter_mut().zip(&kept) {
                    write.expected = kept.version;
                }
                self.inner.compare_and_swap(writes).await?;
                return Ok(verdicts);
            }
            AllOrNothing if writes.iter().zip(&kept).any(|(write, kept)| write.expected != kept.version) => {
                return Ok(vec![WriteOutcome::Conflict; wanted]);
            }
            CutsLargeBatches => writes.truncate(500),
            _ => {}
        }
        let mut verdicts = self.inner.compare_and_swap(writes).await?;
        if self.fault == VerdictsBackwards {
            verdicts.reverse();
        }
        verdicts.resize(wanted, WriteOutcome::Written);
        Ok(verdicts)
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        let (now, lease, limit) = match self.fault {
            HasNoLease => (now, Duration::ZERO, limit),
            // Like an implementation whose addition overflows.
            LosesTheEndOfTime if lease == Duration::MAX => (now, Duration::ZERO, limit),
            LeasesForever => (now, Duration::MAX, limit),
            IgnoresTheLimit => (now, lease, usize::MAX),
            DueAMomentLate => (now.minus(Duration::from_millis(1)), lease, limit),
            _ => (now, lease, limit),
        };
        if self.fault == RacesForWhatIsDue {
            let seen = self.inner.due(now, Duration::ZERO, limit).await?;
            tokio::task::yield_now().await;
            self.inner.due(now, lease, limit).await?;
            return Ok(seen);
        }
        let mut due = self.inner.due(now, lease, limit).await?;
        if self.fault == HandsOutTheLatestFirst {
            due.reverse();
        }
        Ok(due)
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let next = self.inner.next_due(after).await?;
        let late = |next: Timestamp| next.plus(Duration::from_millis(1));
        Ok(if self.fault == TellsTheNextTooLate { next.map(late) } else { next })
    }

    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        match self.fault {
            ListsOnePageOnly if after.is_some() => Ok(vec![]),
            ListsWhatIsClosed => {
                let far = Timestamp::from_millis(1_000_000);
                let due = self.inner.due(far, Duration::ZERO, usize::MAX).await?;
                let behind = |key: &ThreadKey| after.is_none_or(|after| key > after);
                let mut listed: Vec<_> = due.into_iter().filter(behind).collect();
                listed.sort();
                listed.truncate(limit);
                Ok(listed)
            }
            _ => self.inner.needing_attention(after, limit).await,
        }
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        if self.fault == ForgetsNothing { Ok(()) } else { self.inner.forget(&self.keys(keys)).await }
    }
}

/// Each fault fails a check whose name describes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance_names_each_fault_of_a_store() {
    for (fault, check) in [
        (IgnoresTheVersion, "only_the_expected_version_is_overwritten"),
        (IgnoresTheVersion, "writers_at_the_same_time_lose_nothing"),
        (WritesWhatIsInConflict, "only_the_expected_version_is_overwritten"),
        (AllOrNothing, "each_of_a_batch_has_its_own_verdict"),
        (VerdictsBackwards, "one_thread_twice_in_a_batch_is_written_in_order"),
        (LoadsInItsOwnOrder, "what_is_written_is_read"),
        (LosesTheThread, "what_is_written_is_read"),
        (CutsLargeBatches, "large_batches_and_records_are_kept_whole"),
        (KeepsWhatIsRemoved, "removed_is_gone_and_its_version_too"),
        (RemovesWhateverTheVersion, "removed_is_gone_and_its_version_too"),
        (HasNoLease, "what_is_handed_out_is_leased"),
        (LeasesForever, "what_is_handed_out_is_leased"),
        (HandsOutTheLatestFirst, "the_longest_overdue_comes_first"),
        (IgnoresTheLimit, "the_longest_overdue_comes_first"),
        (DueAMomentLate, "the_longest_overdue_comes_first"),
        (RacesForWhatIsDue, "nobody_else_gets_what_is_handed_out"),
        (KeepsTheOldWakeTime, "a_written_thread_is_due_at_its_new_time"),
        (TellsTheNextTooLate, "the_next_wake_time_is_not_told_too_late"),
        (ListsWhatIsClosed, "open_threads_are_listed_page_by_page"),
        (ListsOnePageOnly, "open_threads_are_listed_page_by_page"),
        (ForgetsNothing, "forgotten_is_gone"),
        (TrimsIds, "ids_are_kept_as_they_are"),
        (FoldsCase, "ids_are_kept_as_they_are"),
        (ReadsWhatWasOnce, "what_was_written_is_read_at_once"),
        (LosesTheEndOfTime, "times_at_the_ends_are_kept"),
        (Panics, "what_is_not_kept_is_fresh"),
        (Fails, "what_is_not_kept_is_fresh"),
    ] {
        let report = conformance::check(Arc::new(Faulty {
            inner: MemoryStore::new(),
            cache: Mutex::default(),
            fault,
        }))
        .await;
        assert!(
            report.wrong().any(|(name, _)| name == check),
            "{fault:?} is not found by {check}:\n{report}"
        );
        assert!(report.to_string().contains(&format!("WRONG  {check}: ")), "{report}");
    }
}
