//! Tests of the queues of a thread: messages, requests of other apps, notices and digests.

use super::*;
use crate::call::InlineControl;

fn key(name: &str) -> MessageKey {
    MessageKey::new(name).unwrap()
}

fn no_such_answer() -> Reply {
    Reply::Refused(CommandRefused::NoSuchMessage)
}

#[test]
fn only_an_answer_that_waits_can_be_cancelled() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.send("b");
    desk.send("c");
    assert_eq!(desk.command(Command::Cancel(key("a"))), no_such_answer(), "it is on its way");
    assert_eq!(desk.command(Command::Cancel(key("x"))), no_such_answer());
    assert_eq!(desk.command(Command::Cancel(key("b"))), Reply::Done);
    let cancelled = Notice::MessageFailed { key: key("b"), reason: FailReason::Cancelled };
    assert_eq!(desk.notices.last(), Some(&cancelled));
    desk.expect_send("a", SENT);
    desk.expect_send("c", SENT);
    assert_eq!(desk.delivered(), ["a", "c"]);
}

#[test]
fn the_late_answer_to_a_send_is_worth_knowing() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    let (call, _) = desk.call();
    desk.sleep();
    assert_eq!(desk.thread.message_status(&key("a")), Some(MessageStatus::Waiting));
    let stray = Input::CallEnded { call: CallId(call.0 + 1000), outcome: SENT };
    assert_eq!(desk.step(stray), Reply::Ignored);
    assert_eq!(desk.step(Input::CallEnded { call, outcome: SENT }), Reply::Done);
    assert_eq!(desk.delivered(), ["a"]);
}

#[test]
fn the_hosts_word_is_about_one_answer() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.send("b");
    desk.expect_send("a", unknown());
    desk.sleep();
    assert_eq!(desk.command(Command::Continue(key("b"))), no_such_answer());
    assert!(desk.calls.is_empty(), "b waits for the word on a");
    assert_eq!(desk.command(Command::Continue(key("a"))), Reply::Done);
    desk.expect_send("b", SENT);
}

#[test]
fn apps_that_ask_wait_each_once_and_until_they_are_answered() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    let waiting = |bot: &World| bot.thread.waiting_requests().cloned().collect::<Vec<_>>();
    bot.requested_by(STRANGER);
    bot.requested_by(4);
    bot.requested_by(STRANGER);
    assert_eq!(waiting(&bot), [AppId::from(STRANGER), AppId::from(4)]);
    // However long the host takes.
    bot.wait(600_000);
    bot.customer("m1", Channel::Messaging);
    assert_eq!(waiting(&bot), [AppId::from(STRANGER), AppId::from(4)]);
    let refuse = |app| Command::Refuse(AppId::from(app));
    assert_eq!(bot.command(refuse(9)), Reply::Refused(CommandRefused::NoSuchRequest));
    assert_eq!(bot.command(refuse(4)), Reply::Done);
    assert_eq!(bot.command(refuse(4)), Reply::Refused(CommandRefused::NoSuchRequest));
    assert_eq!(waiting(&bot), [AppId::from(STRANGER)]);
    // An app that was refused repeats its request while its own claim lasts, which is a duplicate; a later one is
    // news.
    let told = |bot: &World| {
        bot.notices.iter().filter(|notice| matches!(notice, Notice::ControlRequested { .. })).count()
    };
    let before = told(&bot);
    bot.requested_by(4);
    assert_eq!((waiting(&bot).len(), told(&bot)), (1, before));
    bot.wait(30_000);
    bot.requested_by(4);
    assert_eq!((waiting(&bot).len(), told(&bot)), (2, before + 1));
    bot.command(refuse(4));
    // The app is trusted by now: its next request is granted.
    bot.config.trusted.insert(AppId::from(STRANGER));
    bot.requested_by(STRANGER);
    bot.requested_by(STRANGER);
    bot.expect(Call::PassThreadControl { to: AppId::from(STRANGER) }, CallOutcome::Done);
}

#[test]
fn only_the_notice_at_hand_is_done() {
    let config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::EdPrimary);
    let (cx, now) = (Context::new(&config), Timestamp::from_millis(BASE));
    let (mut thread, mut out) = with_a_notice(&config);
    let Some(Output::Notice { id, .. }) = out.pop() else { panic!("{out:?}") };
    let done = |id| Input::NoticeHandled { notice: id, handled: Handled::done() };
    assert_eq!(thread.step(&cx, done(NoticeId(id.0 + 1)), now, &mut out), Reply::Ignored);
    assert!(!thread.is_at_rest());
    assert_eq!(thread.step(&cx, done(id), now, &mut out), Reply::Done);
    assert!(thread.is_at_rest());
    assert_eq!(thread.step(&cx, done(NoticeId(id.0 + 1)), now, &mut out), Reply::Ignored);
}

