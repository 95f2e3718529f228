//! Sends by an agent while another app has control, and each way of obtaining control.

use messenger_handover::call::{FailureKind, MessageKey, OutgoingMessage};
use messenger_handover::handover::{Accepted, HandoverError};
use messenger_handover::id::AppId;
use messenger_handover::policy::ClaimStep;
use messenger_handover::policy::ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::thread::{
    CommandRefused, FailReason, MessageStatus, Notice, StepOutcome, Target, Unanswered,
};
use messenger_sim::{Platform, RequestUnderDefaultApp, Rules};

use crate::world::{BOT, DESK, Setup, World, bot, desk, thread};

/// Three messages are accepted while the bot has control; all reach the customer, once and in order.
async fn three_answers(setup: Setup, claims: &[&str]) -> World {
    let policy = setup.policy;
    let world = World::start(setup).await;
    world.customer_writes("hello");
    world.rest().await;
    if policy != BotPrimary {
        // The bot obtains control first, as it would in order to reply.
        world.bot.send("at your service").await.unwrap();
        world.until("the bot has control", |world| world.owner() == Some(bot())).await;
        world.rest().await;
    }
    let before = (world.conversation(), world.calls(&desk()).len());
    for key in ["a", "b", "c"] {
        assert_eq!(world.desk.send(key).await.unwrap(), Accepted::New);
    }
    world.until("all are sent", |world| world.conversation().len() >= before.0.len() + 3).await;
    world.rest().await;
    let mut read = before.0;
    read.extend(["a", "b", "c"].map(str::to_owned));
    assert_eq!(world.conversation(), read);
    let calls = world.calls(&desk());
    // If the belief is only a guess, it costs one refused send.
    let claim: Vec<_> = calls[before.1..].iter().filter(|call| !call.starts_with("messages")).collect();
    assert_eq!(claim, claims, "{calls:?}");
    for key in ["a", "b", "c"] {
        assert!(matches!(world.desk.status(key).await, MessageStatus::Sent { mid: Some(_), .. }));
        assert!(matches!(world.desk.send(key).await.unwrap(), Accepted::Duplicate(_)), "a key is used once");
    }
    world.desk.handover.close_intervention(&thread()).await.unwrap();
    world.until("control is released", |world| world.owner().is_none()).await;
    world.rest().await;
    assert_eq!(world.conversation(), read);
    world
}

#[tokio::test]
async fn send_under_bot_primary_requests_control() {
    three_answers(Setup::new(Rules::primary(BOT), BotPrimary), &["request_thread_control"]).await;
}

#[tokio::test]
async fn send_under_ed_primary_takes_control() {
    three_answers(Setup::new(Rules::primary(DESK), EdPrimary), &["take_thread_control"]).await;
}

#[tokio::test]
async fn send_under_no_primary_requests_control() {
    three_answers(Setup::new(Rules::no_primary(), NoPrimary), &["request_thread_control"]).await;
    three_answers(Setup::new(Rules::zero_config(), NoPrimary), &["request_thread_control"]).await;
}

#[tokio::test]
async fn send_under_routing_takes_where_request_is_unavailable() {
    let mut setup = Setup::new(Rules::default_app(BOT), BotPrimary);
    setup.desk_may_take = true;
    three_answers(setup, &["request_thread_control #36100", "take_thread_control"]).await;
}

/// Refusals are cached per Page, so the second claim skips the refused call.
#[tokio::test]
async fn send_uses_cached_refusals_of_the_page() {
    let mut setup = Setup::new(Rules::default_app(BOT), BotPrimary);
    setup.desk_may_take = true;
    let world = three_answers(setup, &["request_thread_control #36100", "take_thread_control"]).await;
    world.customer_writes("one more thing");
    world.rest().await;
    assert_eq!(world.owner(), Some(bot()), "the default application answers first");
    let before = world.calls(&desk()).len();
    world.desk.send("d").await.unwrap();
    world.until("it is sent", |world| world.conversation().last().is_some_and(|text| text == "d")).await;
    let calls = world.calls(&desk());
    assert!(!calls[before..].iter().any(|call| call.starts_with("request")), "{:?}", &calls[before..]);
}

