//! Tests of cases that the model checker and the property tests found (docs/correctness.md).

use super::*;

fn released(desk: &mut World) {
    desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    assert!(desk.thread.is_at_rest() && *desk.thread.owner() == Owner::Idle);
}

#[test]
fn a_grant_after_the_claim_has_failed_is_given_back() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.config.when_unanswered = Unanswered::Fail;
    desk.command(Command::OpenIntervention);
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.unanswered(&Call::RequestThreadControl, BOT);
    assert!(matches!(desk.notices.last(), Some(Notice::ControlNotGranted { .. })));
    desk.command(Command::CloseIntervention);
    desk.passed_to(DESK);
    released(&mut desk);
}

#[test]
fn a_grant_of_a_request_whose_answer_was_lost_is_given_back() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.command(Command::OpenIntervention);
    desk.expect(Call::RequestThreadControl, unknown());
    desk.command(Command::CloseIntervention);
    desk.passed_to(DESK);
    released(&mut desk);
}

/// A desk whose claim has failed, while an earlier message awaits its echo.
fn unsettled_and_refused() -> World {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", unknown());
    desk.passed_to(BOT);
    desk.config.when_unanswered = Unanswered::Fail;
    desk.config.timeouts.grant = Duration::from_secs(1);
    desk.command(Command::Claim { origin: ClaimOrigin::Host, note: None });
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.unanswered(&Call::RequestThreadControl, BOT);
    assert!(matches!(desk.notices.last(), Some(Notice::ControlNotGranted { .. })));
    assert!(!desk.thread.is_at_rest(), "the answer is not settled");
    desk
}

#[test]
fn a_late_grant_is_given_back_once_an_answer_from_before_is_settled() {
    let mut desk = unsettled_and_refused();
    desk.passed_to(DESK);
    assert!(desk.calls.is_empty(), "not while it is unsettled");
    desk.echo_of("a");
    released(&mut desk);

    let mut desk = unsettled_and_refused();
    desk.send("b");
    desk.passed_to(DESK);
    desk.echo_of("a");
    desk.expect_send("b", SENT);
    assert!(desk.thread.is_at_rest() && *desk.thread.owner() == Owner::Us, "somebody writes");
}

#[test]
fn what_a_bot_passes_on_its_own_is_kept() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.command(Command::OpenIntervention);
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.command(Command::CloseIntervention);
    desk.expect(Call::ReleaseThreadControl, refused(FailureKind::NotThreadOwner));
    desk.wait(3 * 60_000);
    desk.passed_to(DESK);
    assert!(desk.calls.is_empty() && *desk.thread.owner() == Owner::Us);
}

/// Found by a test of the two services: if requests are swallowed, the bot passes control to the desk directly.
#[test]
fn what_a_bot_asked_for_is_kept_however_it_comes() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.command(Command::Claim { origin: ClaimOrigin::BotAsked, note: None });
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.unanswered(&Call::RequestThreadControl, BOT);
    desk.passed_to(DESK);
    assert!(desk.calls.is_empty() && *desk.thread.owner() == Owner::Us);
}

/// Control is ours, an older event puts that in doubt, and the customer's message came on standby.
#[test]
fn what_came_in_while_control_was_in_doubt_is_told() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(BOT);
    desk.command(Command::OpenIntervention);
    let taken_by_the_inbox = desk.now;
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    let change = ControlChange { new_owner: Some(AppId::from(PAGE_INBOX)), ..ControlChange::default() };
    let kind = EventKind::TakeThreadControl(change);
    desk.step(Input::Event(Event { channel: Channel::Messaging, at: Span::at(taken_by_the_inbox), kind }));
    let inbound =
        Inbound { text: Some("anybody?".into()), ..Inbound::new(None, Span::at(taken_by_the_inbox)) };
    let kind = EventKind::Inbound(inbound);
    desk.step(Input::Event(Event { channel: Channel::Standby, at: Span::at(taken_by_the_inbox), kind }));
    desk.expect(Call::ThreadOwner, owned_by(DESK));
    let told =
        |notice: &Notice| matches!(notice, Notice::ControlGained { unanswered, .. } if unanswered.len() == 1);
    assert!(desk.notices.iter().any(told), "{:?}", desk.notices);
}