#[test]
fn a_control_event_that_comes_twice_is_one() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    let change = ControlChange { new_owner: Some(AppId::from(DESK)), ..ControlChange::default() };
    for (at, again) in [(Span::at(desk.now), Reply::Ignored), (Span::UNKNOWN, Reply::Done)] {
        let kind = EventKind::PassThreadControl(change.clone());
        let event = Event { channel: Channel::Messaging, at, kind };
        assert_eq!(desk.step(Input::Event(event.clone())), Reply::Done);
        assert_eq!(desk.step(Input::Event(event)), again, "{at:?}");
    }
}

/// The take event of 2017 names only the previous owner.
#[test]
fn an_event_that_names_who_had_control() {
    for (take, previous, owner) in
        [(true, DESK, Some(Owner::Other(None))), (true, STRANGER, None), (false, DESK, None)]
    {
        let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
        desk.passed_to(DESK);
        let change =
            ControlChange { previous_owner: Some(AppId::from(previous)), ..ControlChange::default() };
        let kind =
            if take { EventKind::TakeThreadControl(change) } else { EventKind::PassThreadControl(change) };
        desk.event(Channel::Messaging, kind);
        match owner {
            Some(owner) => {
                assert!(*desk.thread.owner() == owner && desk.calls.is_empty(), "{take} {previous}");
            }
            None => desk.expect(Call::ThreadOwner, owned_by(DESK)),
        }
    }
}

/// A message written at the very moment of another app's answer counts as answered.
#[test]
fn what_another_has_answered_is_not_told_again() {
    for (later, unanswered_in_the_end) in [(0, 0), (1, 0), (2, 1)] {
        let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
        let answered = desk.now.plus(Duration::from_millis(1));
        desk.wait(later);
        desk.customer("m1", Channel::Standby);
        let echo = Echo::new(MessageId::new("e").ok(), Some(AppId::from(BOT)));
        let at = Span::at(answered);
        desk.step(Input::Event(Event { channel: Channel::Standby, at, kind: EventKind::Echo(echo) }));
        desk.passed_to(DESK);
        let told = desk.notices.iter().find_map(|notice| match notice {
            Notice::ControlGained { unanswered, .. } => Some(unanswered.len()),
            _ => None,
        });
        assert_eq!(told, Some(unanswered_in_the_end), "{later}");
    }
}

/// A desk that lost control during an intervention does not claim it back for that alone.
#[test]
fn control_that_is_lost_is_not_claimed_again_for_the_same_intervention() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.command(Command::OpenIntervention);
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.passed_to(DESK);
    desk.passed_to(BOT);
    assert!(desk.calls.is_empty(), "{:?}", desk.calls);
}

fn farewell(key: &str, control: InlineControl) -> Command {
    let message = OutgoingMessage::text("Bye").unwrap().then(control);
    Command::Send { key: MessageKey::new(key).unwrap(), message }
}

impl World {
    fn sent(&mut self) {
        let (call, _) = self.call();
        self.step(Input::CallEnded { call, outcome: SENT });
    }

    fn went(&self) -> Vec<Option<AppId>> {
        let mut went = Vec::new();
        for notice in &self.notices {
            if let Notice::Transferred { to } = notice {
                went.push(to.clone());
            }
        }
        went
    }
}

/// An agent is engaged, or the host has meanwhile chosen another target.
#[test]
fn a_farewell_gives_nothing_away_that_is_wanted() {
    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(DESK);
    desk.command(farewell("a", InlineControl::Release));
    desk.command(Command::OpenIntervention);
    desk.sent();
    desk.expect(Call::ThreadOwner, owned_by(DESK));
    assert!(desk.calls.is_empty() && *desk.thread.owner() == Owner::Us);

    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.command(Command::Transfer { target: Target::App(AppId::from(BOT)), note: None });
    desk.command(farewell("b", InlineControl::Release));
    desk.sent();
    desk.sent();
    desk.expect(Call::PassThreadControl { to: AppId::from(BOT) }, CallOutcome::Done);
    assert_eq!(desk.went(), [Some(AppId::from(BOT))]);
}

#[test]
fn where_control_went_with_a_farewell_is_looked_into() {
    let mut bot = World::bot(ThreadControlPolicy::NoPrimary);
    bot.passed_to(BOT);
    bot.command(farewell("a", InlineControl::Release));
    bot.sent();
    bot.expect(Call::ThreadOwner, CallOutcome::Owner(ThreadOwner::Idle));
    assert_eq!(bot.went(), [None]);

    let mut bot = World::bot(ThreadControlPolicy::NoPrimary);
    bot.passed_to(BOT);
    bot.command(farewell("a", InlineControl::PassTo(AppId::from(PAGE_INBOX))));
    bot.sent();
    bot.expect(Call::ThreadOwner, owned_by(STRANGER));
    assert_eq!(bot.went(), []);
    assert!(bot.notices.iter().any(|notice| matches!(notice, Notice::TransferFailed { .. })));
}

