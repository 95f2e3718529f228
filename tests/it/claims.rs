//! Claims, farewells and refusals that are cached per Page, against the simulated platform under every rule set.

use std::time::Duration;

use messenger_handover::call::{InlineControl, MessageKey, OutgoingMessage};
use messenger_handover::handover::Transfer;
use messenger_handover::id::{AppId, PAGE_INBOX};
use messenger_handover::policy::ThreadControlPolicy::{self, BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::thread::{
    ClaimOrigin, FailReason, MessageStatus, NotGranted, Notice, StepOutcome, Target,
};
use messenger_sim::RequestUnderDefaultApp::{self, Refused, SilentSuccess};
use messenger_sim::{ApiCall, Platform, Rules};

use crate::world::{BOT, DESK, Setup, World, bot, desk, thread};

const REQUEST: &str = "request_thread_control";
const TAKE: &str = "take_thread_control";

fn inbox() -> AppId {
    AppId::from(PAGE_INBOX)
}

/// Starts a world in which the bot has control and nothing is pending.
async fn bot_has_control(mut setup: Setup, request: RequestUnderDefaultApp) -> World {
    setup.platform = Platform::new().with_request_under_default_app(request);
    let world = World::start(setup).await;
    world.customer_writes("hello");
    world.rest().await;
    give_to(&world, &bot()).await;
    world
}

/// Passes control to `app`, on behalf of the owner; while the thread is idle, on behalf of `app` itself.
async fn give_to(world: &World, app: &AppId) {
    let by = world.owner().unwrap_or_else(|| app.clone());
    if by != *app || world.owner().is_none() {
        let pass = ApiCall::Pass { user: thread().user, target: Some(app.clone()), metadata: None };
        world.sim.with_platform(|platform, now| platform.call(&by, &thread().page, &pass, now).unwrap());
    }
    world.rest().await;
    assert_eq!(world.owner().as_ref(), Some(app));
}

async fn not_granted(world: &World, key: &str) -> NotGranted {
    let failed = |notice: &Notice| matches!(notice, Notice::MessageFailed { .. });
    world.until("it fails", |world| world.desk.ear.heard(failed)).await;
    match world.desk.status(key).await {
        MessageStatus::Failed(FailReason::NotGranted(report)) => report,
        other => panic!("{other:?}"),
    }
}

struct Row {
    rules: Rules,
    policy: ThreadControlPolicy,
    request: RequestUnderDefaultApp,
    may_take: bool,
    /// The desk's calls that concern control.
    calls: &'static [&'static str],
    /// The remedy in the failure report, if control is not obtained.
    remedy: Option<&'static str>,
}

/// The desk sends while the bot has control: the steps of the claim and its outcome.
#[tokio::test]
async fn claim_plan_under_every_rule_set() {
    let row = |rules, policy, request, may_take, calls, remedy| Row {
        rules,
        policy,
        request,
        may_take,
        calls,
        remedy,
    };
    let none = None;
    let rows = [
        // Handover protocol.
        row(Rules::primary(BOT), BotPrimary, Refused, false, &[REQUEST][..], none),
        row(Rules::primary(DESK), EdPrimary, Refused, false, &[TAKE], none),
        row(Rules::no_primary(), NoPrimary, Refused, false, &[REQUEST], none),
        // Conversation Routing with a default application: requests are unavailable, and the app's switch permits take.
        row(
            Rules::default_app(BOT),
            BotPrimary,
            Refused,
            true,
            &["request_thread_control #36100", TAKE],
            none,
        ),
        row(
            Rules::default_app(BOT),
            BotPrimary,
            Refused,
            false,
            &["request_thread_control #36100", "take_thread_control #10"],
            Some("can let this app take control"),
        ),
        row(
            Rules::default_app(BOT),
            BotPrimary,
            SilentSuccess,
            true,
            &[REQUEST, REQUEST, REQUEST, TAKE],
            none,
        ),
        row(
            Rules::default_app(BOT),
            BotPrimary,
            SilentSuccess,
            false,
            &[REQUEST, REQUEST, REQUEST, "take_thread_control #10"],
            Some("can let this app take control"),
        ),
        row(Rules::default_app(DESK), EdPrimary, Refused, true, &[TAKE], none),
        row(
            Rules::default_app(DESK),
            EdPrimary,
            Refused,
            false,
            &["take_thread_control #10", "request_thread_control #36100"],
            Some("can let this app take control"),
        ),
        row(
            Rules::default_app(DESK),
            EdPrimary,
            SilentSuccess,
            false,
            &["take_thread_control #10", REQUEST, REQUEST, REQUEST],
            Some("can let this app take control"),
        ),
        // Without a default application: take is refused with #27, and requests go to the owner.
        row(Rules::zero_config(), NoPrimary, Refused, false, &[REQUEST], none),
        row(Rules::zero_config(), EdPrimary, Refused, true, &["take_thread_control #27", REQUEST], none),
    ];
    for Row { rules, policy, request, may_take, calls, remedy } in rows {
        let mut setup = Setup::new(rules.clone(), policy);
        setup.desk_may_take = may_take;
        let case = format!("{rules:?}, {policy}, {request:?}, may take: {may_take}");
        let world = bot_has_control(setup, request).await;
        let (said, before) = (world.conversation(), world.calls(&desk()).len());
        world.desk.send("a").await.unwrap();
        if let Some(remedy) = remedy {
            let report = not_granted(&world, "a").await;
            assert!(report.remedy().is_some_and(|told| told.contains(remedy)), "{case}: {report}");
            let steps = calls.iter().collect::<std::collections::BTreeSet<_>>().len();
            assert_eq!(report.steps.len(), steps, "{case}: {report}");
            assert_eq!((world.owner(), world.conversation()), (Some(bot()), said), "{case}");
        } else {
            world.until(&case, |world| world.conversation().last().is_some_and(|text| text == "a")).await;
            assert_eq!(world.owner(), Some(desk()), "{case}");
        }
        world.rest().await;
        let all = world.calls(&desk());
        let made: Vec<_> = all[before..].iter().filter(|call| !call.starts_with("messages")).collect();
        assert_eq!(made, calls, "{case}");
    }
}

