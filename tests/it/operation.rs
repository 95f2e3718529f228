//! The operator's view: health, numbers, the log of a handover, spans.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::call::{Failure, FailureKind};
use messenger_handover::control::CallError;
use messenger_handover::handover::{Builder, Unhealthy};
use messenger_handover::prelude::*;
use messenger_handover::testing::FakeClient;

use crate::capture::Log;
use crate::store::Moody;

const WITHIN: Duration = Duration::from_secs(5);

/// Answers every message, and hands over who asks for a person.
struct Bot;

#[async_trait]
impl Handler for Bot {
    async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
        let mut actions = Actions::none();
        for message in notification.to_answer() {
            actions = actions.and_reply_to(message, OutgoingMessage::text("I am a bot.")?);
            if message.text.as_deref() == Some("person") {
                actions = actions.and_hand_over(Target::Desk).with_note("asks for a person");
            }
        }
        Ok(actions)
    }
}

fn customer() -> ThreadKey {
    ThreadKey::new(PageId::from(10), UserId::from(47_110_815))
}

fn a_bot(platform: &FakeClient) -> Builder {
    Handover::builder(1, Role::Bot, ThreadControlPolicy::BotPrimary, platform.clone(), Bot).desk_app(2)
}

/// The customer is answered, gets a person, and comes back.
async fn a_handover(bot: &Handover, platform: &FakeClient) {
    for event in [
        platform.customer_writes(&customer(), "hello"),
        platform.customer_writes(&customer(), "person"),
        platform.customer_writes(&customer(), "are you there?"),
    ] {
        bot.events(vec![event]).await.unwrap();
        assert!(bot.settled(WITHIN).await);
    }
    assert_eq!(platform.owner(&customer()), Some(AppId::from(2)));
    bot.events(vec![platform.passed_to_us(&customer())]).await.unwrap();
    assert!(bot.settled(WITHIN).await);
    assert_eq!(platform.sent(&customer()).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn operation_log_at_info_tells_a_handover_in_order_without_texts_and_ids() {
    let log = Log::default();
    let _logging = tracing::subscriber::set_default(log.subscriber());
    let platform = FakeClient::new(1);
    let bot = a_bot(&platform).hash_user_ids("salt").start().unwrap();
    a_handover(&bot, &platform).await;
    platform.fail_next(CallError::refused(Failure::new(FailureKind::Invalid, "nonsense")));
    bot.events(vec![platform.customer_writes(&customer(), "last")]).await.unwrap();
    assert!(bot.settled(WITHIN).await);

    let said = log.text();
    let story: Vec<_> = said
        .lines()
        .filter(|line| line.contains(" INFO ") || line.contains(" WARN "))
        .filter_map(|line| line.split_once("messenger_handover::handover::story: "))
        .map(|(_, words)| words.split_once(" thread=").map_or(words, |(words, _)| words).to_owned())
        .collect();
    let expected = [
        "message sent",
        "message sent",
        "control given away",
        "control gained",
        "message sent",
        "message failed",
    ];
    assert_eq!(story, expected, "{said}");
    for hidden in ["47110815", "I am a bot", "asks for a person", "are you there"] {
        assert!(!said.contains(hidden), "{hidden} in {said}");
    }
    // A call is part of the delivery that caused it.
    let call = said.lines().find(|line| line.contains("a call failed")).unwrap();
    assert!(
        call.contains("delivery{") && call.contains("call{thread=10/#") && call.contains("WARN"),
        "{call}"
    );
}

#[tokio::test(start_paused = true)]
async fn operation_stats_count_a_handover() {
    let platform = FakeClient::new(1);
    let bot = a_bot(&platform).start().unwrap();
    a_handover(&bot, &platform).await;
    let stats = bot.stats();
    assert_eq!((stats.events_accepted, stats.deliveries_refused, stats.events_under_way), (4, 0, 0));
    assert_eq!((stats.messages_sent, stats.messages_failed, stats.messages_unknown), (3, 0, 0));
    assert_eq!((stats.control_gained, stats.control_lost, stats.control_not_granted), (1, 1, 0));
    assert_eq!((stats.tasks, stats.store_failures, stats.handler_failures), (0, 0, 0));
    assert!(stats.store_calls > 0);
    let calls: Vec<_> = stats.calls.iter().map(|calls| (calls.call, calls.failure, calls.count)).collect();
    assert!(calls.contains(&("messages", None, 3)), "{calls:?}");
    assert!(calls.contains(&("pass_thread_control", None, 1)), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn operation_health_names_what_is_wrong() {
    let (store, platform) = (Arc::new(Moody::default()), FakeClient::new(1));
    let bot = a_bot(&platform).store(Arc::clone(&store)).start().unwrap();
    bot.healthy(WITHIN).await.unwrap();
    store.pings_ms.store(60_000, Ordering::SeqCst);
    assert!(matches!(bot.healthy(WITHIN).await, Err(Unhealthy::StoreTooSlow)));
    store.pings_ms.store(0, Ordering::SeqCst);
    bot.healthy(WITHIN).await.unwrap();
    let _ = bot.stop(WITHIN).await;
    assert!(matches!(bot.healthy(WITHIN).await, Err(Unhealthy::Stopping)));
}