#[test]
fn a_pass_that_went_and_came_back_is_not_made_again() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.customer("m1", Channel::Messaging);
    bot.requested_by(DESK);
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, unknown());
    bot.sleep();
    bot.expect(Call::ThreadOwner, CallOutcome::Owner(ThreadOwner::Idle));
    assert!(bot.calls.is_empty() && bot.thread.is_at_rest());
}

#[test]
fn a_pass_whose_outcome_is_not_known_for_too_long_is_not_made_again() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.customer("m1", Channel::Messaging);
    bot.requested_by(DESK);
    let (_, call) = bot.call();
    assert_eq!(call, Call::PassThreadControl { to: AppId::from(DESK) });
    // Its process ended: a minute later another process reads the owner and has control (again).
    bot.sleep();
    bot.sleep();
    bot.expect(Call::ThreadOwner, owned_by(BOT));
    assert!(bot.calls.is_empty());
    let failed = |notice: &Notice| matches!(notice, Notice::TransferFailed { .. });
    assert!(bot.notices.iter().any(failed));
}

#[test]
fn a_bot_looks_before_it_takes_from_whom_it_remembers() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(PAGE_INBOX);
    bot.send("a");
    bot.expect(Call::ThreadOwner, owned_by(DESK));
    assert!(!bot.calls.iter().any(|(_, call)| *call == Call::TakeThreadControl), "{:?}", bot.calls);
}

#[test]
fn a_release_does_not_end_the_hand_over_that_answers_wait_for() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.command(Command::OpenIntervention);
    desk.command(Command::CloseIntervention);
    desk.send("a");
    desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    desk.expect_send("a", SENT);
    released(&mut desk);
}

#[test]
fn nor_does_a_release_that_is_refused() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.command(Command::OpenIntervention);
    desk.command(Command::CloseIntervention);
    desk.send("a");
    desk.expect(Call::ReleaseThreadControl, refused(FailureKind::NotThreadOwner));
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    desk.expect_send("a", SENT);
    released(&mut desk);
}

#[test]
fn control_is_not_handed_over_to_ourselves() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    let to_us = Command::Transfer { target: Target::App(AppId::from(BOT)), note: None };
    assert_eq!(bot.command(to_us), Reply::Refused(CommandRefused::ToOurselves));
    let (key, message) = (MessageKey::new("a").unwrap(), OutgoingMessage::text("bye").unwrap());
    let message = message.then(crate::call::InlineControl::PassTo(AppId::from(BOT)));
    assert_eq!(bot.command(Command::Send { key, message }), Reply::Refused(CommandRefused::ToOurselves));
    assert!(bot.calls.is_empty());
}

/// The clock is set back.
#[test]
fn what_waits_is_woken_also_when_time_went_backwards() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.config.when_unanswered = Unanswered::Fail;
    desk.config.limits.requests = 1;
    desk.command(Command::OpenIntervention);
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.sleep();
    let (call, _) = desk.call();
    desk.now = desk.now.minus(Duration::from_hours(1));
    desk.step(Input::CallEnded { call, outcome: owned_by(BOT) });
    desk.sleep();
    assert!(matches!(desk.notices.last(), Some(Notice::ControlNotGranted { .. })));
}