/// The `success` of a request is not a grant. If the request stays unanswered, the desk takes control where permitted.
#[tokio::test]
async fn send_with_unanswered_request_takes_control() {
    let mut setup = Setup::new(Rules::default_app(BOT), BotPrimary);
    setup.platform = Platform::new().with_request_under_default_app(RequestUnderDefaultApp::SilentSuccess);
    setup.desk_may_take = true;
    let world = World::start(setup).await;
    world.customer_writes("hello");
    world.rest().await;
    world.desk.send("a").await.unwrap();
    world.until("it is sent", |world| world.conversation() == ["hello", "a"]).await;
    assert!(world.calls(&desk()).contains(&"take_thread_control".to_owned()));
    assert_eq!(world.owner(), Some(desk()));
}

/// The desk never takes control if the host's configuration forbids it.
#[tokio::test]
async fn send_with_unanswered_request_fails_where_take_is_forbidden() {
    let mut setup = Setup::new(Rules::default_app(BOT), BotPrimary);
    setup.platform = Platform::new().with_request_under_default_app(RequestUnderDefaultApp::SilentSuccess);
    setup.desk_may_take = true;
    setup.when_unanswered = Some(Unanswered::Fail);
    let world = World::start(setup).await;
    world.customer_writes("hello");
    world.rest().await;
    world.desk.send("a").await.unwrap();
    let failed = |notice: &Notice| matches!(notice, Notice::MessageFailed { .. });
    world.until("it fails", |world| world.desk.ear.heard(failed)).await;
    let MessageStatus::Failed(FailReason::NotGranted(report)) = world.desk.status("a").await else {
        panic!("{:?}", world.desk.status("a").await);
    };
    let request = report.steps.iter().find(|tried| tried.step == ClaimStep::Request).unwrap();
    assert_eq!(request.outcome, StepOutcome::Unanswered);
    assert_eq!(world.owner(), Some(bot()));
    assert!(!world.calls(&desk()).contains(&"take_thread_control".to_owned()));
    assert_eq!(world.conversation(), ["hello"]);
}

/// If the desk's request has no effect, the bot passes control to the desk's app directly.
#[tokio::test]
async fn send_to_a_person_works_though_requests_have_no_effect() {
    for policy in [BotPrimary, EdPrimary] {
        let default = if policy == BotPrimary { BOT } else { DESK };
        let mut setup = Setup::new(Rules::default_app(default), policy);
        setup.platform =
            Platform::new().with_request_under_default_app(RequestUnderDefaultApp::SilentSuccess);
        let world = World::start(setup).await;
        world.customer_writes("a person, please");
        world.rest().await;
        world.bot.send("one moment").await.unwrap();
        world.until("the bot answers", |world| world.conversation().len() == 2).await;
        world.bot.handover.hand_over(&thread(), Target::Desk).await.unwrap();
        world.until("the desk has control", |world| world.owner() == Some(desk())).await;
        let gained = |notice: &Notice| matches!(notice, Notice::ControlGained { .. });
        world.until("the desk is told", |world| world.desk.ear.heard(gained)).await;
    }
}

/// A request by an unknown app is notified to the host, which may grant it; it is never granted automatically.
#[tokio::test]
async fn send_by_unknown_app_waits_for_the_host_to_grant() {
    let mut setup = Setup::new(Rules::primary(BOT), BotPrimary);
    setup.bot_trusts = false;
    setup.timeouts.grant = std::time::Duration::from_mins(1);
    let world = World::start(setup).await;
    world.customer_writes("hello");
    world.rest().await;
    world.desk.send("a").await.unwrap();
    let asked = |notice: &Notice| matches!(notice, Notice::ControlRequested { by: Some(by), granted: false, .. } if *by == desk());
    world.until("the bot's host is asked", |world| world.bot.ear.heard(asked)).await;
    assert_eq!(world.owner(), Some(bot()));
    assert!(world.bot.handover.grant(&thread(), AppId::from(3)).await.is_err(), "that app did not ask");
    world.bot.handover.grant(&thread(), desk()).await.unwrap();
    world.until("it is sent", |world| world.conversation() == ["hello", "a"]).await;
    let lost = |notice: &Notice| matches!(notice, Notice::Transferred { to: Some(to) } if *to == desk());
    world.until("the bot's host is told", |world| world.bot.ear.heard(lost)).await;
}

/// A person presses "move to inbox", and the bot passes control to the Page inbox.
#[tokio::test]
async fn send_to_inbox_request_is_granted() {
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    world.customer_writes("hello");
    world.rest().await;
    world.sim.inbox_move(&thread().page, &thread().user).unwrap();
    let inbox = || Some(AppId::from(messenger_handover::id::PAGE_INBOX));
    world.until("the inbox has control", |world| world.owner() == inbox()).await;
}

