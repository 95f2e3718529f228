use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll, ready};

use foldhash::HashMap;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use smallvec::smallvec;
use tokio::sync::{Notify, oneshot};

use crate::id::ThreadKey;

use super::batch::{Keys, Places};

/// One lock for each conversation that is being changed in this process; the store's versions guard
/// against other processes.
#[derive(Debug, Default)]
pub(super) struct Locks {
    /// The conversations that somebody is busy with, and who waits for each, in order.
    busy: Arc<Mutex<HashMap<ThreadKey, VecDeque<oneshot::Sender<Held>>>>>,
    watched: Arc<Mutex<HashMap<ThreadKey, Arc<Notify>>>>,
}

/// Conversations that nobody else in this process changes until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) keys: Keys,
    busy: Arc<Mutex<HashMap<ThreadKey, VecDeque<oneshot::Sender<Held>>>>>,
}

/// The turns of somebody who asked for several conversations. Each is worked on when it is free: who waited for all of them
/// would keep others waiting for those that it has.
#[derive(Debug)]
pub(super) struct Turns {
    free: Option<Turn>,
    /// Nothing if all were free.
    waiting: Option<FuturesUnordered<Waiting>>,
}

/// Some of the conversations that were asked for, and their places among them.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) places: Places,
    pub(super) held: Held,
}

#[derive(Debug)]
struct Waiting {
    place: usize,
    turn: oneshot::Receiver<Held>,
}

impl Future for Waiting {
    type Output = Option<Turn>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Turn>> {
        let place = self.place;
        let held = ready!(Pin::new(&mut self.turn).poll(cx));
        Poll::Ready(held.ok().map(|held| Turn { places: smallvec![place], held }))
    }
}

impl Turns {
    /// The next of them, with all whose turn has come; nothing when each was given.
    pub(super) async fn next(&mut self) -> Option<Turn> {
        if let Some(free) = self.free.take() {
            return Some(free);
        }
        let waiting = self.waiting.as_mut()?;
        let mut turn = loop {
            // Nothing if the locks are gone; so is whoever would be disturbed then.
            if let Some(turn) = waiting.next().await? {
                break turn;
            }
        };
        while let Some(Some(Some(mut more))) = waiting.next().now_or_never() {
            turn.places.append(&mut more.places);
            turn.held.keys.append(&mut more.held.keys);
        }
        Some(turn)
    }

    /// Whether there is one more to wait for.
    pub(super) fn are_left(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.is_empty())
    }
}

/// Somebody wants to know when a conversation changes.
#[derive(Debug)]
pub(super) struct Watch {
    key: ThreadKey,
    /// Nothing only while it is dropped.
    notify: Option<Arc<Notify>>,
    watched: Arc<Mutex<HashMap<ThreadKey, Arc<Notify>>>>,
}

impl Locks {
    /// Gets in line for each of these, which are all different.
    pub(super) fn ask<'a>(&self, keys: impl ExactSizeIterator<Item = &'a ThreadKey>) -> Turns {
        let mut free = Turn {
            places: Places::with_capacity(keys.len()),
            held: Held { keys: Keys::with_capacity(keys.len()), busy: Arc::clone(&self.busy) },
        };
        let mut waiting = None;
        let mut busy = lock(&self.busy);
        for (place, key) in keys.enumerate() {
            match busy.entry(key.clone()) {
                Entry::Vacant(line) => {
                    free.held.keys.push(key.clone());
                    free.places.push(place);
                    line.insert(VecDeque::new());
                }
                Entry::Occupied(mut line) => {
                    let (next, turn) = oneshot::channel();
                    line.get_mut().push_back(next);
                    waiting.get_or_insert_with(FuturesUnordered::new).push(Waiting { place, turn });
                }
            }
        }
        drop(busy);
        Turns { free: (!free.places.is_empty()).then_some(free), waiting }
    }

    pub(super) fn watch(&self, key: &ThreadKey) -> Watch {
        let notify = Arc::clone(lock(&self.watched).entry(key.clone()).or_default());
        Watch { key: key.clone(), notify: Some(notify), watched: Arc::clone(&self.watched) }
    }

    pub(super) fn tell_changed(&self, keys: &[ThreadKey]) {
        let watched = lock(&self.watched);
        if !watched.is_empty() {
            keys.iter().filter_map(|key| watched.get(key)).for_each(|watch| watch.notify_waiters());
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut left = std::mem::take(&mut self.keys);
        while !left.is_empty() {
            let mut nexts = Vec::new();
            {
                let mut busy = lock(&self.busy);
                for key in left.drain(..) {
                    let Entry::Occupied(mut waiting) = busy.entry(key) else { continue };
                    match waiting.get_mut().pop_front() {
                        Some(next) => nexts.push((waiting.key().clone(), next)),
                        None => drop(waiting.remove()),
                    }
                }
            }
            for (key, next) in nexts {
                // Whoever waited may be gone; then it is the turn of the one behind.
                if let Err(mut back) = next.send(Self { keys: smallvec![key], busy: Arc::clone(&self.busy) })
                {
                    left.append(&mut back.keys);
                }
            }
        }
    }
}

