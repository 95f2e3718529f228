//! Tests of the thread: the small ones here, the others by subject.

mod belief;
mod customer;
mod farewells;
mod faults;
mod found;
mod idle;
mod interventions;
mod notices;
mod outcomes;
mod people;
mod queues;
mod refusals;
#[cfg(feature = "service")]
mod signs;
mod silence;
mod transfers;
mod walks;
mod windows;
mod world;

use std::time::Duration;

use super::*;
use crate::call::{MessagingType, OutgoingMessage, ThreadOwner};
use crate::event::{Channel, ControlChange, ControlRequest, Echo, Event, EventKind, Inbound};
use crate::id::{MessageId, PAGE_INBOX};
use crate::time::Span;

use world::World;

const DESK: u64 = 1;
const BOT: u64 = 2;
const STRANGER: u64 = 3;
const BASE: u64 = 1_700_000_000_000;

/// A thread that has control and has put out its first notice.
fn with_a_notice(config: &Config) -> (Thread, Vec<Output>) {
    let (mut thread, mut out, now) = (Thread::new(), Vec::new(), Timestamp::from_millis(BASE));
    let change = ControlChange { new_owner: Some(config.app.clone()), ..ControlChange::default() };
    let kind = EventKind::PassThreadControl(change);
    let event = Event { channel: Channel::Messaging, at: Span::at(now), kind };
    let _ = thread.step(&Context::new(config), Input::Event(event), now, &mut out);
    (thread, out)
}

fn refused(kind: FailureKind) -> CallOutcome {
    CallOutcome::Refused(Failure::new(kind, "no"))
}

fn unknown() -> CallOutcome {
    CallOutcome::Unknown(Failure::new(FailureKind::Transport, "timed out"))
}

fn owned_by(app: u64) -> CallOutcome {
    CallOutcome::Owner(ThreadOwner::App { app: AppId::from(app), expires: None })
}

const SENT: CallOutcome = CallOutcome::Sent(None);

#[test]
fn bot_primary_desk_requests_and_sends_in_order_when_control_comes() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.customer("m1", Channel::Standby);
    assert_eq!(desk.send("a"), Reply::Accepted);
    assert_eq!(desk.send("b"), Reply::Accepted);
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    assert!(desk.calls.is_empty(), "forwarded is not granted");
    desk.passed_to(DESK);
    desk.expect_send("a", SENT);
    desk.expect_send("b", SENT);
    assert_eq!(desk.delivered(), ["a", "b"]);
    assert!(
        matches!(&desk.notices[1], Notice::ControlGained { unanswered, more: 0, .. } if unanswered.len() == 1)
    );
    assert!(desk.thread.is_at_rest());
}

#[test]
fn ed_primary_desk_takes_at_once() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.customer("m1", Channel::Standby);
    desk.send("a");
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    desk.expect_send("a", SENT);
    assert_eq!(desk.delivered(), ["a"]);
}

#[test]
fn a_wrong_belief_costs_exactly_one_call() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", refused(FailureKind::NotThreadOwner));
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    desk.expect_send("a", SENT);
    assert_eq!(desk.delivered(), ["a"]);
}

#[test]
fn closing_the_intervention_releases_after_the_outbox_is_settled() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    assert!(matches!(desk.command(Command::OpenIntervention), Reply::Claiming(_)));
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.send("a");
    desk.passed_to(DESK);
    assert!(matches!(desk.command(Command::CloseIntervention), Reply::Transferring { waits: true, .. }));
    desk.expect_send("a", SENT);
    desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    assert_eq!(*desk.thread.owner(), Owner::Idle);
    assert!(desk.thread.is_at_rest());
}

#[test]
fn control_that_comes_after_the_intervention_is_given_back() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.command(Command::OpenIntervention);
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.command(Command::CloseIntervention);
    desk.passed_to(DESK);
    desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    assert!(desk.thread.is_at_rest());
}

#[test]
fn an_unanswered_request_never_becomes_a_take() {
    for (policy, goes_on) in
        [(ThreadControlPolicy::BotPrimary, false), (ThreadControlPolicy::EdPrimary, true)]
    {
        let mut desk = World::desk(policy);
        desk.passed_to(BOT);
        desk.command(Command::Claim { origin: ClaimOrigin::BotAsked, note: None });
        desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
        desk.unanswered(&Call::RequestThreadControl, BOT);
        if goes_on {
            desk.expect(Call::TakeThreadControl, CallOutcome::Done);
            continue;
        }
        assert!(desk.calls.is_empty(), "{:?}", desk.calls);
        let Some(Notice::ControlNotGranted { report, .. }) = desk.notices.last() else { panic!() };
        assert_eq!(report.steps[0].outcome, StepOutcome::Unanswered);
    }
}

#[test]
fn a_lost_grant_is_found_by_reading_the_owner() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.sleep();
    desk.expect(Call::ThreadOwner, owned_by(DESK));
    desk.expect_send("a", SENT);
}