/// The bot would answer it a second time when control comes back.
#[test]
fn a_message_that_comes_after_the_answer_to_it_does_not_wait() {
    for is_late in [false, true] {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        bot.passed_to(DESK);
        let written = Span::at(bot.now);
        bot.wait(1_000);
        let question = EventKind::Inbound(Inbound::new(Some(MessageId::new("q").unwrap()), written));
        let answer = EventKind::Echo(Echo::new(MessageId::new("a").ok(), Some(AppId::from(DESK))));
        let question = Event { channel: Channel::Standby, at: written, kind: question };
        let answer = Event { channel: Channel::Standby, at: Span::at(bot.now), kind: answer };
        let events = if is_late { [answer, question] } else { [question, answer] };
        for event in events {
            bot.wait(2_000);
            assert_eq!(bot.step(Input::Event(event)), Reply::Done);
        }
        assert!(bot.notices.iter().any(|notice| matches!(notice, Notice::Message { to_answer: false, .. })));
        bot.passed_to(BOT);
        let gained = bot.notices.iter().find_map(|notice| match notice {
            Notice::ControlGained { unanswered, .. } => Some(unanswered.len()),
            _ => None,
        });
        assert_eq!(gained, Some(0), "late: {is_late}");
    }
}

fn cancel(key: &str) -> Command {
    Command::Cancel(MessageKey::new(key).unwrap())
}

#[test]
fn a_grant_that_overtakes_the_outcome_of_its_request_is_given_back_after_a_cancellation() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    let (request, _) = desk.call();
    assert_eq!(desk.command(cancel("a")), Reply::Done);
    desk.passed_to(DESK);
    desk.step(Input::CallEnded { call: request, outcome: CallOutcome::Forwarded });
    released(&mut desk);
}

#[test]
fn a_take_that_may_have_been_made_is_given_back_after_a_cancellation() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    desk.expect(Call::TakeThreadControl, unknown());
    assert_eq!(desk.command(cancel("a")), Reply::Done);
    desk.sleep();
    desk.expect(Call::ThreadOwner, owned_by(DESK));
    released(&mut desk);
}

/// The bot gets both requests and grants each, the second one after control was released.
#[test]
fn a_second_request_that_is_granted_after_the_release_is_given_back_too() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    for _ in 0..2 {
        desk.command(Command::OpenIntervention);
        desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
        desk.command(Command::CloseIntervention);
    }
    desk.passed_to(DESK);
    released(&mut desk);
    desk.passed_to(DESK);
    released(&mut desk);
    desk.passed_to(DESK);
    assert!(desk.calls.is_empty() && *desk.thread.owner() == Owner::Us, "the bot's own wish");
}

#[test]
fn control_is_not_released_while_an_agent_is_engaged() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.command(Command::OpenIntervention);
    let release = Command::Transfer { target: Target::Nobody, note: None };
    assert_eq!(desk.command(release), Reply::Refused(CommandRefused::InterventionOpen));
    assert!(desk.calls.is_empty());
    desk.command(Command::CloseIntervention);
    released(&mut desk);
}

#[test]
fn a_claim_that_joins_the_claim_of_a_message_is_told_of_its_end() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(DESK);
    bot.send("a");
    assert!(matches!(
        bot.command(Command::Claim { origin: ClaimOrigin::Host, note: None }),
        Reply::Claiming(_)
    ));
    bot.expect(Call::ThreadOwner, owned_by(DESK));
    let not_granted =
        |notice: &&Notice| matches!(notice, Notice::ControlNotGranted { origin: ClaimOrigin::Host, .. });
    assert_eq!(bot.notices.iter().filter(not_granted).count(), 1, "{:?}", bot.notices);
    assert!(matches!(bot.notices.last(), Some(Notice::MessageFailed { .. })));
}

#[test]
fn a_claim_that_joins_the_claim_of_a_message_goes_on_after_a_cancellation() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    desk.command(Command::Claim { origin: ClaimOrigin::Host, note: None });
    desk.command(cancel("a"));
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.passed_to(DESK);
    assert!(desk.calls.is_empty() && *desk.thread.owner() == Owner::Us);
}

