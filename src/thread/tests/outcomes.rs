//! Unknown outcomes, crashes, and what the host is told.

use super::*;

#[test]
fn an_unknown_outcome_is_settled_by_the_echo_and_never_sent_again() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.send("b");
    desk.expect_send("a", unknown());
    assert!(desk.calls.is_empty(), "none overtakes an unknown one");
    desk.echo_of("a");
    desk.expect_send("b", SENT);
    assert_eq!(desk.delivered(), ["a", "b"]);
    assert_eq!(desk.echo_of("a"), Reply::Ignored);
    assert_eq!(desk.send("a"), Reply::Duplicate(desk.thread.answer(&AnswerKey::new("a").unwrap()).unwrap()));
}

#[test]
fn without_an_echo_the_host_decides_and_a_late_echo_still_counts() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.send("b");
    desk.expect_send("a", unknown());
    desk.sleep();
    assert!(matches!(desk.notices.last(), Some(Notice::AnswerUnknown { .. })) && desk.calls.is_empty());
    desk.command(Command::Continue(AnswerKey::new("a").unwrap()));
    desk.expect_send("b", SENT);
    desk.echo_of("a");
    assert_eq!(desk.delivered(), ["b", "a"]);

    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.config.on_unknown = OnUnknown::Resend;
    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", unknown());
    desk.sleep();
    desk.expect_send("a", SENT);
    assert!(matches!(desk.notices.last(), Some(Notice::AnswerDelivered { maybe_doubled: true, .. })));
}

#[test]
fn a_crash_between_saving_and_calling_strands_nothing() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    let (lost, call) = desk.call();
    assert_eq!(call, Call::TakeThreadControl);
    let saved = serde_json::to_string(&desk.thread).unwrap();
    desk.thread = serde_json::from_str(&saved).unwrap();
    desk.sleep();
    desk.sleep();
    desk.expect(Call::ThreadOwner, owned_by(DESK));
    desk.expect_send("a", SENT);
    assert_eq!(desk.step(Input::Answer { call: lost, result: CallResult::Done }), Reply::Ignored);
}

#[test]
fn what_came_on_standby_is_told_to_who_gains_control_unless_it_was_answered() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(DESK);
    bot.customer("m1", Channel::Standby);
    let echo = Echo { mid: None, app_id: Some(AppId::from(DESK)), metadata: None, text: None };
    bot.event(Channel::Standby, EventKind::Echo(echo));
    bot.customer("m2", Channel::Standby);
    assert_eq!(bot.customer("m2", Channel::Standby), Reply::Ignored);
    bot.passed_to(BOT);
    let Some(Notice::ControlGained { unanswered, .. }) = bot.notices.last() else { panic!() };
    assert_eq!(unanswered.iter().map(|m| m.text.as_deref()).collect::<Vec<_>>(), [Some("text of m2")]);
}

#[test]
fn a_notice_comes_again_with_its_id_until_it_is_dealt_with() {
    let config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::EdPrimary);
    let cx = Context::new(&config);
    let mut thread = Thread::new();
    let mut now = Timestamp::from_millis(BASE);
    let change = ControlChange { new_owner: Some(AppId::from(DESK)), ..ControlChange::default() };
    let kind = EventKind::PassThreadControl(change);
    let mut out = Vec::new();
    let event = Event { channel: Channel::Messaging, at: Span::at(now), kind };
    let _ = thread.step(&cx, Input::Event(event), now, &mut out);
    let first = out.clone();
    for ok in [false, false, true] {
        let [Output::Notice { id, .. }] = out[..] else { panic!("{out:?}") };
        assert_eq!(out, first);
        out.clear();
        assert_eq!(thread.step(&cx, Input::NoticeDone { notice: id, ok }, now, &mut out), Reply::Done);
        assert!(out.is_empty());
        if let Some(wake) = thread.next_wake(&cx) {
            now = wake;
            let _ = thread.step(&cx, Input::Wake, now, &mut out);
        }
    }
    assert!(thread.is_at_rest() && out.is_empty());
}

/// An idle thread that the bot remembers may have people by now: a look that was lost is made again.
#[test]
fn a_bot_takes_nothing_on_a_look_that_failed() {
    let busy = || CallResult::Refused(Refusal::new(RefusalKind::Transient, "busy"));
    let held_back = || CallResult::HeldBack(Duration::from_secs(1));
    for lost in [busy, unknown, held_back] {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        bot.passed_to(BOT);
        bot.command(Command::HandOver(Target::Nobody));
        bot.expect(Call::ReleaseThreadControl, CallResult::Done);
        bot.send("a");
        bot.expect(Call::ThreadOwner, lost());
        bot.sleep();
        bot.expect(Call::ThreadOwner, owned_by(DESK));
        assert!(!bot.calls.iter().any(|(_, call)| *call == Call::TakeThreadControl), "{:?}", bot.calls);
    }
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.command(Command::HandOver(Target::Nobody));
    bot.expect(Call::ReleaseThreadControl, CallResult::Done);
    bot.send("a");
    // Where it cannot be read at all, nothing is taken either.
    bot.expect(Call::ThreadOwner, CallResult::Refused(Refusal::new(RefusalKind::Permission, "no")));
    bot.expect(Call::RequestThreadControl, CallResult::Forwarded);
}
