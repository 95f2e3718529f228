//! Tests of control that goes with a message, and of apps that never answer a request.

use super::*;
use crate::call::InlineControl;
use crate::id::META_AI;
use crate::policy::ClaimStep;

const INBOX: u64 = PAGE_INBOX;

fn farewell(control: InlineControl) -> OutgoingMessage {
    OutgoingMessage::text("Bye").unwrap().then(control)
}

impl World {
    fn say_farewell(&mut self, key: &str, control: InlineControl) -> Reply {
        self.command(Command::Send { key: MessageKey::new(key).unwrap(), message: farewell(control) })
    }

    /// Takes the send under way and ends it with this outcome.
    fn sends(&mut self, result: CallOutcome) -> OutgoingMessage {
        let (id, call) = self.call();
        let Call::SendMessage { message, .. } = call else { panic!("{call:?}") };
        self.step(Input::CallEnded { call: id, outcome: result });
        message
    }
}

fn sent() -> CallOutcome {
    CallOutcome::Sent(Some(MessageId::new("m").unwrap()))
}

fn handed_over(world: &World) -> Vec<Option<AppId>> {
    let to = |notice: &Notice| match notice {
        Notice::Transferred { to } => Some(to.clone()),
        _ => None,
    };
    world.notices.iter().filter_map(to).collect()
}

#[test]
fn a_farewell_and_its_pass_are_one_call_and_one_look() {
    let inbox = || AppId::from(INBOX);
    // The new owner may be hidden from the app that passed control away.
    for owner in [ThreadOwner::App { app: inbox(), expires: None }, ThreadOwner::Hidden { expires: None }] {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        bot.passed_to(BOT);
        bot.say_farewell("a", InlineControl::PassTo(inbox()));
        assert_eq!(bot.sends(sent()), farewell(InlineControl::PassTo(inbox())));
        bot.expect(Call::ThreadOwner, CallOutcome::Owner(owner));
        assert_eq!(handed_over(&bot), [Some(inbox())]);
        assert!(bot.thread.is_at_rest() && *bot.thread.owner() != Owner::Us);
        assert!(!bot.notices.iter().any(|notice| matches!(notice, Notice::ControlLost { .. })));
    }
}

#[test]
fn what_did_not_go_with_the_message_is_done_after_it() {
    let us = ThreadOwner::App { app: AppId::from(BOT), expires: None };
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.say_farewell("a", InlineControl::Release);
    bot.sends(sent());
    bot.expect(Call::ThreadOwner, CallOutcome::Owner(us));
    bot.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    assert_eq!(handed_over(&bot), [None]);
}

#[test]
fn a_page_without_inline_control_gets_the_message_alone_and_is_remembered() {
    let mut bot = World::bot(ThreadControlPolicy::NoPrimary);
    bot.passed_to(BOT);
    for first in [true, false] {
        bot.say_farewell(if first { "a" } else { "b" }, InlineControl::PassTo(AppId::from(DESK)));
        if first {
            let asked = bot.sends(refused(FailureKind::Invalid));
            assert!(asked.control().is_some());
        }
        assert_eq!(bot.sends(sent()).control(), None);
        bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, CallOutcome::Done);
        bot.passed_to(BOT);
    }
    assert!(!bot.notices.iter().any(|notice| matches!(notice, Notice::MessageFailed { .. })));
    assert_eq!(handed_over(&bot).len(), 2);
    // A message that is invalid in itself still fails.
    bot.config.timeouts.refusal_memory = Duration::ZERO;
    bot.say_farewell("c", InlineControl::Release);
    bot.sends(refused(FailureKind::Invalid));
    bot.sends(refused(FailureKind::Invalid));
    assert!(matches!(bot.notices.last(), Some(Notice::MessageFailed { .. })));
    assert_eq!(*bot.thread.owner(), Owner::Us, "who did not say goodbye stays");
}

#[test]
fn a_farewell_with_answers_behind_it_keeps_control_until_they_are_out() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.send("first");
    bot.say_farewell("bye", InlineControl::PassTo(AppId::from(DESK)));
    bot.send("last");
    bot.sends(sent());
    assert_eq!(bot.sends(sent()).control(), None, "an answer waits behind it");
    bot.sends(sent());
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, CallOutcome::Done);
}

#[test]
fn a_farewell_with_an_unknown_outcome_is_settled_by_its_echo() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.say_farewell("a", InlineControl::PassTo(AppId::from(DESK)));
    bot.sends(CallOutcome::Unknown(Failure::new(FailureKind::Transport, "lost")));
    let us = ThreadOwner::App { app: AppId::from(BOT), expires: None };
    bot.expect(Call::ThreadOwner, CallOutcome::Owner(us.clone()));
    bot.echo_of("a");
    // The message was sent; the owner is read, and control is given away if it did not go along.
    bot.expect(Call::ThreadOwner, CallOutcome::Owner(us));
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, CallOutcome::Done);
}

/// An agent engages while the message is under way with control: the owner is read.
#[test]
fn an_agent_who_engages_while_a_farewell_is_under_way_is_not_deceived() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(DESK);
    desk.say_farewell("a", InlineControl::PassTo(AppId::from(BOT)));
    desk.command(Command::OpenIntervention);
    assert!(desk.sends(sent()).control().is_some());
    let bot = ThreadOwner::App { app: AppId::from(BOT), expires: None };
    desk.expect(Call::ThreadOwner, CallOutcome::Owner(bot));
    assert_eq!(*desk.thread.owner(), Owner::Other(Some(AppId::from(BOT))));
    assert!(desk.thread.intervention_is_open() && handed_over(&desk).is_empty());
}

