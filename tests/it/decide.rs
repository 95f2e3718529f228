//! Decisions of the handler before a notice is saved: one write, and nothing lost or doubled when the write fails.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{Builder, Handler, HandlerError, Handover, HandoverError, Notification};
use messenger_handover::id::ThreadKey;
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{MemoryStore, ThreadStore};
use messenger_handover::thread::{Actions, Limits, MessageStatus, Notice, Target};
use tokio::time::Instant;
use wiremock::MockServer;

use crate::store::{Moody, a_graph, message};
use crate::world::{Virtual, bot, desk, thread};

/// A bot that echoes messages. It decides about those of which `decides` holds, and hands over on "person".
#[derive(Clone)]
struct Echoing {
    decides: fn(mid: &str) -> bool,
    /// The ids of messages about which it was asked to decide, and other notices; then the same of its notifications.
    decided: Arc<Mutex<Vec<String>>>,
    notified: Arc<Mutex<Vec<String>>>,
}

impl Echoing {
    fn new(decides: fn(mid: &str) -> bool) -> Self {
        Self { decides, decided: Arc::default(), notified: Arc::default() }
    }

    fn seen(&self) -> (Vec<String>, Vec<String>) {
        (self.decided.lock().unwrap().clone(), self.notified.lock().unwrap().clone())
    }
}

fn name(notice: &Notice) -> String {
    match notice {
        Notice::Message { inbound, .. } => inbound.mid.as_ref().unwrap().to_string(),
        other => format!("{other:?}").split([' ', '{']).next().unwrap().to_owned(),
    }
}

fn answer(notice: &Notice) -> Actions {
    let mut actions = Actions::none();
    for inbound in notice.to_answer() {
        let mid = inbound.mid.as_ref().unwrap().to_string();
        actions = actions.and_reply_to(inbound, OutgoingMessage::text(format!("re {mid}")).unwrap());
        if mid.contains("person") {
            actions = actions.and_hand_over(Target::Desk);
        }
    }
    actions
}

#[async_trait]
impl Handler for Echoing {
    async fn notify(&self, _: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
        self.notified.lock().unwrap().push(name(&told.notice));
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(answer(&told.notice))
    }

    fn decide(&self, of: &ThreadKey, notice: &Notice) -> Option<Actions> {
        assert_eq!(*of, thread());
        let name = name(notice);
        let decides = (self.decides)(&name);
        assert!(!name.contains("panic"), "on purpose");
        self.decided.lock().unwrap().push(name);
        decides.then(|| answer(notice))
    }
}

fn builder(graph: &MockServer, handler: &Echoing) -> Builder {
    let client = GraphClient::builder().base_url(graph.uri().parse().unwrap());
    let client = client.page(thread().page, "token".into()).build().unwrap();
    let (role, policy) = (Role::Bot, ThreadControlPolicy::BotPrimary);
    Handover::builder(bot(), role, policy, client, handler.clone())
}

fn a_bot(graph: &MockServer, store: impl ThreadStore, handler: &Echoing) -> Handover {
    builder(graph, handler).desk_app(desk()).store(store).start().unwrap()
}

/// The texts that were sent, in order.
async fn sent(graph: &MockServer) -> Vec<String> {
    let requests = graph.received_requests().await.unwrap();
    let texts = requests.iter().filter(|request| request.url.path().ends_with("/messages")).map(|request| {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        body["message"]["text"].as_str().unwrap().to_owned()
    });
    texts.collect()
}

async fn settled(handover: &Handover) {
    assert!(handover.settled(Duration::from_secs(10)).await);
}

/// A message that needs no reply is one write, where a notification takes a second one.
#[tokio::test]
async fn decision_is_saved_with_its_message() {
    for (decides, writes) in [(true, 1), (false, 2)] {
        let (graph, store) = (a_graph(0).await, Arc::new(Moody::default()));
        let handler = Echoing::new(if decides { |_| true } else { |_| false });
        let bot = a_bot(&graph, Arc::clone(&store), &handler);
        // On standby it is not to be answered.
        let (key, mut event) = message("m1");
        event.channel = messenger_handover::event::Channel::Standby;
        bot.events(vec![(key, event)]).await.unwrap();
        settled(&bot).await;
        assert_eq!(store.writes.load(Ordering::SeqCst), writes);
        let notified = if decides { vec![] } else { vec!["m1".to_owned()] };
        assert_eq!(handler.seen(), (vec!["m1".to_owned()], notified));
        assert_eq!(sent(&graph).await, [""; 0]);
    }
}

