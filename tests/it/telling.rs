//! Notifications: when the handler is called, and how often.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use messenger_handover::handover::{
    Builder, Handler, HandlerError, Handover, HandoverError, Notification, Stopped,
};
use messenger_handover::id::{ThreadKey, UserId};
use messenger_handover::thread::{Actions, NoticeId, Timeouts};
use tokio::task::JoinSet;

use crate::store::{Moody, a_graph, desk_at, message, messages_told};
use crate::world::{Ear, thread};

fn as_it_is(desk: Builder) -> Builder {
    desk
}

async fn soon(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn is_all_saved(desk: &Handover) -> bool {
    desk.threads_needing_attention(None, 1).await.unwrap().is_empty()
}

/// A handler that records the thread and the id of each notification.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(ThreadKey, NoticeId)>>>);

impl Heard {
    fn all(&self) -> Vec<(ThreadKey, NoticeId)> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Handler for Heard {
    async fn notify(&self, _: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
        self.0.lock().unwrap().push((told.thread.clone(), told.id));
        Ok(Actions::none())
    }
}

/// Conversations of one delivery are notified and completed independently, even while one of them is busy.
#[tokio::test]
async fn notifications_of_a_delivery_do_not_wait_for_a_busy_conversation() {
    let (store, graph, heard) = (Arc::new(Moody::default()), a_graph(0).await, Heard::default());
    let desk = desk_at(&graph, Arc::clone(&store), heard.clone(), as_it_is);
    let (busy, other) = (thread(), ThreadKey::new(thread().page, UserId::from(4711)));
    store.slow_ms.store(1_500, Ordering::SeqCst);
    let first = tokio::spawn({
        let desk = desk.clone();
        async move { desk.events(vec![message("m1")]).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    store.slow_ms.store(0, Ordering::SeqCst);
    let both = tokio::spawn({
        let (desk, other) = (desk.clone(), other.clone());
        async move { desk.events(vec![message("m2"), (other, message("m3").1)]).await.unwrap() }
    });
    let told = |key: &ThreadKey| heard.all().iter().filter(|(thread, _)| thread == key).count();
    soon("it waits for another conversation", async || {
        told(&other) == 1 && desk.thread(&other).await.unwrap().is_at_rest()
    })
    .await;
    assert!(told(&busy) == 0 && !first.is_finished() && !both.is_finished());
    first.await.unwrap();
    both.await.unwrap();
    soon("it is not told", async || told(&busy) == 2 && is_all_saved(&desk).await).await;
    assert_eq!(told(&other), 1);
}

/// Events that several threads submit at the same time are each notified once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn notifications_under_load_are_not_repeated() {
    const MANY: usize = 400;
    let (store, graph, ear) = (Arc::new(Moody::default()), a_graph(0).await, Ear::default());
    let desk = desk_at(&graph, store, ear.clone(), as_it_is);
    let mut senders = JoinSet::new();
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
    assert_eq!(desk.stop(Duration::from_secs(5)).await, Stopped::Finished);
    assert_eq!(messages_told(&ear), MANY);
    assert!(is_all_saved(&desk).await);
}

/// A delivery that the store refused is accepted when it is redelivered.
#[tokio::test]
async fn notifications_are_not_lost_while_the_store_fails() {
    let (store, graph, ear) = (Arc::new(Moody::default()), a_graph(0).await, Ear::default());
    let desk = desk_at(&graph, Arc::clone(&store), ear.clone(), as_it_is);
    desk.events(vec![message("m1")]).await.unwrap();
    soon("it is not saved", async || is_all_saved(&desk).await).await;
    store.refuses.store(5, Ordering::SeqCst);
    let refused = desk.events(vec![message("m2")]).await.unwrap_err();
    assert!(matches!(refused, HandoverError::Store(_)), "{refused:?}");
    assert_eq!(messages_told(&ear), 1);
    desk.events(vec![message("m2")]).await.unwrap();
    assert!(desk.settled(Duration::from_secs(5)).await);
    assert_eq!(messages_told(&ear), 2);
    assert_eq!(desk.stop(Duration::from_secs(5)).await, Stopped::Finished);
    assert!(is_all_saved(&desk).await);
}

/// A handler that makes the store fail when it is notified.
#[derive(Clone)]
struct LosesItsStore(Heard, Arc<Moody>);

#[async_trait]
impl Handler for LosesItsStore {
    async fn notify(&self, handover: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
        self.1.refuses.store(usize::MAX, Ordering::SeqCst);
        self.0.notify(handover, told).await
    }
}

/// After a kill, the next process repeats the notification that was not saved, with the same id.
#[tokio::test]
async fn notifications_after_a_kill_are_repeated_with_the_same_id() {
    let (store, graph, heard) = (Arc::new(Moody::default()), a_graph(0).await, Heard::default());
    let lease = |desk: Builder| {
        let mut timeouts = Timeouts::default();
        timeouts.notice_lease = Duration::from_secs(1);
        desk.timeouts(timeouts)
    };
    let killed = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let first = {
        let _here = killed.enter();
        desk_at(&graph, Arc::clone(&store), LosesItsStore(heard.clone(), Arc::clone(&store)), lease)
    };
    killed.spawn(async move { first.events(vec![message("m1")]).await.unwrap() }).await.unwrap();
    soon("it is not told", async || heard.all().len() == 1).await;
    killed.shutdown_background();
    store.refuses.store(0, Ordering::SeqCst);
    let second = desk_at(&graph, Arc::clone(&store), heard.clone(), lease);
    soon("it is not told again", async || heard.all().len() == 2).await;
    assert_eq!(heard.all()[0], heard.all()[1]);
    soon("it is not saved", async || is_all_saved(&second).await).await;
}

/// A handler that fails on its first notification.
#[derive(Clone, Default)]
struct FailsFirst(Arc<AtomicUsize>);

#[async_trait]
impl Handler for FailsFirst {
    async fn notify(&self, _: &Handover, _: &Notification) -> Result<Actions, HandlerError> {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 { Err("not now".into()) } else { Ok(Actions::none()) }
    }
}

#[tokio::test]
async fn notifications_that_fail_at_once_are_repeated() {
    let (store, graph, fails) = (Arc::new(Moody::default()), a_graph(0).await, FailsFirst::default());
    let desk = desk_at(&graph, store, fails.clone(), as_it_is);
    desk.events(vec![message("m1")]).await.unwrap();
    soon("it is not told again", async || fails.0.load(Ordering::SeqCst) == 2).await;
    soon("it is not saved", async || is_all_saved(&desk).await).await;
}