/// The message is still unsettled, though control is already at the target.
#[test]
fn an_unsettled_answer_keeps_a_hand_over_open() {
    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", unknown());
    desk.passed_to(BOT);
    let reply = desk.command(Command::Transfer { target: Target::App(AppId::from(BOT)), note: None });
    let Reply::Transferring { id, waits: true } = reply else { panic!("{reply:?}") };
    let metadata = Some(MessageKey::new("a").unwrap().to_metadata(&AppId::from(DESK)));
    let echo = Echo { metadata, ..Echo::new(None, Some(AppId::from(DESK))) };
    desk.event(Channel::Standby, EventKind::Echo(echo));
    assert_eq!(desk.thread.transfer_progress(id), TransferProgress::Done);
}

#[test]
fn who_has_control_now_is_told_where_it_is_known() {
    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(DESK);
    desk.passed_to(BOT);
    assert_eq!(desk.notices.last(), Some(&Notice::ControlLost { to: Some(AppId::from(BOT)), note: None }));
    desk.passed_to(DESK);
    desk.customer("m1", Channel::Standby);
    assert!(desk.notices.contains(&Notice::ControlLost { to: None, note: None }));
}

/// Control requested for an intervention is released if it comes after the close, but not if it comes much later or
/// is wanted again.
#[test]
fn late_control_is_given_back_for_two_minutes() {
    for (millis, given_back) in [(119_998, true), (119_999, false)] {
        let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
        desk.passed_to(BOT);
        desk.command(Command::OpenIntervention);
        desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
        desk.command(Command::CloseIntervention);
        // The event comes a millisecond later.
        desk.wait(millis);
        desk.passed_to(DESK);
        assert_eq!(desk.calls.len(), usize::from(given_back), "{millis}");
    }
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.command(Command::OpenIntervention);
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.command(Command::CloseIntervention);
    desk.command(Command::Claim { origin: ClaimOrigin::Host, note: None });
    desk.expect(Call::RequestThreadControl, refused(FailureKind::Conflict));
    desk.expect(Call::ThreadOwner, owned_by(BOT));
    desk.passed_to(DESK);
    assert!(desk.calls.is_empty(), "the host has wanted it: {:?}", desk.calls);
}

#[test]
fn a_bot_looks_for_the_desks_release_until_it_is_there() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(DESK);
    bot.command(Command::InterventionReported { open: false, at: None });
    bot.sleep();
    bot.expect(Call::ThreadOwner, owned_by(DESK));
    assert!(bot.next_wake().is_some(), "the desk has answers to settle");
    bot.sleep();
    bot.expect(Call::ThreadOwner, CallOutcome::Owner(ThreadOwner::Idle));
    assert_eq!(bot.next_wake(), None);
}

/// The second attempt of a farewell may have to go without the control of the first.
#[test]
fn what_the_last_attempt_carried_counts() {
    let mut bot = World::bot(ThreadControlPolicy::NoPrimary);
    bot.passed_to(BOT);
    bot.command(farewell("a", InlineControl::Release));
    let (call, first) = bot.call();
    assert!(matches!(first, Call::SendMessage { message, .. } if message.control().is_some()));
    bot.step(Input::CallEnded { call, outcome: refused(FailureKind::Transient) });
    bot.requested_by(DESK);
    bot.sleep();
    let (call, second) = bot.call();
    assert!(matches!(second, Call::SendMessage { message, .. } if message.control().is_none()));
    bot.step(Input::CallEnded { call, outcome: SENT });
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, CallOutcome::Done);
}

/// Control was taken to be passed on, and the pass is under way: a sign that control is ours notifies nobody.
#[test]
fn nothing_is_told_to_be_ours_while_it_is_passed_on() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(STRANGER);
    desk.command(Command::Transfer { target: Target::App(AppId::from(BOT)), note: None });
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    let gained = |desk: &World| {
        desk.notices.iter().filter(|notice| matches!(notice, Notice::ControlGained { .. })).count()
    };
    let before = gained(&desk);
    desk.customer("m1", Channel::Standby);
    desk.passed_to(DESK);
    assert_eq!(gained(&desk), before);
    desk.expect(Call::PassThreadControl { to: AppId::from(BOT) }, CallOutcome::Done);
    assert_eq!(gained(&desk), before);
}

#[test]
fn what_was_told_as_somebody_elses_is_news_where_the_owner_gets_it() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(DESK);
    bot.config.limits.notices = 0;
    assert_eq!(bot.customer("m1", Channel::Standby), Reply::Refused(CommandRefused::NoticesFull));
    assert_eq!(
        bot.event(Channel::Standby, EventKind::Read { watermark: None, mid: None }),
        Reply::Done,
        "nobody is told of it"
    );
    bot.config.limits.notices = 9;
    assert_eq!(bot.customer("m1", Channel::Standby), Reply::Done);
    bot.config.limits.notices = 0;
    assert_eq!(bot.customer("m1", Channel::Standby), Reply::Ignored);
    assert_eq!(bot.customer("m1", Channel::Messaging), Reply::Refused(CommandRefused::NoticesFull));
}