/// Replies and a hand-over that were decided are carried out, in order. `notify` gets nothing that is decided.
#[tokio::test]
async fn decision_may_reply_and_hand_over() {
    let (graph, handler) = (a_graph(0).await, Echoing::new(|_| true));
    let bot = a_bot(&graph, MemoryStore::new(), &handler);
    bot.events(vec![message("m1"), message("m2"), message("m3, a person")]).await.unwrap();
    settled(&bot).await;
    assert_eq!(sent(&graph).await, ["re m1", "re m2", "re m3, a person"]);
    let (decided, notified) = handler.seen();
    assert_eq!(decided[..3], ["m1", "m2", "m3, a person"]);
    assert_eq!(decided.iter().filter(|name| *name == "MessageSent").count(), 3, "{decided:?}");
    assert_eq!(notified, [""; 0]);
    let passes = graph.received_requests().await.unwrap();
    let passes = passes.iter().filter(|request| request.url.path().ends_with("pass_thread_control"));
    assert_eq!(passes.count(), 1);
}

/// Whatever is decided and whatever is left to `notify`, messages are answered in order.
#[tokio::test]
async fn decisions_and_notifications_keep_the_order() {
    let deciders: [fn(&str) -> bool; 3] =
        [|mid| mid.ends_with(['1', '4']), |mid| mid.ends_with(['2', '3']), |mid| mid.contains("m0")];
    for decides in deciders {
        let (graph, handler) = (a_graph(0).await, Echoing::new(decides));
        let bot = a_bot(&graph, MemoryStore::new(), &handler);
        let all: Vec<_> = (0..20).map(|number| format!("m{number:02}")).collect();
        for some in all.chunks(3) {
            bot.events(some.iter().map(|mid| message(mid)).collect()).await.unwrap();
        }
        settled(&bot).await;
        let answers: Vec<_> = all.iter().map(|mid| format!("re {mid}")).collect();
        assert_eq!(sent(&graph).await, answers);
        let (_, notified) = handler.seen();
        let notified: Vec<_> = notified.into_iter().filter(|name| name.starts_with('m')).collect();
        let left: Vec<_> = all.into_iter().filter(|mid| !decides(mid)).collect();
        assert_eq!(notified, left, "each message goes one way");
    }
}

/// Another replica wrote meanwhile: the decision is asked for again, and only the saved one counts.
#[tokio::test]
async fn decision_after_a_conflict_is_made_again() {
    let (graph, store, handler) = (a_graph(0).await, Arc::new(Moody::default()), Echoing::new(|_| true));
    let (one, other) =
        (a_bot(&graph, Arc::clone(&store), &handler), a_bot(&graph, Arc::clone(&store), &handler));
    for (number, replica) in [&one, &other, &one, &other].into_iter().enumerate() {
        // Each replica's copy of the conversation is outdated from its second turn on.
        replica.events(vec![message(&format!("m{number}"))]).await.unwrap();
        settled(replica).await;
    }
    let mut texts = sent(&graph).await;
    texts.sort();
    assert_eq!(texts, ["re m0", "re m1", "re m2", "re m3"]);
    let (decided, _) = handler.seen();
    assert!(decided.len() > 4, "no conflict: {decided:?}");
    let key = MessageKey::new("re:m2:0").unwrap();
    assert!(matches!(other.message_status(&thread(), &key).await.unwrap(), Some(MessageStatus::Sent { .. })));
}

/// A write that failed leaves nothing behind: the redelivery is decided anew. One that was done after all is found done.
#[tokio::test]
async fn decision_that_could_not_be_saved_is_made_again() {
    let (graph, store, handler) = (a_graph(0).await, Arc::new(Moody::default()), Echoing::new(|_| true));
    let bot = a_bot(&graph, Arc::clone(&store), &handler);
    store.refuses.store(5, Ordering::SeqCst);
    assert!(matches!(bot.events(vec![message("m1")]).await, Err(HandoverError::Store(_))));
    assert_eq!((sent(&graph).await.len(), bot.thread(&thread()).await.unwrap().waiting_notices()), (0, 0));
    bot.events(vec![message("m1")]).await.unwrap();
    bot.events(vec![message("m1")]).await.unwrap();
    settled(&bot).await;
    assert_eq!(sent(&graph).await, ["re m1"]);
    store.hides.store(1, Ordering::SeqCst);
    bot.events(vec![message("m2")]).await.unwrap();
    settled(&bot).await;
    assert_eq!(sent(&graph).await, ["re m1", "re m2"]);
}

