//! An agent sends while another app has control, and the ways in which control comes.

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

/// Three answers are accepted while the bot has control; all reach the customer, once and in order.
async fn three_answers(setup: Setup, claims: &[&str]) -> World {
    let policy = setup.policy;
    let world = World::start(setup).await;
    world.customer_writes("hello");
    world.rest().await;
    if policy != BotPrimary {
        // The bot gets control first, as it would to answer.
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
    // A belief that is no more than a guess costs one refused send.
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
async fn bot_primary_requests_and_sends_again() {
    three_answers(Setup::new(Rules::primary(BOT), BotPrimary), &["request_thread_control"]).await;
}

#[tokio::test]
async fn ed_primary_takes_and_sends_again() {
    three_answers(Setup::new(Rules::primary(DESK), EdPrimary), &["take_thread_control"]).await;
}

#[tokio::test]
async fn no_primary_requests_and_sends_again() {
    three_answers(Setup::new(Rules::no_primary(), NoPrimary), &["request_thread_control"]).await;
    three_answers(Setup::new(Rules::zero_config(), NoPrimary), &["request_thread_control"]).await;
}

#[tokio::test]
async fn routing_takes_where_request_is_not_available() {
    let mut setup = Setup::new(Rules::default_app(BOT), BotPrimary);
    setup.desk_may_take = true;
    three_answers(setup, &["request_thread_control #36100", "take_thread_control"]).await;
}

/// The second conversation of a Page does not pay for what the first one learned: here, the second
/// claim of the same one.
#[tokio::test]
async fn what_a_page_refuses_is_remembered() {
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

/// `success` from a request is no grant. What stays unanswered is taken, where the Page's admin lets the desk.
#[tokio::test]
async fn a_request_that_is_never_answered_becomes_a_take() {
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

/// Nothing is taken where the host says so.
#[tokio::test]
async fn a_request_that_is_never_answered_fails_the_answer_where_nothing_is_taken() {
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

/// The bot passes straight to the desk's app where the desk's request leads to nothing.
#[tokio::test]
async fn a_customer_who_wants_a_person_gets_one_though_the_request_is_silent() {
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

/// An unknown requester is a notice that the host may grant, never an automatic pass.
#[tokio::test]
async fn an_unknown_requester_waits_for_the_hosts_word() {
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

/// A person presses "move to inbox": the bot passes.
#[tokio::test]
async fn the_inbox_is_granted_what_it_asks_for() {
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    world.customer_writes("hello");
    world.rest().await;
    world.sim.inbox_move(&thread().page, &thread().user).unwrap();
    let inbox = || Some(AppId::from(messenger_handover::id::PAGE_INBOX));
    world.until("the inbox has control", |world| world.owner() == inbox()).await;
}

/// What the customer wrote while the bot was on standby is told when control comes back.
#[tokio::test]
async fn the_bot_learns_what_was_written_meanwhile() {
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
    // Nobody is told of a release: the bot looks when it hears that the intervention is closed.
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

/// The platform's own refusals keep their reason.
#[tokio::test]
async fn an_answer_outside_the_window_fails_with_that_reason() {
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

/// With the tag people have seven days, if the app is approved for it; what was sent first arrives first.
#[tokio::test]
async fn human_agent_reaches_a_customer_who_wrote_days_ago() {
    let mut setup = Setup::new(Rules::primary(BOT), BotPrimary);
    setup.human_agent = true;
    setup.timeouts.answer_age = std::time::Duration::from_hours(24 * 30);
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
