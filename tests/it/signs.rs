//! Typing indicators and read marks: sent only with control, and never a reason to claim it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use messenger_handover::call::{FailureKind, SenderAction};
use messenger_handover::event::{Channel, ControlChange, Event, EventKind};
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{Handover, HandoverError, Shown, Stopped};
use messenger_handover::http::{Transport, TransportError};
use messenger_handover::id::{AppId, PageId};
use messenger_handover::policy::Role;
use messenger_handover::policy::ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::thread::{Owner, Target};
use messenger_handover::time::Span;
use messenger_sim::Rules;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::world::{BOT, DESK, Ear, PAGE, Setup, Virtual, World, bot, desk, thread};

async fn typing(handover: &Handover) -> Shown {
    handover.sender_action(&thread(), SenderAction::TypingOn).await.unwrap()
}

#[tokio::test]
async fn sender_action_is_shown_by_the_owner_and_claims_nothing() {
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    assert!(matches!(typing(&world.bot.handover).await, Shown::NotOurs), "nobody has written");
    world.customer_writes("hello");
    world.rest().await;
    for action in [SenderAction::MarkSeen, SenderAction::TypingOn, SenderAction::TypingOff] {
        let shown = world.bot.handover.sender_action(&thread(), action).await.unwrap();
        assert!(matches!(shown, Shown::Accepted), "{action:?}: {shown:?}");
    }
    assert_eq!(world.calls(&bot()), ["messages"; 3]);
    assert!(matches!(typing(&world.desk.handover).await, Shown::NotOurs));
    assert_eq!(world.calls(&desk()), [""; 0], "nothing was claimed, and nothing called");

    world.bot.send("one moment").await.unwrap();
    world.bot.handover.hand_over(&thread(), Target::Desk).await.unwrap();
    world.until("the desk has control", |world| world.owner() == Some(desk())).await;
    world.rest().await;
    let calls = world.calls(&bot()).len();
    assert!(matches!(typing(&world.bot.handover).await, Shown::NotOurs));
    assert_eq!(world.calls(&bot()).len(), calls);
    assert!(matches!(typing(&world.desk.handover).await, Shown::Accepted));
    assert_eq!(world.conversation(), ["hello", "one moment"]);
}

#[tokio::test]
async fn sender_action_is_not_shown_in_an_idle_thread() {
    let world = World::start(Setup::new(Rules::no_primary(), NoPrimary)).await;
    world.customer_writes("hello");
    world.rest().await;
    for host in [&world.bot, &world.desk] {
        assert!(matches!(typing(&host.handover).await, Shown::NotOurs));
    }
    world.bot.send("at your service").await.unwrap();
    world.until("the bot has control", |world| world.owner() == Some(bot())).await;
    world.rest().await;
    assert!(matches!(typing(&world.bot.handover).await, Shown::Accepted));
    assert!(matches!(typing(&world.desk.handover).await, Shown::NotOurs));
}

/// The believed owner does not change; the next message finds out.
#[tokio::test]
async fn sender_action_that_the_platform_refuses_is_an_outcome() {
    let world = World::start(Setup::new(Rules::primary(DESK), EdPrimary)).await;
    world.customer_writes("hello");
    world.rest().await;
    assert!(matches!(typing(&world.desk.handover).await, Shown::Accepted));
    // A wrong notification to the bot's host.
    let change = ControlChange::new(None, Some(bot()));
    let at = Span::at(world.sim.now());
    let event = Event::new(Channel::Messaging, at, EventKind::PassThreadControl(change));
    world.bot.handover.events(vec![(thread(), event)]).await.unwrap();
    let shown = typing(&world.bot.handover).await;
    let Shown::Failed(error) = shown else { panic!("{shown:?}") };
    assert_eq!(error.kind(), FailureKind::NotThreadOwner);
    assert_eq!(*world.bot.handover.thread(&thread()).await.unwrap().owner(), Owner::Us);
    assert_eq!(world.calls(&bot()), ["messages #10"]);
}

/// A mock of Graph that never responds in time.
#[derive(Debug, Default)]
struct Hangs(AtomicUsize);

#[async_trait]
impl Transport for Hangs {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        sleep(Duration::from_secs(10)).await;
        Ok(Response::new(Bytes::from(json!({"recipient_id": "77"}).to_string())))
    }
}

#[tokio::test(start_paused = true)]
async fn sender_action_counts_as_a_call_and_ends_with_the_service() {
    let graph = Arc::<Hangs>::default();
    let client = GraphClient::builder().transport(Arc::clone(&graph) as _);
    let client = Arc::new(client.page(PageId::from(PAGE), "token".into()).build().unwrap());
    let builder = Handover::builder(AppId::from(BOT), Role::Bot, BotPrimary, client, Ear::default());
    let handover = builder.clock(Virtual(Instant::now())).calls_at_once(4).start().unwrap();
    let change = ControlChange::new(None, Some(bot()));
    let at = Span::from_platform(1_790_000_000_000);
    let event = Event::new(Channel::Messaging, at, EventKind::PassThreadControl(change));
    handover.events(vec![(thread(), event)]).await.unwrap();

    let begun = Instant::now();
    let hanging: Vec<_> = (0..2)
        .map(|_| {
            let handover = handover.clone();
            tokio::spawn(async move { typing(&handover).await })
        })
        .collect();
    sleep(Duration::from_millis(10)).await;
    assert!(matches!(typing(&handover).await, Shown::NoPlace), "a Page has half of the places");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());

    let waiting = tokio::spawn({
        let handover = handover.clone();
        async move { handover.sender_action(&thread(), SenderAction::TypingOn).await }
    });
    sleep(Duration::from_millis(10)).await;
    let stopped = handover.stop(Duration::from_mins(1)).await;
    assert_eq!((stopped, graph.0.load(Ordering::SeqCst)), (Stopped::Finished, 2));
    assert!(matches!(waiting.await.unwrap(), Err(HandoverError::ShuttingDown)));
    for shown in hanging {
        assert!(matches!(shown.await.unwrap(), Shown::Accepted), "those under way are finished");
    }
    assert!(begun.elapsed() < Duration::from_secs(11), "{:?}", begun.elapsed());
    let after = handover.sender_action(&thread(), SenderAction::TypingOn).await;
    assert!(matches!(after, Err(HandoverError::ShuttingDown)), "{after:?}");
}