/// A decision that panics leaves the message to `notify`.
#[tokio::test]
async fn decision_that_panics_is_left_to_the_notification() {
    let (graph, handler) = (a_graph(0).await, Echoing::new(|_| true));
    let bot = a_bot(&graph, MemoryStore::new(), &handler);
    bot.events(vec![message("panic 1"), message("m2")]).await.unwrap();
    settled(&bot).await;
    assert_eq!(sent(&graph).await, ["re panic 1", "re m2"]);
    let (decided, notified) = handler.seen();
    assert_eq!(decided[0], "m2");
    assert_eq!(notified, ["panic 1"]);
    assert_eq!(bot.stats().handler_failures, 1);
}

/// An action that is refused comes back as a notice, as one of a notification does.
#[tokio::test]
async fn decision_that_is_refused_is_notified() {
    let (graph, handler) = (a_graph(0).await, Echoing::new(|name| name.contains("person")));
    let bot = builder(&graph, &handler).start().unwrap();
    bot.events(vec![message("a person")]).await.unwrap();
    settled(&bot).await;
    assert_eq!(sent(&graph).await, ["re a person"]);
    let (decided, notified) = handler.seen();
    assert_eq!(decided[..2], ["a person", "ActionRefused"], "there is no desk");
    assert_eq!(notified[0], "ActionRefused");
}

/// A handler that notes how many writes there were when it was asked.
struct Counting(Arc<Moody>, Arc<Mutex<Vec<(String, usize)>>>);

#[async_trait]
impl Handler for Counting {
    async fn notify(&self, _: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
        panic!("everything is decided: {told:?}");
    }

    fn decide(&self, _: &ThreadKey, notice: &Notice) -> Option<Actions> {
        self.1.lock().unwrap().push((name(notice), self.0.writes.load(Ordering::SeqCst)));
        Some(Actions::none())
    }
}

/// A notice of a call or a command would not come again if its step was not saved: it is saved first.
#[tokio::test]
async fn decision_about_what_is_not_redelivered_waits_until_it_is_saved() {
    let (graph, store, asked) = (a_graph(0).await, Arc::new(Moody::default()), Arc::default());
    let client = GraphClient::builder().base_url(graph.uri().parse().unwrap());
    let client = Arc::new(client.page(thread().page, "token".into()).build().unwrap());
    let handler = Counting(Arc::clone(&store), Arc::clone(&asked));
    let bot = Handover::builder(bot(), Role::Bot, ThreadControlPolicy::BotPrimary, client, handler);
    let bot = bot.desk_app(desk()).store(Arc::clone(&store)).start().unwrap();
    // The send, its outcome; the end of the notice; the hand-over, its outcome.
    let text = OutgoingMessage::text("a").unwrap();
    bot.send(&thread(), MessageKey::new("a").unwrap(), text).await.unwrap();
    settled(&bot).await;
    bot.hand_over(&thread(), Target::Desk).await.unwrap();
    settled(&bot).await;
    let asked = asked.lock().unwrap();
    let at = |wanted: &str| asked.iter().find(|(name, _)| name == wanted).map(|(_, writes)| *writes);
    assert_eq!((at("MessageSent"), at("Transferred")), (Some(2), Some(5)), "{asked:?}");
}

/// A decision that there is no room for is asked for again.
#[tokio::test(start_paused = true)]
async fn decision_that_has_no_room_is_made_again() {
    let (store, asked) = (Arc::new(Moody::default()), Echoing::new(|_| true));
    let client = GraphClient::builder().base_url("http://127.0.0.1:1".parse().unwrap());
    let client = Arc::new(client.page(thread().page, "token".into()).build().unwrap());
    let bot = Handover::builder(bot(), Role::Bot, ThreadControlPolicy::BotPrimary, client, asked.clone());
    let mut limits = Limits::default();
    limits.messages = 1;
    let bot = bot.limits(limits).store(store).clock(Virtual(Instant::now())).start().unwrap();
    bot.events(vec![message("m1"), message("m2")]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (decided, notified) = asked.seen();
    assert!(decided.iter().filter(|name| *name == "m2").count() > 1, "{decided:?}");
    assert_eq!(notified, [""; 0]);
}
