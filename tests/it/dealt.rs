//! What the handler has dealt with is saved with the next write of its conversation, or soon.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use messenger_handover::handover::{BoxError, Builder, Handler, Handover, HandoverError, Stopped, Told};
use messenger_handover::thread::NoticeId;
use tokio::sync::Semaphore;
use wiremock::MockServer;

use crate::store::{Moody, a_graph, desk_at, message, messages_told};
use crate::world::{Ear, thread};

/// Longer than any of these takes; no longer than a quarter of a notice's lease.
const LONG: Duration = Duration::from_secs(15);

fn within(within: Duration) -> impl FnOnce(Builder) -> Builder {
    move |desk| desk.dealt_within(within)
}

async fn a_desk(within_: Duration) -> (Arc<Moody>, Ear, Handover, MockServer) {
    let (store, ear, graph) = (Arc::new(Moody::default()), Ear::default(), a_graph(0).await);
    let desk = desk_at(&graph, Arc::clone(&store), ear.clone(), within(within_));
    (store, ear, desk, graph)
}

fn writes(store: &Moody) -> usize {
    store.writes.load(Ordering::SeqCst)
}

async fn soon(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn it_goes_with_the_next_write_and_a_stop_leaves_nothing() {
    let (store, ear, desk, _graph) = a_desk(LONG).await;
    for (mid, many) in [("m1", 1), ("m2", 2), ("m3", 3)] {
        desk.events(vec![message(mid)]).await.unwrap();
        assert_eq!((messages_told(&ear), writes(&store)), (many, many));
    }
    // It is known, and what was dealt with is saved by it.
    desk.events(vec![message("m3")]).await.unwrap();
    desk.events(vec![message("m3")]).await.unwrap();
    assert_eq!((messages_told(&ear), writes(&store)), (3, 4));
    assert!(desk.open_threads(None, 1).await.unwrap().is_empty());

    desk.events(vec![message("m4")]).await.unwrap();
    assert_eq!(desk.open_threads(None, 1).await.unwrap(), [thread()]);
    assert_eq!(desk.stop(Duration::from_secs(5)).await, Stopped::Finished);
    assert!(desk.open_threads(None, 1).await.unwrap().is_empty());
    assert_eq!((messages_told(&ear), writes(&store)), (4, 6));
}

#[tokio::test]
async fn it_is_saved_when_its_time_is_over_or_at_once() {
    let (store, ear, desk, _graph) = a_desk(Duration::from_millis(100)).await;
    for round in 1..=3 {
        desk.events(vec![message(&format!("m{round}"))]).await.unwrap();
        soon("it is not saved", async || desk.open_threads(None, 1).await.unwrap().is_empty()).await;
        assert_eq!((messages_told(&ear), writes(&store)), (round, 2 * round));
    }
    let (store, _, desk, _graph) = a_desk(Duration::ZERO).await;
    desk.events(vec![message("m1")]).await.unwrap();
    soon("it waits all the same", async || writes(&store) == 2).await;
    assert!(desk.open_threads(None, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_waits_behind_it_does_not_wait_for_that() {
    let (store, ear, desk, _graph) = a_desk(LONG).await;
    desk.events(vec![message("m1"), message("m2"), message("m3")]).await.unwrap();
    soon("what waits is not told", async || messages_told(&ear) == 3).await;
    // The last of them has nothing behind it.
    soon("two are to be saved", async || writes(&store) == 3).await;
    desk.events(vec![message("m4")]).await.unwrap();
    assert_eq!((messages_told(&ear), writes(&store)), (4, 4));
}

/// Deals with nothing before it may.
#[derive(Clone)]
struct Slow {
    ear: Ear,
    may: Arc<Semaphore>,
}

#[async_trait]
impl Handler for Slow {
    async fn told(&self, handover: &Handover, told: &Told) -> Result<(), BoxError> {
        self.may.acquire().await?.forget();
        self.ear.told(handover, told).await
    }
}

#[tokio::test]
async fn what_comes_while_the_handler_is_busy_is_told_when_it_is_not() {
    let (store, graph) = (Arc::new(Moody::default()), a_graph(0).await);
    let slow = Slow { ear: Ear::default(), may: Arc::new(Semaphore::new(0)) };
    let desk = desk_at(&graph, Arc::clone(&store), slow.clone(), within(LONG));
    desk.events(vec![message("m1")]).await.unwrap();
    desk.events(vec![message("m2")]).await.unwrap();
    slow.may.add_permits(2);
    soon("the second is not told", async || messages_told(&slow.ear) == 2).await;
    // The second was dealt with at once.
    assert_eq!(writes(&store), 3);
    slow.may.add_permits(1);
    desk.events(vec![message("m3")]).await.unwrap();
    assert_eq!((messages_told(&slow.ear), writes(&store)), (3, 4));
}

/// What many take in at the same time, on several threads, is told in order, without waiting, and once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_nothing_waits_and_nothing_is_told_twice() {
    const MANY: usize = 400;
    let (_store, ear, desk, _graph) = a_desk(LONG).await;
    let begun = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..4 {
        let desk = desk.clone();
        senders.spawn(async move {
            for number in (0..MANY).filter(|number| number % 4 == sender) {
                while let Err(error) = desk.events(vec![message(&format!("m{number}"))]).await {
                    assert!(matches!(error, HandoverError::Refused(_)), "{error:?}");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent.unwrap();
    }
    soon("they are not all told", async || messages_told(&ear) >= MANY).await;
    assert!(begun.elapsed() < LONG, "something waited for its time to be over");
    assert_eq!(desk.stop(Duration::from_secs(5)).await, Stopped::Finished);
    assert_eq!(messages_told(&ear), MANY);
    assert!(desk.open_threads(None, 1).await.unwrap().is_empty());
}

/// What was taken along by a write that failed is saved with the next one.
#[tokio::test]
async fn a_store_that_fails_loses_nothing_of_it() {
    let (store, ear, desk, _graph) = a_desk(LONG).await;
    desk.events(vec![message("m1")]).await.unwrap();
    store.refuses.store(5, Ordering::SeqCst);
    let refused = desk.events(vec![message("m2")]).await.unwrap_err();
    assert!(matches!(refused, HandoverError::Store(_)), "{refused:?}");
    assert_eq!((messages_told(&ear), writes(&store)), (1, 1));
    desk.events(vec![message("m2")]).await.unwrap();
    assert_eq!((messages_told(&ear), writes(&store)), (2, 2));
    assert_eq!(desk.stop(Duration::from_secs(5)).await, Stopped::Finished);
    assert_eq!(writes(&store), 3);
    assert!(desk.open_threads(None, 1).await.unwrap().is_empty());
}

/// What waits to be saved does not count as being under way.
#[tokio::test]
async fn a_host_with_room_for_one_event_takes_in_the_next() {
    let (store, ear, graph) = (Arc::new(Moody::default()), Ear::default(), a_graph(0).await);
    let one = |desk: Builder| desk.dealt_within(LONG).events_at_once(1);
    let desk = desk_at(&graph, store, ear.clone(), one);
    for mid in ["m1", "m2", "m3"] {
        desk.events(vec![message(mid)]).await.unwrap();
    }
    assert_eq!(messages_told(&ear), 3);
}

/// Another replica tells what it took in when the first has saved what it has dealt with.
#[tokio::test]
async fn another_replica_waits_for_no_longer_than_that() {
    let (store, ear, first, graph) = a_desk(Duration::from_millis(300)).await;
    let other = Ear::default();
    let second = desk_at(&graph, Arc::clone(&store), other.clone(), within(LONG));
    first.events(vec![message("m1")]).await.unwrap();
    second.events(vec![message("m2")]).await.unwrap();
    assert_eq!((messages_told(&ear), messages_told(&other)), (1, 0));
    // By the first, which is the one that saves that there is nothing before it.
    soon("it is not told", async || messages_told(&ear) == 2).await;
    soon("it is not saved", async || first.open_threads(None, 1).await.unwrap().is_empty()).await;
    assert_eq!(messages_told(&other), 0);
}

/// Whom a notice was told to, by its id.
#[derive(Clone, Default)]
struct Ids(Arc<Mutex<Vec<NoticeId>>>);

#[async_trait]
impl Handler for Ids {
    async fn told(&self, _: &Handover, told: &Told) -> Result<(), BoxError> {
        self.0.lock().unwrap().push(told.id);
        Ok(())
    }
}

/// A process that is killed is followed by one that is told again what was not saved, with the same id.
#[tokio::test]
async fn after_a_kill_it_is_told_again_with_the_same_id() {
    let (store, graph, ids) = (Arc::new(Moody::default()), a_graph(0).await, Ids::default());
    let lease = |desk: Builder| {
        let mut timeouts = messenger_handover::thread::Timeouts::default();
        timeouts.notice_lease = Duration::from_secs(2);
        desk.timeouts(timeouts).dealt_within(LONG)
    };
    let killed = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let first = {
        let _here = killed.enter();
        desk_at(&graph, Arc::clone(&store), ids.clone(), lease)
    };
    killed.spawn(async move { first.events(vec![message("m1")]).await.unwrap() }).await.unwrap();
    killed.shutdown_background();
    assert_eq!((ids.0.lock().unwrap().len(), writes(&store)), (1, 1));
    let second = desk_at(&graph, Arc::clone(&store), ids.clone(), lease);
    soon("it is not told again", async || ids.0.lock().unwrap().len() == 2).await;
    let told = ids.0.lock().unwrap().clone();
    assert_eq!(told[0], told[1]);
    soon("it is not saved", async || second.open_threads(None, 1).await.unwrap().is_empty()).await;
}

/// Counts what was told, and fails now and then.
#[derive(Clone, Default)]
struct Fails(Arc<AtomicUsize>);

#[async_trait]
impl Handler for Fails {
    async fn told(&self, _: &Handover, _: &Told) -> Result<(), BoxError> {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 { Err("not now".into()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_handler_that_fails_at_once_is_told_again() {
    let (store, graph, fails) = (Arc::new(Moody::default()), a_graph(0).await, Fails::default());
    let desk = desk_at(&graph, Arc::clone(&store), fails.clone(), within(LONG));
    desk.events(vec![message("m1")]).await.unwrap();
    soon("that it failed is not saved", async || writes(&store) == 2).await;
    soon("it is not told again", async || fails.0.load(Ordering::SeqCst) == 2).await;
    assert_eq!(desk.stop(Duration::from_secs(5)).await, Stopped::Finished);
    assert!(desk.open_threads(None, 1).await.unwrap().is_empty());
}