impl Watch {
    /// The next change after this call.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.notify().notified()
    }

    #[expect(clippy::expect_used, reason = "it is there until the watch is dropped")]
    fn notify(&self) -> &Notify {
        self.notify.as_ref().expect("the watch is not dropped")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = lock(&self.watched);
        // Under the lock, so that of two that are dropped at once the second sees that it is the last.
        drop(self.notify.take());
        if watched.get(&self.key).is_some_and(|notify| Arc::strong_count(notify) == 1) {
            watched.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::id::{PageId, UserId};

    fn key(user: u64) -> ThreadKey {
        ThreadKey::new(PageId::from(1), UserId::from(user))
    }

    const SOON: Duration = Duration::from_millis(5);

    /// All of them.
    async fn hold(locks: &Locks, keys: &[ThreadKey]) -> Vec<Turn> {
        let (mut turns, mut all) = (locks.ask(keys.iter()), Vec::new());
        while let Some(turn) = turns.next().await {
            all.push(turn);
        }
        all
    }

    #[tokio::test]
    async fn a_conversation_nobody_is_busy_with_costs_nothing() {
        let locks = Locks::default();
        let (one, watch) = (hold(&locks, &[key(1)]).await, locks.watch(&key(1)));
        assert!(timeout(SOON, hold(&locks, &[key(1)])).await.is_err());
        drop((one, watch));
        // Who gave up waiting is passed over.
        let two = hold(&locks, &[key(1), key(2)]).await;
        assert_eq!(lock(&locks.busy).len(), 2);
        drop(two);
        assert!(lock(&locks.busy).is_empty() && lock(&locks.watched).is_empty());
    }

    #[tokio::test]
    async fn who_waits_gets_it_in_turn_and_what_was_got_meanwhile_is_given_back() {
        let locks = Arc::new(Locks::default());
        let first = hold(&locks, &[key(2)]).await;
        let got = Arc::new(Mutex::new(Vec::new()));
        let wait = |name: u32, keys: Vec<ThreadKey>| {
            let (locks, got) = (Arc::clone(&locks), Arc::clone(&got));
            tokio::spawn(async move {
                let held = hold(&locks, &keys).await;
                lock(&got).push(name);
                drop(held);
            })
        };
        let gives_up = wait(0, vec![key(1), key(2)]);
        tokio::time::sleep(SOON).await;
        let others = [wait(1, vec![key(1)]), wait(2, vec![key(2)]), wait(3, vec![key(2)])];
        tokio::time::sleep(SOON).await;
        assert!(lock(&got).is_empty(), "the first holds both: one, and a place in the other's queue");
        gives_up.abort();
        tokio::time::sleep(SOON).await;
        assert_eq!(*lock(&got), [1]);
        drop(first);
        for other in others {
            other.await.unwrap();
        }
        assert_eq!(*lock(&got), [1, 2, 3]);
        assert!(lock(&locks.busy).is_empty());
    }

    #[tokio::test]
    async fn what_is_free_comes_at_once_and_the_rest_one_by_one() {
        let locks = Locks::default();
        let (first, second) = (hold(&locks, &[key(2)]).await, hold(&locks, &[key(3)]).await);
        let mut turns = locks.ask([key(1), key(2), key(3), key(4)].iter());
        let free = turns.next().await.unwrap();
        assert_eq!((&free.places[..], &free.held.keys[..]), (&[0, 3][..], &[key(1), key(4)][..]));
        assert!(timeout(SOON, turns.next()).await.is_err());
        // Those that are done with are free for others, whatever is waited for.
        drop(free);
        assert!(timeout(SOON, hold(&locks, &[key(1)])).await.is_ok());
        drop(second);
        assert_eq!(turns.next().await.unwrap().places[..], [2]);
        drop(first);
        assert_eq!(turns.next().await.unwrap().held.keys[..], [key(2)]);
        assert!(turns.next().await.is_none() && lock(&locks.busy).is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nothing_is_left_of_those_that_end_at_the_same_time() {
        let locks = Arc::new(Locks::default());
        let changing = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let mut busy = tokio::task::JoinSet::new();
        for turn in 0..20_000_u64 {
            let (locks, changing) = (Arc::clone(&locks), Arc::clone(&changing));
            busy.spawn(async move {
                let keys = [key(turn / 4), key(1_000_000)];
                let held = hold(&locks, &keys);
                // Some give up at any moment.
                let held =
                    if turn % 3 == 0 { timeout(Duration::ZERO, held).await.ok() } else { Some(held.await) };
                if held.is_some() {
                    assert_eq!(changing.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    changing.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
        while let Some(ended) = busy.join_next().await {
            ended.unwrap();
        }
        assert!(lock(&locks.busy).is_empty());
    }
}
