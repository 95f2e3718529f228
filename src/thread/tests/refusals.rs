//! Tests of inputs that must not change anything, or not yet.

use super::*;

#[test]
fn a_trusted_requester_waits_until_the_intervention_is_closed() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.config.trusted.insert(AppId::from(BOT));
    desk.passed_to(DESK);
    desk.command(Command::OpenIntervention);
    desk.requested_by(BOT);
    assert!(desk.calls.is_empty(), "{:?}", desk.calls);
    let refused = Reply::Refused(CommandRefused::InterventionOpen);
    assert_eq!(desk.command(Command::Grant(AppId::from(BOT))), refused);
    desk.command(Command::CloseIntervention);
    desk.expect(Call::PassThreadControl { to: AppId::from(BOT) }, CallOutcome::Done);
}

/// A wrong app id of the desk, while a third app owns the thread: control is given back.
#[test]
fn what_was_taken_to_be_passed_on_is_given_back_where_the_pass_is_refused() {
    const THIRD: u64 = 3;
    const NOBODY: u64 = 999;
    for back in [CallOutcome::Done, refused(FailureKind::Invalid)] {
        let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
        desk.passed_to(THIRD);
        let reply = desk.command(Command::Transfer { target: Target::App(AppId::from(NOBODY)), note: None });
        let Reply::Transferring { id, .. } = reply else { panic!("{reply:?}") };
        desk.expect(Call::TakeThreadControl, CallOutcome::Done);
        desk.expect(Call::PassThreadControl { to: AppId::from(NOBODY) }, refused(FailureKind::Invalid));
        assert_eq!(desk.thread.transfer_progress(id), TransferProgress::Waiting, "not before it is back");
        let to_nobody = back != CallOutcome::Done;
        desk.expect(Call::PassThreadControl { to: AppId::from(THIRD) }, back);
        if to_nobody {
            desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
        }
        assert!(matches!(desk.thread.transfer_progress(id), TransferProgress::Failed(_)));
        assert!(desk.thread.is_at_rest() && *desk.thread.owner() != Owner::Us);
    }
}

/// An event without a stamp is not newer than all later events.
#[test]
fn an_event_without_a_stamp_does_not_spoil_what_is_known_later() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    let inbound = Inbound {
        text: Some("hello".into()),
        ..Inbound::new(Some(MessageId::new("m1").unwrap()), Span::UNKNOWN)
    };
    let kind = EventKind::Inbound(inbound);
    bot.step(Input::Event(Event { channel: Channel::Standby, at: Span::UNKNOWN, kind }));
    assert_eq!(*bot.thread.owner(), Owner::Other(None));
    bot.wait(100_000);
    bot.passed_to(BOT);
    assert_eq!(*bot.thread.owner(), Owner::Us);
    assert!(bot.calls.is_empty(), "{:?}", bot.calls);
    assert!(
        matches!(bot.notices.last(), Some(Notice::ControlGained { unanswered, .. }) if unanswered.len() == 1)
    );
}

/// A take for a transfer that was certainly not made is repeated.
#[test]
fn a_take_that_was_not_made_is_no_refusal() {
    let passing = Failure::new(FailureKind::RateLimited, "slow down");
    for not_made in [CallOutcome::Refused(passing), CallOutcome::HeldBack(Duration::from_secs(1))] {
        let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
        desk.passed_to(STRANGER);
        desk.command(Command::Transfer { target: Target::App(AppId::from(BOT)), note: None });
        desk.expect(Call::TakeThreadControl, not_made);
        desk.sleep();
        desk.expect(Call::TakeThreadControl, CallOutcome::Done);
        desk.expect(Call::PassThreadControl { to: AppId::from(BOT) }, CallOutcome::Done);
        assert!(!desk.notices.iter().any(|notice| matches!(notice, Notice::TransferFailed { .. })));
    }
}

/// A call that is held back was not tried: its message waits, however often.
#[test]
fn a_call_that_is_held_back_is_no_fault() {
    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    for _ in 0..20 {
        desk.expect(Call::RequestThreadControl, CallOutcome::HeldBack(Duration::from_secs(1)));
        desk.sleep();
    }
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    assert!(!desk.notices.iter().any(|notice| matches!(notice, Notice::MessageFailed { .. })));
}