/// Messages that the customer wrote while the bot was on standby are notified when it gains control.
#[tokio::test]
async fn send_after_standby_notifies_messages_written_meanwhile() {
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    world.customer_writes("hello");
    world.rest().await;
    world.desk.handover.open_intervention(&thread()).await.unwrap();
    world.until("the desk has control", |world| world.owner() == Some(desk())).await;
    world.desk.send("hi, a person here").await.unwrap();
    world.until("it is sent", |world| world.conversation().len() == 2).await;
    world.rest().await;
    world.customer_writes("are you still there?");
    world.rest().await;
    let refused = world.desk.handover.hand_over(&thread(), Target::App(bot())).await;
    assert!(refused.is_err(), "an intervention is engaged");
    assert_eq!(world.owner(), Some(desk()));
    world.desk.handover.close_intervention(&thread()).await.unwrap();
    world.until("released", |world| world.owner().is_none()).await;
    world.rest().await;
    // No webhook announces a release: the bot reads the owner when it is notified that the intervention is closed.
    let (key, message) = (MessageKey::new("x").unwrap(), OutgoingMessage::text("x").unwrap());
    let refused = world.bot.handover.send(&thread(), key, message).await;
    assert!(matches!(refused, Err(HandoverError::Refused(CommandRefused::WithPeople))), "{refused:?}");
    world.bot.handover.intervention_closed(&thread(), None).await.unwrap();
    world.rest().await;
    world.bot.send("back again").await.unwrap();
    world
        .until("it is sent", |world| world.conversation().last().is_some_and(|text| text == "back again"))
        .await;
    world.rest().await;
    let told = world.bot.ear.all();
    let unanswered: Vec<_> = told
        .iter()
        .filter_map(|notice| match notice {
            Notice::ControlGained { unanswered, .. } => Some(unanswered),
            _ => None,
        })
        .flatten()
        .filter_map(|inbound| inbound.text.as_deref())
        .collect();
    assert_eq!(unanswered, ["are you still there?"], "{told:#?}");
}

/// Refusals by the platform keep their reason.
#[tokio::test]
async fn send_outside_the_window_fails_with_that_reason() {
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    world.customer_writes("hello");
    world.rest().await;
    world.sim.advance(std::time::Duration::from_hours(25));
    world.desk.send("too late").await.unwrap();
    let failed = |notice: &Notice| matches!(notice, Notice::MessageFailed { .. });
    world.until("it fails", |world| world.desk.ear.heard(failed)).await;
    let status = world.desk.status("too late").await;
    let MessageStatus::Failed(FailReason::OutsideWindow(failure)) = status else { panic!("{status:?}") };
    assert_eq!(failure.kind, FailureKind::OutsideWindow);
    assert_eq!(world.conversation(), ["hello"]);
}

/// With the `HUMAN_AGENT` tag agents have seven days, if the app is approved for it; messages arrive in order.
#[tokio::test]
async fn send_as_human_agent_reaches_a_customer_who_wrote_days_ago() {
    let mut setup = Setup::new(Rules::primary(BOT), BotPrimary);
    setup.human_agent = true;
    setup.timeouts.message_age = std::time::Duration::from_hours(24 * 30);
    let world = World::start(setup).await;
    world.customer_writes("hello");
    world.rest().await;
    world.sim.advance(std::time::Duration::from_hours(25));
    for key in ["a", "b"] {
        world.desk.send(key).await.unwrap();
    }
    world.until("both are sent", |world| world.conversation() == ["hello", "a", "b"]).await;
    world.rest().await;
    let sent: Vec<_> = world.calls(&desk()).into_iter().filter(|call| call.starts_with("messages")).collect();
    assert_eq!(sent, ["messages #10", "messages", "messages #10", "messages"]);

    world.sim.with_platform(|platform, _| platform.set_human_agent(&desk(), false));
    world.desk.send("c").await.unwrap();
    let failed = |notice: &Notice| matches!(notice, Notice::MessageFailed { .. });
    world.until("it fails", |world| world.desk.ear.heard(failed)).await;
    let status = world.desk.status("c").await;
    let MessageStatus::Failed(reason @ FailReason::OutsideWindow(_)) = status else { panic!("{status:?}") };
    assert!(reason.to_string().contains("without prior approval"), "{reason}");
    assert_eq!(world.conversation(), ["hello", "a", "b"]);
}
