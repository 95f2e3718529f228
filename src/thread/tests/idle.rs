//! Tests of threads at rest, of dropped threads, and of the numbers of calls and requests.

use super::*;

/// Each of these alone keeps the thread from rest.
#[test]
fn what_is_under_way_is_no_rest() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    assert!(desk.thread.is_at_rest());
    desk.passed_to(BOT);
    assert!(desk.thread.is_at_rest());

    desk.command(Command::OpenIntervention);
    assert!(!desk.thread.is_at_rest(), "a call");
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    assert!(!desk.thread.is_at_rest(), "a claim");

    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", unknown());
    assert!(!desk.thread.is_at_rest(), "an echo that may come");

    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.command(Command::Transfer { target: Target::Desk, note: None });
    bot.expect(Call::AskDesk(Direction::BotToAgent), CallOutcome::Done);
    assert!(!bot.thread.is_at_rest(), "a hand-over");

    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.event(Channel::Messaging, EventKind::PassThreadControl(ControlChange::default()));
    bot.expect(Call::ThreadOwner, refused(FailureKind::Transient));
    assert!(bot.calls.is_empty() && !bot.thread.is_at_rest(), "a doubt");

    let config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::EdPrimary);
    let (thread, _) = with_a_notice(&config);
    assert!(!thread.is_at_rest(), "a notice");
}

#[test]
fn no_number_is_used_twice() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    let (take, _) = desk.call();
    desk.step(Input::CallEnded { call: take, outcome: CallOutcome::Done });
    let (send, _) = desk.call();
    assert!(take.0 > 0 && send > take);
    assert_eq!(desk.step(Input::CallEnded { call: take, outcome: CallOutcome::Done }), Reply::Ignored);
}

#[test]
fn who_waits_for_the_hosts_word_is_listed() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.requested_by(STRANGER);
    assert_eq!(bot.thread.waiting_requests().collect::<Vec<_>>(), [&AppId::from(STRANGER)]);
    bot.command(Command::Grant(AppId::from(STRANGER)));
    assert_eq!(bot.thread.waiting_requests().count(), 0);
    bot.expect(Call::PassThreadControl { to: AppId::from(STRANGER) }, CallOutcome::Done);
}

/// The pause after a failure of the host's handler grows each time.
#[test]
fn a_handler_that_fails_is_left_alone_longer_each_time() {
    let config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::EdPrimary);
    let cx = Context::new(&config);
    let (mut thread, mut out) = with_a_notice(&config);
    let mut now = Timestamp::from_millis(BASE);
    let mut waits = Vec::new();
    for _ in 0..3 {
        let Some(Output::Notice { id, .. }) = out.pop() else { panic!("{out:?}") };
        let _ = thread.step(&cx, Input::NoticeHandled { notice: id, handled: Handled::Retry }, now, &mut out);
        let wake = thread.next_wake(&cx).unwrap();
        waits.push(wake.since(now).as_secs());
        now = wake;
        let _ = thread.step(&cx, Input::Wake, now, &mut out);
    }
    assert_eq!(waits, [1, 2, 4]);
}

/// The state of a conversation is dropped after its retention, not before.
#[test]
fn a_thread_at_rest_is_forgotten_in_the_end() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    let retention = bot.config.timeouts.retention;
    bot.passed_to(BOT);
    bot.customer("m1", Channel::Messaging);
    let first = bot.thread.next_wake(&Context::new(&bot.config)).unwrap();
    assert_eq!(first, bot.now.plus(retention + retention / 8));
    // Soon afterwards the time of rest is not rewritten, and the retention still holds.
    bot.now = bot.now.plus(retention / 9);
    bot.customer("m1", Channel::Messaging);
    assert_eq!(bot.thread.next_wake(&Context::new(&bot.config)), Some(first));
    bot.now = bot.now.plus(retention / 9);
    bot.customer("m1", Channel::Messaging);
    let last = bot.now;
    assert!(bot.thread.next_wake(&Context::new(&bot.config)).unwrap() > first);
    bot.now = last.plus(retention);
    bot.step(Input::Wake);
    assert!(!bot.thread.is_fresh());
    bot.sleep();
    assert!(bot.thread.is_fresh() && bot.thread == Thread::new());

    bot.config.timeouts.retention = Duration::MAX;
    bot.passed_to(BOT);
    assert_eq!(bot.thread.next_wake(&Context::new(&bot.config)), None, "it is kept for ever");
}

