//! Limits on concurrent calls: in all, and for each callee.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::id::PageId;

/// The other end of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Callee {
    /// The Graph API, for this Page.
    Page(PageId),
    /// The desk's endpoint.
    Desk,
}

/// Places for calls under way. One callee gets at most half of them, so that a callee whose calls hang does not block the others.
#[derive(Debug)]
pub(super) struct Calls {
    all: Semaphore,
    share: usize,
    shares: Mutex<HashMap<Callee, Arc<Semaphore>>>,
    waiting: AtomicUsize,
    may_wait: usize,
}

/// Permission to make one call, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    _share: OwnedSemaphorePermit,
    _all: SemaphorePermit<'a>,
}

/// The reason why a call gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// The service stops.
    Stopping,
    /// No place became free in time.
    Late,
    /// The most calls wait already.
    Crowded,
}

impl Calls {
    /// Allows `at_once` concurrent calls, and `may_wait` calls that wait for a place.
    pub(super) fn new(at_once: usize, may_wait: usize) -> Self {
        Self {
            all: Semaphore::new(at_once),
            share: at_once.div_ceil(2),
            shares: Mutex::default(),
            waiting: AtomicUsize::new(0),
            may_wait,
        }
    }

    /// Waits for a place, first come first served, no longer than `within`. `within` is evaluated only if the call has to
    /// wait.
    pub(super) async fn place(
        &self,
        callee: Callee,
        within: impl FnOnce() -> Duration,
    ) -> Result<Place<'_>, NoPlace> {
        let share = self.share_of(callee);
        if let Ok(own) = Arc::clone(&share).try_acquire_owned()
            && let Ok(all) = self.all.try_acquire()
        {
            return Ok(Place { _share: own, _all: all });
        }
        if self.all.is_closed() {
            return Err(NoPlace::Stopping);
        }
        let _waiting = self.wait().ok_or(NoPlace::Crowded)?;
        let waiting = async {
            // The callee's share first, so that waiting for the common limit blocks only calls to the same callee.
            let own = share.acquire_owned().await?;
            self.all.acquire().await.map(|all| Place { _share: own, _all: all })
        };
        match tokio::time::timeout(within(), waiting).await {
            Ok(place) => place.map_err(|_| NoPlace::Stopping),
            Err(_) => Err(NoPlace::Late),
        }
    }

    /// The number of calls that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Refuses all calls that wait and all later ones. Calls under way continue.
    pub(super) fn close(&self) {
        self.all.close();
        for share in self.shares.lock().unwrap_or_else(PoisonError::into_inner).values() {
            share.close();
        }
    }

    /// Shares are never removed: there is one for each Page.
    fn share_of(&self, callee: Callee) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shares.entry(callee).or_insert_with(|| Arc::new(Semaphore::new(self.share))))
    }

    fn wait(&self) -> Option<Waiting<'_>> {
        let more = |waiting| (waiting < self.may_wait).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Waiting(&self.waiting))
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn page(id: u64) -> Callee {
        Callee::Page(PageId::from(id))
    }

    async fn ask(calls: &Calls, callee: Callee) -> Result<Place<'_>, NoPlace> {
        calls.place(callee, || SECOND).await
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_one_page_leave_half_of_the_places_to_others() {
        let calls = Calls::new(4, 100);
        let hanging = [ask(&calls, page(1)).await.unwrap(), ask(&calls, page(1)).await.unwrap()];
        assert_eq!(ask(&calls, page(1)).await.unwrap_err(), NoPlace::Late);
        let other = ask(&calls, page(2)).await.unwrap();
        let desk = ask(&calls, Callee::Desk).await.unwrap();
        assert_eq!(ask(&calls, page(3)).await.unwrap_err(), NoPlace::Late, "four are under way");
        drop(desk);
        let third = ask(&calls, page(3)).await.unwrap();
        drop((hanging, other, third));
        assert!(ask(&calls, page(1)).await.is_ok() && calls.waiting() == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_wait_are_served_in_order_and_bounded_in_number() {
        let calls = Arc::new(Calls::new(2, 3));
        let first = ask(&calls, page(1)).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..3 {
            let (calls, order) = (Arc::clone(&calls), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let place = ask(&calls, page(1)).await.unwrap();
                order.lock().unwrap().push(number);
                drop(place);
            }));
            tokio::task::yield_now().await;
        }
        assert_eq!((calls.waiting(), ask(&calls, page(1)).await.unwrap_err()), (3, NoPlace::Crowded));
        drop(first);
        for one in waiting {
            one.await.unwrap();
        }
        assert_eq!((order.lock().unwrap().as_slice(), calls.waiting()), (&[0, 1, 2][..], 0));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_wait_give_up_when_the_service_stops() {
        let calls = Calls::new(1, 100);
        let under_way = ask(&calls, page(1)).await.unwrap();
        let begun = tokio::time::Instant::now();
        let stop = async {
            tokio::task::yield_now().await;
            calls.close();
        };
        let (same, other, ()) = tokio::join!(ask(&calls, page(1)), ask(&calls, page(2)), stop);
        assert_eq!((same.unwrap_err(), other.unwrap_err()), (NoPlace::Stopping, NoPlace::Stopping));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        drop(under_way);
        for callee in [page(1), page(3), Callee::Desk] {
            assert_eq!(ask(&calls, callee).await.unwrap_err(), NoPlace::Stopping);
        }
    }
}