/// The bot sends its last message and passes control in the same call where the Page supports it, otherwise in the
/// next call. A refusal applies to the other conversations of the Page, too.
#[tokio::test]
async fn farewell_is_sent_with_the_pass_or_before_it() {
    for (rules, inline) in [(Rules::default_app(BOT), true), (Rules::primary(BOT), false)] {
        let world = bot_has_control(Setup::new(rules, BotPrimary), Refused).await;
        for (index, control) in
            [InlineControl::PassTo(inbox()), InlineControl::PassTo(desk()), InlineControl::Release]
                .into_iter()
                .enumerate()
        {
            let key = format!("goodbye {index}");
            let to = match &control {
                InlineControl::PassTo(app) => Some(app.clone()),
                _ => None,
            };
            let before = world.calls(&bot()).len();
            let message = OutgoingMessage::text(&key).unwrap().then(control);
            world.bot.handover.send(&thread(), MessageKey::new(&key).unwrap(), message).await.unwrap();
            let told = |notice: &Notice| matches!(notice, Notice::Transferred { to: told } if *told == to);
            world.until("it is told", |world| world.bot.ear.heard(told)).await;
            world.rest().await;
            assert_eq!((world.owner(), world.conversation().last()), (to.clone(), Some(&key)));
            let calls = world.calls(&bot()).split_off(before);
            let away = if to.is_some() { "pass_thread_control" } else { "release_thread_control" };
            let expected: &[&str] = match (inline, index) {
                (true, _) => &["messages"],
                (false, 0) => &["messages #100", "messages", away],
                (false, _) => &["messages", away],
            };
            assert_eq!(calls, expected, "{index}");
            give_to(&world, &bot()).await;
        }
    }
}

/// Transfer to people who work in the Page inbox and have no desk.
#[tokio::test]
async fn transfer_to_page_inbox_gives_it_control() {
    for rules in [Rules::primary(BOT), Rules::default_app(BOT)] {
        let world = bot_has_control(Setup::new(rules, BotPrimary), Refused).await;
        let started = world.bot.handover.hand_over(&thread(), Target::page_inbox()).await.unwrap();
        assert!(matches!(started, Transfer::Started { waits: false, .. }), "{started:?}");
        world.until("the inbox has control", |world| world.owner() == Some(inbox())).await;
        world.rest().await;
        assert_eq!(world.calls(&bot()), ["pass_thread_control"]);
    }
}

/// Meta's own apps never grant a request, so the desk makes none and the send fails at once, not after a minute.
#[tokio::test]
async fn claim_from_page_inbox_fails_at_once_without_a_request() {
    let mut setup = Setup::new(Rules::zero_config(), NoPrimary);
    setup.timeouts.grant = Duration::from_mins(1);
    let world = bot_has_control(setup, Refused).await;
    give_to(&world, &inbox()).await;
    // The platform hides the owner from the desk unless an event names it.
    let taken = serde_json::json!({"object": "page", "entry": [{"id": thread().page, "messaging": [{
        "sender": {"id": thread().user}, "recipient": {"id": thread().page}, "timestamp": u64::MAX / 4,
        "pass_thread_control": {"previous_owner_app_id": BOT, "new_owner_app_id": PAGE_INBOX}}]}]});
    let taken =
        messenger_handover::webhook::dangerous_parse_unverified(taken.to_string().as_bytes()).unwrap();
    world.desk.handover.receive(taken).await.unwrap();
    let before = world.calls(&desk()).len();
    world.desk.send("a").await.unwrap();
    let report = not_granted(&world, "a").await;
    assert!(report.steps.iter().all(|tried| tried.outcome == StepOutcome::Futile), "{report}");
    assert!(report.remedy().is_some_and(|told| told.contains("Meta Business Suite")), "{report}");
    assert!(!world.calls(&desk())[before..].contains(&REQUEST.to_owned()));
    assert_eq!(world.owner(), Some(inbox()));
}

