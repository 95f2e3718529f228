//! Tests of unknown outcomes, crashes, and the notices that follow.

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
    assert_eq!(
        desk.send("a"),
        Reply::Duplicate(desk.thread.message_status(&MessageKey::new("a").unwrap()).unwrap())
    );
}

#[test]
fn without_an_echo_the_host_decides_and_a_late_echo_still_counts() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.send("b");
    desk.expect_send("a", unknown());
    desk.sleep();
    assert!(matches!(desk.notices.last(), Some(Notice::MessageUnknown { .. })) && desk.calls.is_empty());
    desk.command(Command::Continue(MessageKey::new("a").unwrap()));
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
    assert!(matches!(desk.notices.last(), Some(Notice::MessageSent { maybe_doubled: true, .. })));
}

/// The outcome contains the reason why no echo settles it.
#[test]
fn an_unknown_outcome_says_why_no_echo_tells() {
    let echo_of = |desk: &World| match desk.notices.last() {
        Some(Notice::MessageUnknown { echo, key, .. }) => {
            assert_eq!(desk.thread.message_status(key), Some(MessageStatus::Unknown(*echo)));
            *echo
        }
        other => panic!("{other:?}"),
    };
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", unknown());
    desk.sleep();
    assert_eq!(echo_of(&desk), NoEcho::Overdue);

    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", unknown());
    desk.passed_to(BOT);
    desk.sleep();
    assert_eq!(echo_of(&desk), NoEcho::ControlLeft);

    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.config.echoes = false;
    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", unknown());
    let before = desk.now;
    desk.sleep();
    assert_eq!((echo_of(&desk), desk.now), (NoEcho::NotSubscribed, before));

    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.config.on_unknown = OnUnknown::Resend;
    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", unknown());
    desk.sleep();
    desk.expect_send("a", refused(FailureKind::Invalid));
    assert_eq!(echo_of(&desk), NoEcho::SentAgain);
}

/// Refusals of the platform and deadlines fail a message, each with its reason.
#[test]
fn an_answer_fails_with_its_reason() {
    let refused_as = |kind| {
        let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
        desk.passed_to(DESK);
        desk.send("a");
        desk.expect_send("a", refused(kind));
        let Some(Notice::MessageFailed { reason, .. }) = desk.notices.pop() else { panic!() };
        reason
    };
    assert!(matches!(refused_as(FailureKind::OutsideWindow), FailReason::OutsideWindow(_)));
    assert!(matches!(refused_as(FailureKind::RecipientUnavailable), FailReason::RecipientUnavailable(_)));
    assert!(matches!(refused_as(FailureKind::Invalid), FailReason::Rejected(_)));
}

/// A waiting message expires by its age, not by the messaging window: an ad opens the window for 7 days, and only the
/// platform knows.
#[test]
fn an_answer_expires_by_its_age_alone() {
    const HOUR: u64 = 3_600_000;
    for (written, tag) in [
        (None, MessagingType::Response),
        (Some(0), MessagingType::Response),
        (Some(20 * HOUR), MessagingType::Response),
        (Some(25 * HOUR), MessagingType::Response),
        (Some(150 * HOUR), MessagingType::HumanAgent),
    ] {
        let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
        desk.config.timeouts.message_age = Duration::from_hours(30);
        desk.config.timeouts.call_lease = Duration::from_hours(1000);
        if let Some(ago) = written {
            desk.customer("m1", Channel::Standby);
            desk.wait(ago);
        }
        desk.passed_to(BOT);
        let accepted = desk.now;
        let (key, message) =
            (MessageKey::new("a").unwrap(), OutgoingMessage::text("a").unwrap().with_messaging_type(tag));
        desk.command(Command::Send { key, message });
        // The call that claims control is still under way.
        while desk.thread.message_status(&MessageKey::new("a").unwrap()) == Some(MessageStatus::Waiting) {
            desk.sleep();
        }
        let expired =
            |notice: &Notice| matches!(notice, Notice::MessageFailed { reason: FailReason::Expired, .. });
        assert!(desk.notices.last().is_some_and(expired), "{:?}", desk.notices);
        assert_eq!(desk.now.since(accepted).as_secs() / 3600, 30, "{written:?}");
    }
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
    assert_eq!(desk.step(Input::CallEnded { call: lost, outcome: CallOutcome::Done }), Reply::Ignored);
}

#[test]
fn what_came_on_standby_is_told_to_who_gains_control_unless_it_was_answered() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(DESK);
    bot.customer("m1", Channel::Standby);
    let echo = Echo::new(None, Some(AppId::from(DESK)));
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
    let (mut thread, mut out) = with_a_notice(&config);
    let mut now = Timestamp::from_millis(BASE);
    let (first, mut attempts) = (out.clone(), Vec::new());
    for handled in [Handled::Retry, Handled::Retry, Handled::done()] {
        let [Output::Notice { id, attempt, .. }] = &mut out[..] else { panic!("{out:?}") };
        attempts.push(std::mem::replace(attempt, 1));
        let id = *id;
        assert_eq!(out, first);
        out.clear();
        assert_eq!(
            thread.step(&cx, Input::NoticeHandled { notice: id, handled }, now, &mut out),
            Reply::Done
        );
        assert!(out.is_empty());
        if let Some(wake) = thread.next_wake(&cx) {
            now = wake;
            let _ = thread.step(&cx, Input::Wake, now, &mut out);
        }
    }
    assert!(thread.is_at_rest() && out.is_empty());
    assert_eq!(attempts, [1, 2, 3]);
}

/// People may have got control of a thread that the bot believes to be idle, so a read of the owner that failed is
/// repeated.
#[test]
fn a_bot_takes_nothing_on_a_look_that_failed() {
    let busy = || CallOutcome::Refused(Failure::new(FailureKind::Transient, "busy"));
    let held_back = || CallOutcome::HeldBack(Duration::from_secs(1));
    for lost in [busy, unknown, held_back] {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        bot.passed_to(BOT);
        bot.command(Command::Transfer { target: Target::Nobody, note: None });
        bot.expect(Call::ReleaseThreadControl, CallOutcome::Done);
        bot.send("a");
        bot.expect(Call::ThreadOwner, lost());
        bot.sleep();
        bot.expect(Call::ThreadOwner, owned_by(DESK));
        assert!(!bot.calls.iter().any(|(_, call)| *call == Call::TakeThreadControl), "{:?}", bot.calls);
    }
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.command(Command::Transfer { target: Target::Nobody, note: None });
    bot.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    bot.send("a");
    // If the owner cannot be read at all, the bot takes nothing either.
    bot.expect(Call::ThreadOwner, CallOutcome::Refused(Failure::new(FailureKind::Permission, "no")));
    bot.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
}
