//! Tests of the notice queue: order, notices set aside, refusals while it is full, and keys of earlier messages.

use super::*;

fn key(name: &str) -> MessageKey {
    MessageKey::new(name).unwrap()
}

/// A notice that was never put out cannot be acknowledged, because it would be lost.
#[test]
fn notices_that_were_not_put_out_cannot_be_done() {
    let config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::EdPrimary);
    let now = Timestamp::from_millis(BASE);
    let stops = Context { begins: false, ..Context::new(&config) };
    let (mut thread, mut out) = (Thread::new(), Vec::new());
    let change = ControlChange { new_owner: Some(config.app.clone()), ..ControlChange::default() };
    let kind = EventKind::PassThreadControl(change);
    let event = Event { channel: Channel::Messaging, at: Span::at(now), kind };
    let _ = thread.step(&stops, Input::Event(event), now, &mut out);
    assert!(out.is_empty() && !thread.is_at_rest());
    let before = thread.clone();
    for handled in [Handled::done(), Handled::Retry, Handled::Skip] {
        let done = Input::NoticeHandled { notice: NoticeId(0), handled };
        assert_eq!(thread.step(&stops, done, now, &mut out), Reply::Ignored);
        assert_eq!(thread, before);
    }
    let _ = thread.step(&Context::new(&config), Input::Wake, now, &mut out);
    assert!(matches!(out[..], [Output::Notice { id: NoticeId(0), attempt: 1, .. }]), "{out:?}");
}

/// A notice is set aside at the limit of attempts, whether its handler fails or its process ends each time.
#[test]
fn notices_are_set_aside_after_so_many_attempts() {
    for says_so in [true, false] {
        let mut config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::EdPrimary);
        (config.limits.attempts, config.limits.set_aside) = (3, 2);
        let cx = Context::new(&config);
        let (mut thread, mut out) = with_a_notice(&config);
        let mut now = Timestamp::from_millis(BASE);
        let mut aside = Vec::new();
        let step = |thread: &mut Thread, input, now| {
            let mut out = Vec::new();
            let reply = thread.step(&cx, input, now, &mut out);
            (reply, out)
        };
        for number in 0..4_u64 {
            for attempt in 1..=3 {
                let Some(Output::Notice { id, attempt: told, .. }) = out.pop() else { panic!("{out:?}") };
                assert_eq!((id, told), (NoticeId(number), attempt));
                if attempt == 1 {
                    // Another notice waits behind it.
                    let by = AppId::from(100 + number);
                    let request = ControlRequest { requested_by: Some(by), metadata: None };
                    let kind = EventKind::RequestThreadControl(request);
                    let event = Event { channel: Channel::Messaging, at: Span::at(now), kind };
                    assert_eq!(step(&mut thread, Input::Event(event), now).0, Reply::Done);
                }
                if says_so {
                    out =
                        step(&mut thread, Input::NoticeHandled { notice: id, handled: Handled::Retry }, now)
                            .1;
                }
                if !says_so || attempt < 3 {
                    now = thread.next_wake(&cx).unwrap();
                    out = step(&mut thread, Input::Wake, now).1;
                }
            }
            let Output::SetAside { id, attempts: 3, dropped } = out.remove(0) else { panic!("{out:?}") };
            aside.push((id.0, dropped.map(|id| id.0)));
        }
        assert_eq!(aside, [(0, None), (1, None), (2, Some(0)), (3, Some(1))]);
        let kept: Vec<_> = thread.set_aside().map(|one| (one.id.0, one.attempts)).collect();
        assert_eq!(kept, [(2, 3), (3, 3)]);
        assert!(matches!(out[..], [Output::Notice { id: NoticeId(4), attempt: 1, .. }]), "{out:?}");
        let dismiss = |id| Input::Command(Command::DismissSetAside(NoticeId(id)));
        let gone = Reply::Refused(CommandRefused::NoSuchNotice);
        let replies = [2, 2, 0, 3].map(|id| step(&mut thread, dismiss(id), now).0);
        assert_eq!(replies, [Reply::Done, gone.clone(), gone, Reply::Done]);
        assert!(thread.set_aside().next().is_none());
    }
}