/// A thread needs attention while anyone, the host included, has work left.
#[test]
fn what_waits_for_somebody_is_open() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    assert!(!desk.thread.needs_attention());
    desk.command(Command::OpenIntervention);
    assert!(desk.thread.needs_attention() && desk.thread.is_at_rest());
    assert_eq!(desk.thread.next_wake(&Context::new(&desk.config)), None, "it is kept as long as it is open");
    desk.command(Command::CloseIntervention);
    assert!(desk.thread.needs_attention(), "control is being released");
    desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    assert!(!desk.thread.needs_attention());

    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", unknown());
    desk.sleep();
    assert!(desk.thread.needs_attention() && desk.thread.is_at_rest(), "an answer waits for the host's word");

    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.requested_by(STRANGER);
    assert!(bot.thread.needs_attention() && bot.thread.is_at_rest(), "an app waits for the host's word");
    bot.sleep();
    assert!(bot.thread.is_fresh(), "a host that never says a word is not waited for for ever");
}

/// A late outcome of a call of a dropped conversation is not taken for one of the next conversation.
#[test]
fn numbers_go_on_where_a_thread_is_fresh() {
    let config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::EdPrimary);
    let now = Timestamp::from_millis(BASE);
    let cx = Context { ids_from: 5_000, ..Context::new(&config) };
    let (mut thread, mut out) = (Thread::new(), vec![]);
    let _ = thread.step(&cx, Input::Command(Command::OpenIntervention), now, &mut out);
    assert!(matches!(out[..], [Output::Call { id: CallId(5_002), .. }]), "{out:?}");
    let cx = Context { ids_from: 9_000, ..cx };
    let closed = Input::Event(Event {
        channel: Channel::Messaging,
        at: Span::at(now),
        kind: EventKind::PassThreadControl(ControlChange {
            new_owner: Some(AppId::from(DESK)),
            ..ControlChange::default()
        }),
    });
    let _ = thread.step(&cx, closed, now, &mut out);
    assert!(matches!(out.last(), Some(Output::Notice { id: NoticeId(5_000), .. })), "{out:?}");
}

/// During a shutdown results are stored, and nothing is started.
#[test]
fn nothing_is_begun_where_nothing_may_begin() {
    let config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::EdPrimary);
    let now = Timestamp::from_millis(BASE);
    let (mut thread, mut out) = (Thread::new(), vec![]);
    let stopping = Context { begins: false, ..Context::new(&config) };
    let send =
        Command::Send { key: MessageKey::new("a").unwrap(), message: OutgoingMessage::text("a").unwrap() };
    assert_eq!(thread.step(&stopping, Input::Command(send), now, &mut out), Reply::Accepted);
    assert!(out.is_empty() && !thread.is_at_rest());
    let _ = thread.step(&Context::new(&config), Input::Wake, now, &mut out);
    assert_eq!(out.len(), 1);
}

/// Customer events other than messages prolong control too: reactions, clicks, followed links.
#[test]
fn control_lasts_from_the_customers_last_act() {
    let message = |desk: &mut World| desk.customer("m1", Channel::Messaging);
    let reaction = |desk: &mut World| {
        let other = crate::event::Other::new("reaction", crate::event::Raw::new("{}"));
        desk.event(Channel::Messaging, EventKind::Other(other))
    };
    for (acts, owner) in [
        (None, Owner::Unknown),
        (Some(message as fn(&mut World) -> Reply), Owner::Us),
        (Some(reaction as fn(&mut World) -> Reply), Owner::Us),
    ] {
        let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
        desk.passed_to(DESK);
        desk.wait(20 * 3_600_000);
        if let Some(acts) = acts {
            acts(&mut desk);
        }
        desk.wait(5 * 3_600_000);
        desk.step(Input::Wake);
        assert_eq!(*desk.thread.owner(), owner);
    }
}