#[test]
fn no_farewell_while_an_agent_is_engaged() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(DESK);
    desk.command(Command::OpenIntervention);
    let reply = desk.say_farewell("a", InlineControl::Release);
    assert_eq!(reply, Reply::Refused(CommandRefused::InterventionOpen));
    desk.command(Command::CloseIntervention);
    desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
}

#[test]
fn to_ask_an_app_that_never_answers_is_futile_and_known_at_once() {
    for silent in [INBOX, META_AI[0], META_AI[2]] {
        let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
        desk.passed_to(silent);
        desk.send("a");
        let owner = ThreadOwner::App { app: AppId::from(silent), expires: None };
        desk.expect(Call::ThreadOwner, CallOutcome::Owner(owner));
        let Some(Notice::MessageFailed { reason: FailReason::NotGranted(report), .. }) = desk.notices.last()
        else {
            panic!("{:?}", desk.notices)
        };
        let expected = TriedStep { step: ClaimStep::Request, outcome: StepOutcome::Futile };
        assert_eq!(report.steps, [expected]);
        assert!(report.to_string().contains("take over in Meta Business Suite"), "{report}");
        assert!(desk.thread.is_at_rest());
    }
}

#[test]
fn a_silent_owner_that_is_gone_does_not_spoil_the_request() {
    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(INBOX);
    desk.send("a");
    desk.expect(Call::ThreadOwner, CallOutcome::Owner(ThreadOwner::Idle));
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.passed_to(DESK);
    desk.sends(sent());
}

#[test]
fn a_pending_request_ends_when_its_owner_turns_out_to_be_silent() {
    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.config.timeouts.grant = Duration::from_secs(30);
    desk.passed_to(BOT);
    desk.send("a");
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.passed_to(META_AI[1]);
    let owner = ThreadOwner::App { app: AppId::from(META_AI[1]), expires: None };
    desk.expect(Call::ThreadOwner, CallOutcome::Owner(owner));
    assert!(matches!(desk.notices.last(), Some(Notice::MessageFailed { .. })), "{:?}", desk.notices);
}

/// If another app is primary the request goes to that app, not to the owner
/// (docs/protocol.md#handover-protocol).
#[test]
fn a_request_to_a_primary_bot_is_made_all_the_same() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(INBOX);
    desk.send("a");
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
}

/// A claim cancels whatever would give control away.
#[test]
fn a_claim_outlives_what_would_give_control_away() {
    // A farewell under way with control: the claim follows it.
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(DESK);
    desk.say_farewell("bye", InlineControl::PassTo(AppId::from(BOT)));
    assert!(matches!(
        desk.command(Command::Claim { origin: ClaimOrigin::BotAsked, note: None }),
        Reply::Claiming(_)
    ));
    desk.sends(sent());
    let bot = ThreadOwner::App { app: AppId::from(BOT), expires: None };
    desk.expect(Call::ThreadOwner, CallOutcome::Owner(bot));
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);

    // A farewell that waits: it is sent without control.
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.say_farewell("bye", InlineControl::PassTo(AppId::from(BOT)));
    assert_eq!(
        desk.command(Command::Claim { origin: ClaimOrigin::BotAsked, note: None }),
        Reply::AlreadyOurs
    );
    desk.sends(sent());
    assert_eq!(desk.sends(sent()).control(), None);
    assert!(desk.calls.is_empty() && *desk.thread.owner() == Owner::Us);

    // A transfer that waits: it fails with a notice.
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.command(Command::Transfer { target: Target::App(AppId::from(BOT)), note: None });
    assert_eq!(
        desk.command(Command::Claim { origin: ClaimOrigin::BotAsked, note: None }),
        Reply::AlreadyOurs
    );
    desk.sends(sent());
    assert!(desk.calls.is_empty() && *desk.thread.owner() == Owner::Us);
    assert!(desk.notices.iter().any(|notice| matches!(notice, Notice::TransferFailed { .. })));
}

/// Some Pages return an error if the owner is hidden: the refused pass decides.
#[test]
fn a_farewell_that_went_is_no_failure_where_the_owner_cannot_be_read() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.say_farewell("a", InlineControl::PassTo(AppId::from(DESK)));
    bot.sends(sent());
    bot.expect(Call::ThreadOwner, refused(FailureKind::Permission));
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, refused(FailureKind::NotThreadOwner));
    assert_eq!(handed_over(&bot), [Some(AppId::from(DESK))]);
    assert!(!bot.notices.iter().any(|notice| matches!(notice, Notice::TransferFailed { .. })));
    assert!(bot.thread.is_at_rest());
}

/// A bot goes on behind a message whose outcome stays unknown, and gives away the control that was to go with it.
#[test]
fn a_farewell_of_a_bot_whose_outcome_stays_unknown_still_gives_control_away() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    let (key, message) = (MessageKey::new("a").unwrap(), farewell(InlineControl::PassTo(AppId::from(DESK))));
    bot.command(Command::Send { key, message });
    let (send, _) = bot.call();
    bot.step(Input::CallEnded { call: send, outcome: unknown() });
    bot.sleep();
    assert!(bot.notices.iter().any(|notice| matches!(notice, Notice::MessageUnknown { .. })));
    while let Some((_, Call::ThreadOwner)) = bot.calls.first() {
        bot.expect(Call::ThreadOwner, owned_by(BOT));
    }
    assert!(matches!(bot.calls[..], [(_, Call::PassThreadControl { .. })]), "{:?}", bot.calls);
}