/// While the queue is full, commands that notify the host are refused; commands that end something, and duplicates,
/// are not.
#[test]
fn notices_bound_commands_too() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.config.limits.notices = 0;
    let full = Reply::Refused(CommandRefused::NoticesFull);
    assert_eq!(desk.send("b"), full);
    assert_eq!(desk.send("a"), Reply::Duplicate(MessageStatus::Waiting));
    for command in [
        Command::OpenIntervention,
        Command::InterventionReported { open: true, at: None },
        Command::Claim { origin: ClaimOrigin::Host, note: None },
        Command::Transfer { target: Target::Nobody, note: None },
        Command::Grant(AppId::from(BOT)),
        Command::Cancel(key("a")),
    ] {
        assert_eq!(desk.command(command.clone()), full, "{command:?}");
    }
    for command in [
        Command::Refuse(AppId::from(BOT)),
        Command::Continue(key("a")),
        Command::InterventionReported { open: false, at: None },
        Command::CloseIntervention,
    ] {
        assert_ne!(desk.command(command.clone()), full, "{command:?}");
    }
}

/// The actions of a handler need no room among the notices, because otherwise a full queue could never shrink. If too
/// many messages wait, the notice is retried.
#[test]
fn replies_are_taken_in_while_the_notices_are_full() {
    let mut config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::EdPrimary);
    (config.limits.notices, config.limits.messages) = (1, 3);
    let cx = Context::new(&config);
    let (mut thread, mut out) = with_a_notice(&config);
    let mut now = Timestamp::from_millis(BASE);
    let message = || OutgoingMessage::text("hi").unwrap();
    let full = Reply::Refused(CommandRefused::NoticesFull);
    let from_outside = Command::Send { key: key("x"), message: message() };
    assert_eq!(thread.step(&cx, Input::Command(from_outside), now, &mut Vec::new()), full);
    let Some(Output::Notice { id, .. }) = out.pop() else { panic!("{out:?}") };
    let replies = || Handled::Done(Actions::reply(message()).and_reply(message()));
    let done = thread.step(&cx, Input::NoticeHandled { notice: id, handled: replies() }, now, &mut out);
    assert_eq!(done, Reply::Done);
    let keys = [format!("re:{}:0", id.0), format!("re:{}:1", id.0)];
    assert!(
        keys.iter().all(|name| thread.message_status(&key(name)) == Some(MessageStatus::Waiting)),
        "{thread:?}"
    );

    // Too many messages wait: the next notice is not acknowledged yet.
    let (_, more) = with_a_notice(&config);
    let Some(Output::Notice { notice, .. }) = more.last() else { panic!("{more:?}") };
    thread.notices.push(notice.clone());
    out.clear();
    now = now.plus(Duration::from_secs(1));
    let _ = thread.step(&cx, Input::Wake, now, &mut out);
    let Some(Output::Notice { id, .. }) = out.pop() else { panic!("{out:?}") };
    assert_eq!(
        thread.step(&cx, Input::NoticeHandled { notice: id, handled: replies() }, now, &mut out),
        Reply::Done
    );
    let _ = thread.step(&cx, Input::Wake, now.plus(Duration::from_secs(10)), &mut out);
    let again =
        |output: &Output| matches!(output, Output::Notice { id: again, attempt: 2, .. } if *again == id);
    assert!(out.iter().any(again), "{out:?}");
}

/// The key of an old message is known for the platform's redelivery time.
#[test]
fn keys_of_answers_are_known_for_the_redelivery_time() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.config.limits.finished = 2;
    desk.passed_to(DESK);
    let name = |number: usize| format!("k{number}");
    for number in 0..200 {
        desk.wait(10_000);
        desk.customer(&name(number), Channel::Messaging);
        desk.send(&name(number));
        desk.expect_send(&name(number), SENT);
    }
    for number in 0..198 {
        assert_eq!(desk.send(&name(number)), Reply::Duplicate(MessageStatus::Settled), "{number}");
        assert_eq!(desk.thread.message_status(&key(&name(number))), Some(MessageStatus::Settled));
    }
    assert!(matches!(desk.send(&name(199)), Reply::Duplicate(MessageStatus::Sent { .. })));
    assert!(desk.calls.is_empty());
}