/// The bot never learnt who owns the thread; people were there and are done.
#[test]
fn what_came_in_beside_people_is_told_when_they_are_done() {
    let reported = |open| Command::InterventionReported { open, at: None };
    let told = |bot: &World| {
        let unanswered = |notice: &Notice| matches!(notice, Notice::ControlGained { unanswered, .. } if unanswered.len() == 1);
        bot.notices.iter().any(unanswered)
    };
    let silent = || {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        bot.command(reported(true));
        bot.customer("m1", Channel::Messaging);
        assert!(matches!(bot.notices.last(), Some(Notice::Message { to_answer: false, .. })));
        bot.wait(1);
        bot
    };
    for done in [reported(false), Command::ResumeBot] {
        let mut bot = silent();
        bot.command(done);
        bot.expect(Call::ThreadOwner, owned_by(BOT));
        assert!(told(&bot), "{:?}", bot.notices);
    }
    let mut bot = silent();
    bot.sleep();
    bot.expect(Call::ThreadOwner, owned_by(BOT));
    assert!(told(&bot), "{:?}", bot.notices);
}

/// The customer wrote before the agents engaged, and the webhook came after their report.
#[test]
fn a_message_from_before_people_came_does_not_end_their_time() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.command(Command::Claim { origin: ClaimOrigin::Host, note: None });
    let written = bot.now;
    bot.wait(1000);
    bot.command(Command::InterventionReported { open: true, at: None });
    bot.expect(Call::ThreadOwner, CallOutcome::Owner(ThreadOwner::Idle));
    assert!(bot.calls.is_empty(), "it claims nothing beside people: {:?}", bot.calls);
    assert!(matches!(bot.notices.last(), Some(Notice::ControlNotGranted { .. })));
    let inbound = Inbound::new(Some(MessageId::new("m1").unwrap()), Span::at(written));
    let kind = EventKind::Inbound(inbound);
    bot.step(Input::Event(Event { channel: Channel::Messaging, at: Span::at(written), kind }));
    assert!(bot.thread.people_are_busy());
    bot.customer("m2", Channel::Messaging);
    assert!(!bot.thread.people_are_busy(), "the platform routes the customer to the bot again");
}

/// Control came back, and the customer wrote, before the outcome of the pass came.
#[test]
fn a_message_beside_people_is_told_if_control_came_back_before_the_outcome_of_the_pass() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.requested_by(DESK);
    let (pass, _) = bot.call();
    bot.command(Command::InterventionReported { open: true, at: None });
    bot.customer("m1", Channel::Messaging);
    bot.command(Command::InterventionReported { open: false, at: None });
    bot.step(Input::CallEnded { call: pass, outcome: CallOutcome::Done });
    bot.expect(Call::ThreadOwner, owned_by(BOT));
    let told =
        |notice: &Notice| matches!(notice, Notice::ControlGained { unanswered, .. } if unanswered.len() == 1);
    assert!(bot.notices.iter().any(told), "{:?}", bot.notices);
}

/// The customer wrote, and so gave control back to the bot, while its release was under way.
#[test]
fn a_message_beside_people_is_told_if_it_gave_control_back_during_the_release() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.command(Command::Transfer { target: Target::Nobody, note: None });
    bot.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    bot.command(Command::InterventionReported { open: true, at: None });
    let inbound = Inbound::new(Some(MessageId::new("m1").unwrap()), Span::at(bot.now));
    let kind = EventKind::Inbound(inbound);
    bot.step(Input::Event(Event { channel: Channel::Messaging, at: Span::at(bot.now), kind }));
    bot.wait(1);
    bot.command(Command::InterventionReported { open: false, at: None });
    bot.expect(Call::ThreadOwner, owned_by(BOT));
    let told =
        |notice: &Notice| matches!(notice, Notice::ControlGained { unanswered, .. } if unanswered.len() == 1);
    assert!(bot.notices.iter().any(told), "{:?}", bot.notices);
}