/// Cached refusals of a Page are dropped when the roles of its apps change.
#[tokio::test]
async fn claim_refusals_are_forgotten_when_roles_change() {
    let world = bot_has_control(Setup::new(Rules::default_app(BOT), BotPrimary), Refused).await;
    world.desk.send("a").await.unwrap();
    not_granted(&world, "a").await;
    world.rest().await;
    let refused = ["request_thread_control #36100", "take_thread_control #10"];
    let about_control = |calls: Vec<String>| {
        calls.into_iter().filter(|call| !call.starts_with("messages")).collect::<Vec<_>>()
    };
    assert_eq!(about_control(world.calls(&desk())), refused);

    // The next claim skips the refused call.
    world.desk.send("b").await.unwrap();
    let ended = |world: &World| {
        world.desk.ear.all().iter().filter(|n| matches!(n, Notice::MessageFailed { .. })).count() == 2
    };
    world.until("the next fails", ended).await;
    world.rest().await;
    assert_eq!(about_control(world.calls(&desk())), refused, "remembered");

    world.sim.set_rules(&thread().page, Rules::primary(BOT));
    world.rest().await;
    world.desk.send("c").await.unwrap();
    world.until("it is sent", |world| world.conversation().last().is_some_and(|text| text == "c")).await;
    world.rest().await;
    assert_eq!(about_control(world.calls(&desk()))[2..], [REQUEST]);
}

/// The desk's note reaches the bot, whether control comes by request or by take.
#[tokio::test]
async fn claim_note_arrives_with_request_and_take() {
    for (rules, policy) in [(Rules::primary(BOT), BotPrimary), (Rules::primary(DESK), EdPrimary)] {
        let world = bot_has_control(Setup::new(rules, policy), Refused).await;
        let wait = Duration::from_secs(5);
        world.desk.handover.claim_with_note(&thread(), ClaimOrigin::Host, "order 7", wait).await.unwrap();
        let heard = |notice: &Notice| {
            let (Notice::ControlRequested { note, .. } | Notice::ControlLost { note, .. }) = notice else {
                return false;
            };
            note.as_deref() == Some("order 7")
        };
        world.until("the bot reads the note", |world| world.bot.ear.heard(heard)).await;
    }
}

/// Meta's AI takes the thread: the bot stops at once, makes no request, and continues when the AI has left.
#[tokio::test]
async fn meta_ai_takes_and_leaves_the_thread() {
    let mut setup = Setup::new(Rules::zero_config(), NoPrimary);
    setup.timeouts.grant = Duration::from_mins(1);
    let world = bot_has_control(setup, Refused).await;
    let (page, user) = (thread().page, thread().user);
    world.sim.with_platform(|platform, now| platform.ai_takes(&page, &user, now).unwrap());
    let lost = |notice: &Notice| matches!(notice, Notice::ControlLost { .. });
    world.until("the bot is told", |world| world.bot.ear.heard(lost)).await;
    let told = world.bot.ear.all().iter().filter(|notice| lost(notice)).count();
    assert_eq!(told, 1, "four copies are one");
    let before = world.calls(&bot()).len();
    world.bot.send("a").await.unwrap();
    let failed = |notice: &Notice| matches!(notice, Notice::MessageFailed { .. });
    world.until("it fails", |world| world.bot.ear.heard(failed)).await;
    assert!(!world.calls(&bot())[before..].contains(&REQUEST.to_owned()), "a request would be futile");

    world.sim.with_platform(|platform, now| {
        platform.ai_answers(&page, &user, "I am an AI.", now).unwrap();
        platform.ai_leaves(&page, &user, "The AI has left.", now).unwrap();
    });
    world.rest().await;
    world.bot.send("b").await.unwrap();
    world.until("it is sent", |world| world.conversation().last().is_some_and(|text| text == "b")).await;
    assert_eq!(world.conversation(), ["hello", "I am an AI.", "b"]);
}

/// A lead ad asks its questions; waiting messages are sent when they are answered.
#[tokio::test]
async fn lead_ad_delays_messages_until_it_ends() {
    let world = bot_has_control(Setup::new(Rules::default_app(BOT), BotPrimary), Refused).await;
    let (page, user) = (thread().page, thread().user);
    world.sim.with_platform(|platform, now| platform.lead_ad_begins(&page, &user, now).unwrap());
    world.bot.send("a").await.unwrap();
    world.until("it was tried", |world| world.calls(&bot()).iter().any(|call| call == "messages #100")).await;
    let waits = world.bot.status("a").await;
    assert_eq!(waits, MessageStatus::Waiting);
    world.sim.with_platform(|platform, now| {
        platform.lead_ad_ends(&page, &user, true, Some(&bot()), Some("Name: A. Person"), now).unwrap();
    });
    world.until("it is sent", |world| world.conversation().last().is_some_and(|text| text == "a")).await;
    world.rest().await;
    let summary = |notice: &Notice| matches!(notice, Notice::Message { inbound, .. } if inbound.text.as_deref() == Some("Name: A. Person"));
    assert!(world.bot.ear.heard(summary));
}