#[test]
fn where_request_does_not_exist_control_is_taken_and_the_page_remembered() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    desk.expect(Call::RequestThreadControl, refused(FailureKind::NotAvailable));
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    desk.expect_send("a", SENT);

    let mut second = World { page: desk.page, ..World::desk(ThreadControlPolicy::BotPrimary) };
    second.passed_to(BOT);
    second.send("b");
    second.expect(Call::TakeThreadControl, refused(FailureKind::NotAvailable));
    second.expect(Call::ThreadOwner, owned_by(BOT));
    let Some(Notice::MessageFailed { reason, .. }) = second.notices.last() else { panic!() };
    let words = reason.to_string();
    assert!(words.contains("take_thread_control was refused") && words.contains("Page admin"), "{words}");

    let mut later = World { page: second.page, ..World::desk(ThreadControlPolicy::BotPrimary) };
    later.wait(600_001);
    later.passed_to(BOT);
    later.send("c");
    later.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
}

#[test]
fn a_change_of_the_owner_voids_the_request_and_it_is_made_again() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.passed_to(STRANGER);
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.passed_to(DESK);
    desk.expect_send("a", SENT);
}

#[test]
fn the_bot_passes_to_the_desk_and_the_inbox_but_to_no_stranger() {
    for app in [DESK, PAGE_INBOX] {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        bot.passed_to(BOT);
        bot.send("a");
        bot.requested_by(app);
        bot.expect_send("a", SENT);
        bot.expect(Call::PassThreadControl { to: AppId::from(app) }, CallOutcome::Done);
        assert_eq!(bot.notices.last(), Some(&Notice::Transferred { to: Some(AppId::from(app)) }));
    }
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.requested_by(STRANGER);
    assert!(bot.calls.is_empty());
    assert!(matches!(bot.notices.last(), Some(Notice::ControlRequested { granted: false, .. })));
    let grant = |app| Command::Grant(AppId::from(app));
    assert_eq!(bot.command(grant(9)), Reply::Refused(CommandRefused::NoSuchRequest));
    bot.command(grant(STRANGER));
    bot.expect(Call::PassThreadControl { to: AppId::from(STRANGER) }, CallOutcome::Done);
}

#[test]
fn the_bot_hands_over_through_the_desk_and_straight_if_the_desk_does_not_ask() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.send("a");
    bot.command(Command::Transfer { target: Target::Desk, note: None });
    bot.expect_send("a", SENT);
    bot.expect(Call::AskDesk(Direction::BotToAgent), CallOutcome::Done);
    bot.requested_by(DESK);
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, CallOutcome::Done);
    assert!(bot.thread.is_at_rest());

    let mut bot = World::bot(ThreadControlPolicy::EdPrimary);
    bot.passed_to(BOT);
    bot.command(Command::Transfer { target: Target::Desk, note: None });
    bot.expect(Call::AskDesk(Direction::BotToAgent), refused(FailureKind::Conflict));
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, CallOutcome::Done);

    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.command(Command::Transfer { target: Target::Desk, note: None });
    bot.expect(Call::AskDesk(Direction::BotToAgent), CallOutcome::Done);
    bot.sleep();
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, CallOutcome::Done);
}

#[test]
fn a_bot_does_not_interrupt_people_but_looks_whether_they_are_still_there() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(DESK);
    bot.send("released");
    bot.expect(Call::ThreadOwner, CallOutcome::Owner(ThreadOwner::Idle));
    bot.expect(Call::TakeThreadControl, CallOutcome::Done);
    bot.expect_send("released", SENT);

    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(DESK);
    bot.send("a");
    bot.expect(Call::ThreadOwner, owned_by(DESK));
    assert!(bot.calls.is_empty());
    assert!(matches!(
        bot.notices.last(),
        Some(Notice::MessageFailed { reason: FailReason::NotGranted(_), .. })
    ));
}

#[test]
fn the_third_picture_a_bot_asks_for_an_idle_thread_before_it_answers() {
    let mut bot = World::bot(ThreadControlPolicy::NoPrimary);
    bot.customer("m1", Channel::Messaging);
    assert!(matches!(&bot.notices[..], [Notice::Message { to_answer: true, .. }]));
    bot.send("a");
    bot.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    bot.passed_to(BOT);
    bot.expect_send("a", SENT);
}

#[test]
fn no_hand_back_while_people_are_engaged() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    assert_eq!(desk.command(Command::OpenIntervention), Reply::AlreadyOurs);
    let to_bot = || Command::Transfer { target: Target::App(AppId::from(BOT)), note: None };
    let before = desk.thread.clone();
    assert_eq!(desk.command(to_bot()), Reply::Refused(CommandRefused::InterventionOpen));
    assert_eq!(desk.thread, before, "a refused command changes nothing");
    desk.command(Command::CloseIntervention);
    desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    desk.command(to_bot());
    desk.expect(Call::PassThreadControl { to: AppId::from(BOT) }, CallOutcome::Done);
}

#[test]
fn ed_primary_takes_from_a_third_app_to_pass_and_others_do_not() {
    let to_bot = || Command::Transfer { target: Target::App(AppId::from(BOT)), note: None };
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(STRANGER);
    desk.command(to_bot());
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    desk.expect(Call::PassThreadControl { to: AppId::from(BOT) }, CallOutcome::Done);

    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(STRANGER);
    assert_eq!(desk.command(to_bot()), Reply::Refused(CommandRefused::AnotherAppOwns));
}
