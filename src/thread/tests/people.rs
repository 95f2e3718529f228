//! Tests of handovers to people: a customer who asks for a person gets one, and the bot does not talk over people.

use super::*;

fn key(name: &str) -> MessageKey {
    MessageKey::new(name).unwrap()
}

/// Whether the last message was notified as this host's to answer.
fn is_to_answer(world: &World) -> bool {
    matches!(world.notices.last(), Some(Notice::Message { to_answer: true, .. }))
}

/// The texts of the unanswered messages in the notice of gained control.
fn unanswered(world: &World) -> Vec<&str> {
    let Some(Notice::ControlGained { unanswered, .. }) = world.notices.last() else { return vec![] };
    unanswered.iter().filter_map(|inbound| inbound.text.as_deref()).collect()
}

/// A bot that has handed over to the desk, which has control; the customer has written again.
fn with_people(policy: ThreadControlPolicy) -> World {
    let mut bot = World::bot(policy);
    bot.config.desk_endpoint = false;
    bot.passed_to(BOT);
    bot.hands_over(Command::Transfer { target: Target::Desk, note: Some("angry".into()) });
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, CallOutcome::Done);
    assert_eq!(bot.notices.last(), Some(&Notice::Transferred { to: Some(AppId::from(DESK)) }));
    bot.customer("are you there?", Channel::Standby);
    assert!(!is_to_answer(&bot) && bot.thread.people_are_busy());
    bot
}

#[test]
fn a_bot_is_silent_until_people_are_done() {
    for policy in ThreadControlPolicy::ALL {
        let mut bot = with_people(policy);
        assert_eq!(bot.send("a"), Reply::Refused(CommandRefused::WithPeople));
        assert_eq!(
            bot.command(Command::Claim { origin: ClaimOrigin::Host, note: None }),
            Reply::Refused(CommandRefused::WithPeople)
        );
        // Also if the thread became idle, or the customer is routed to the bot meanwhile.
        bot.wait(3_600_000);
        bot.customer("hello?", Channel::Standby);
        assert!(!is_to_answer(&bot) && bot.calls.is_empty());

        bot.passed_to(BOT);
        assert_eq!(unanswered(&bot), ["text of are you there?", "text of hello?"]);
        assert_eq!(bot.send("b"), Reply::Accepted);
    }
}

/// Each end of the people's turn, with the messages that came in meanwhile.
#[test]
fn people_are_done_when_they_say_so_or_when_time_has_passed() {
    for policy in ThreadControlPolicy::ALL {
        // The intervention is closed and the thread is idle.
        let mut closed = with_people(policy);
        let at = Some(closed.now.plus(Duration::from_secs(1)));
        closed.now = closed.now.plus(Duration::from_secs(2));
        closed.command(Command::InterventionReported { open: false, at });
        closed.expect(Call::ThreadOwner, CallOutcome::Owner(ThreadOwner::Idle));
        assert!(!closed.thread.people_are_busy());
        closed.customer("again", Channel::Messaging);
        assert!(is_to_answer(&closed), "{policy}");
        let told = closed.notices.iter().filter(|notice| !notice.to_answer().is_empty()).count();
        assert_eq!(told, 2, "what was written meanwhile is told with it");

        // Without an event of the release, the customer's next message comes to the bot.
        let mut routed = with_people(policy);
        routed.wait(25 * 3_600_000);
        routed.customer("a day later", Channel::Messaging);
        assert!(is_to_answer(&routed), "{policy}");

        // The host resumes the bot.
        let mut resumed = with_people(policy);
        assert_eq!(resumed.command(Command::ResumeBot), Reply::Done);
        assert!(!resumed.thread.people_are_busy());

        // People give no sign until the timeout; a sign prolongs it.
        let mut waits = with_people(policy);
        waits.config.timeouts.people = Duration::from_mins(10);
        waits.event(
            Channel::Standby,
            EventKind::Echo(Echo::new(MessageId::new("e1").ok(), Some(AppId::from(DESK)))),
        );
        waits.wait(9 * 60_000);
        waits.step(Input::Wake);
        assert!(waits.thread.people_are_busy());
        waits.wait(2 * 60_000);
        waits.step(Input::Wake);
        assert!(!waits.thread.people_are_busy());
    }
}

#[test]
fn nobody_who_comes_is_waited_for() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.config.desk_endpoint = false;
    bot.passed_to(BOT);
    bot.hands_over(Command::Transfer { target: Target::Desk, note: None });
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, refused(FailureKind::Invalid));
    assert!(matches!(bot.notices.last(), Some(Notice::TransferFailed { .. })));
    assert!(!bot.thread.people_are_busy());
    assert_eq!(bot.send("a"), Reply::Accepted);
}

/// The desk takes over without being asked.
#[test]
fn a_bot_is_silent_where_people_took_over() {
    for policy in ThreadControlPolicy::ALL {
        let mut bot = World::bot(policy);
        bot.passed_to(BOT);
        bot.send("a");
        bot.requested_by(DESK);
        bot.expect_send("a", SENT);
        bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, CallOutcome::Done);
        assert!(bot.thread.people_are_busy());

        let mut bot = World::bot(policy);
        bot.passed_to(BOT);
        bot.passed_to(DESK);
        assert!(bot.thread.people_are_busy() && bot.send("b") == Reply::Refused(CommandRefused::WithPeople));
    }
}

fn from_phone(text: &str) -> EventKind {
    let mid = Some(MessageId::new(text).unwrap());
    EventKind::Echo(Echo { text: Some(text.into()), ..Echo::new(mid, None) })
}

/// The shop's owner answers from the phone app ("This is Maria, let me look"), which moves no control.
#[test]
fn a_bot_stands_back_when_a_person_answers_elsewhere() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.event(Channel::Messaging, from_phone("this is Maria, let me look"));
    assert!(matches!(bot.notices.last(), Some(Notice::AnsweredElsewhere { by_person: true, .. })));
    bot.customer("thank you Maria", Channel::Messaging);
    assert!(!is_to_answer(&bot) && bot.send("a") == Reply::Refused(CommandRefused::WithPeople));
    // Notified once, however often the echo is redelivered.
    let told = bot.notices.len();
    bot.event(Channel::Messaging, from_phone("this is Maria, let me look"));
    assert_eq!(bot.notices.len(), told);

    bot.wait(3_600_000);
    bot.customer("and the blue one?", Channel::Messaging);
    assert!(is_to_answer(&bot));
    assert_eq!(bot.send("b"), Reply::Accepted);
    bot.expect_send("b", SENT);
}

#[test]
fn a_host_may_choose_not_to_stand_back() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.config.timeouts.stand_back = Duration::ZERO;
    bot.passed_to(BOT);
    bot.event(Channel::Messaging, from_phone("this is Maria"));
    bot.customer("thank you", Channel::Messaging);
    assert!(is_to_answer(&bot));
}

/// An echo of our own message without our metadata, as on Instagram, does not come from a person.
#[test]
fn our_own_echo_is_no_person() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.send("a");
    bot.expect_send("a", CallOutcome::Sent(Some(MessageId::new("sent").unwrap())));
    let echo = Echo { text: Some("text of a".into()), ..Echo::new(MessageId::new("sent").ok(), None) };
    bot.event(Channel::Messaging, EventKind::Echo(echo));
    assert!(!bot.thread.people_are_busy());

    // The echo may be faster than the response to the send.
    bot.send("b");
    let echo = Echo { text: Some("text of b".into()), ..Echo::new(MessageId::new("sent b").ok(), None) };
    bot.event(Channel::Messaging, EventKind::Echo(echo));
    assert!(!bot.thread.people_are_busy());
    assert_eq!(bot.delivered(), ["a", "b"]);
}

/// The request is swallowed: a desk with a waiting agent takes control if an admin allows it, and otherwise reports
/// the missing permission.
#[test]
fn a_desk_takes_what_its_request_had_no_answer_for() {
    let asks = |owner: u64| {
        let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
        desk.passed_to(owner);
        desk.command(Command::OpenIntervention);
        desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
        desk.unanswered(&Call::RequestThreadControl, owner);
        desk
    };
    let mut taken = asks(BOT);
    taken.expect(Call::TakeThreadControl, CallOutcome::Done);
    assert_eq!(*taken.thread.owner(), Owner::Us);

    let mut refuses = asks(BOT);
    refuses.expect(Call::TakeThreadControl, refused(FailureKind::NotAvailable));
    let Some(Notice::ControlNotGranted { report, .. }) = refuses.notices.last() else {
        panic!("{:?}", refuses.notices)
    };
    let words = report.to_string();
    assert!(words.contains("request") && words.contains("take"), "{words}");

    // A bot never takes from people.
    for policy in ThreadControlPolicy::ALL {
        let mut bot = World::bot(policy);
        bot.config.desk_endpoint = false;
        bot.passed_to(DESK);
        bot.send("a");
        assert!(!takes(&mut bot, DESK), "{policy}");
    }
}

/// Whether the claim ends with a take, while `owner` has the thread and never gives it away.
fn takes(world: &mut World, owner: u64) -> bool {
    for _ in 0..20 {
        while let Some((_, call)) = world.calls.first().cloned() {
            let result = match call {
                Call::TakeThreadControl => return true,
                Call::ThreadOwner => owned_by(owner),
                _ => CallOutcome::Forwarded,
            };
            world.expect(call, result);
        }
        if world.next_wake().is_none() {
            return false;
        }
        world.sleep();
    }
    panic!("it never ends");
}

/// Threads of Meta's own inbox and AI are not taken, unless the host configures that they answer requests.
#[test]
fn a_desk_takes_nothing_from_metas_own() {
    let inbox = PAGE_INBOX;
    for silent in [true, false] {
        let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
        if !silent {
            desk.config.silent.clear();
        }
        desk.passed_to(inbox);
        desk.command(Command::OpenIntervention);
        assert_eq!(takes(&mut desk, inbox), !silent);
    }
}

/// A message sent while an agent is engaged fails; when control comes back the host is notified again, and the same
/// key starts a new attempt.
#[test]
fn a_failed_key_may_be_sent_again() {
    let mut bot = World::bot(ThreadControlPolicy::EdPrimary);
    bot.passed_to(STRANGER);
    bot.customer("m1", Channel::Standby);
    bot.send("a");
    while let Some((_, call)) = bot.calls.first().cloned() {
        let result = match call {
            Call::ThreadOwner => owned_by(STRANGER),
            _ => refused(FailureKind::Conflict),
        };
        bot.expect(call, result);
    }
    assert!(
        matches!(bot.thread.message_status(&key("a")), Some(MessageStatus::Failed(_))),
        "{:?}",
        bot.notices
    );
    bot.passed_to(BOT);
    assert_eq!(unanswered(&bot), ["text of m1"]);
    assert_eq!(bot.send("a"), Reply::Accepted);
    bot.expect_send("a", SENT);
    assert_eq!(bot.delivered(), ["a"]);
    assert!(matches!(bot.send("a"), Reply::Duplicate(MessageStatus::Sent { .. })));
}

/// The actions of a handler are carried out once, however often the message is redelivered; the host is notified once
/// of refused actions.
#[test]
fn actions_are_done_with_the_notice_or_told_as_refused() {
    let mut config = Config::new(AppId::from(BOT), Role::Bot, ThreadControlPolicy::BotPrimary);
    config.desk = None;
    let cx = Context::new(&config);
    let (mut thread, mut out) = with_a_notice(&config);
    let now = Timestamp::from_millis(BASE);
    let Some(Output::Notice { id, .. }) = out.pop() else { panic!() };
    let wishes = Actions::reply(OutgoingMessage::text("hello").unwrap()).and_hand_over(Target::Desk);
    let _ = thread.step(
        &cx,
        Input::NoticeHandled { notice: id, handled: Handled::Done(wishes.clone()) },
        now,
        &mut out,
    );
    let sends = |output: &Output| matches!(output, Output::Call { call: Call::SendMessage { .. }, .. });
    assert_eq!(out.iter().filter(|output| sends(output)).count(), 1);
    let failure = out.iter().find_map(|output| match output {
        Output::Notice { id, notice: Notice::ActionRefused { action, why }, .. } => Some((*id, action, why)),
        _ => None,
    });
    let (id, action, why) = failure.expect("it is not told");
    assert_eq!((action, why), (&RefusedAction::Transfer(Target::Desk), &CommandRefused::NoDesk));
    // The same action in reply to that notice does not loop, and the notice is set aside.
    let wish = Actions::hand_over(Target::Desk);
    let mut more = Vec::new();
    let _ =
        thread.step(&cx, Input::NoticeHandled { notice: id, handled: Handled::Done(wish) }, now, &mut more);
    assert!(matches!(more[..], [Output::SetAside { attempts: 1, dropped: None, .. }]), "{more:?}");
    let aside: Vec<_> = thread.set_aside().map(|aside| aside.id).collect();
    assert_eq!(aside, [id]);
}

/// A bot that is the default application answers without ever being passed control, and is still notified when
/// control is lost.
#[test]
fn every_loss_of_control_is_told() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.customer("m1", Channel::Messaging);
    assert!(is_to_answer(&bot));
    bot.passed_to(DESK);
    assert_eq!(bot.notices.last(), Some(&Notice::ControlLost { to: Some(AppId::from(DESK)), note: None }));
}

/// Refuses calls until one satisfies `is_it`, and returns the note of that one.
fn note_of(world: &mut World, mut input: Input, is_it: impl Fn(&Call) -> bool) -> Note {
    for _ in 0..5 {
        let (cx, mut out) = (Context::new(&world.config), Vec::new());
        let _ = world.thread.step(&cx, input, world.now, &mut out);
        let made = out.into_iter().find_map(|output| match output {
            Output::Call { id, call, note, .. } => Some((id, call, note)),
            _ => None,
        });
        let Some((id, call, note)) = made else { break };
        if is_it(&call) {
            return note.unwrap_or_default();
        }
        input = Input::CallEnded { call: id, outcome: refused(FailureKind::NotAvailable) };
    }
    panic!("that call is not made");
}

#[test]
fn a_note_goes_out_with_each_call_that_has_a_place_for_it() {
    let note = Note::new("order 7").with_categories(["42"]);
    let hand_over = |target| Input::Command(Command::Transfer { target, note: Some(note.clone()) });
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    let told = note_of(&mut bot, hand_over(Target::Desk), |call| matches!(call, Call::AskDesk(_)));
    assert_eq!(told, note);
    // Engage Digital requests control and gets it with the note; another app gets it without.
    for (by, told) in [(DESK, note.clone()), (STRANGER, Note::default())] {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        bot.passed_to(BOT);
        bot.step(hand_over(Target::Desk));
        bot.expect(Call::AskDesk(Direction::BotToAgent), CallOutcome::Done);
        let request = EventKind::RequestThreadControl(ControlRequest::new(Some(AppId::from(by))));
        let mut input = Input::Event(Event::new(Channel::Messaging, Span::at(bot.now), request));
        if by == STRANGER {
            bot.step(input);
            input = Input::Command(Command::Grant(AppId::from(by)));
        }
        let pass = |call: &Call| *call == Call::PassThreadControl { to: AppId::from(by) };
        assert_eq!(note_of(&mut bot, input, pass), told);
    }
    let claim = || Input::Command(Command::Claim { origin: ClaimOrigin::Host, note: Some(note.clone()) });
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(BOT);
    let takes = |call: &Call| *call == Call::TakeThreadControl;
    assert_eq!(note_of(&mut desk, claim(), takes), note);
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(BOT);
    assert_eq!(note_of(&mut desk, claim(), |call| *call == Call::RequestThreadControl), note);
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(BOT);
    assert_eq!(note_of(&mut desk, hand_over(Target::App(AppId::from(STRANGER))), takes), note);
}

#[test]
fn the_note_that_comes_in_is_told_with_the_change_of_control() {
    let change = |from: u64, to: u64, note: &str| ControlChange {
        new_owner: Some(AppId::from(to)),
        previous_owner: Some(AppId::from(from)),
        metadata: Some(note.into()),
    };
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    let lead = change(BOT, DESK, "messenger_lead_gen_complete");
    desk.event(Channel::Messaging, EventKind::PassThreadControl(lead));
    let Some(Notice::ControlGained { from, note, .. }) = desk.notices.last() else { panic!() };
    assert_eq!(
        (from.clone(), note.as_deref()),
        (Some(AppId::from(BOT)), Some("messenger_lead_gen_complete"))
    );
    let request = ControlRequest { metadata: Some("may I?".into()), ..ControlRequest::new(Some(BOT.into())) };
    desk.event(Channel::Messaging, EventKind::RequestThreadControl(request));
    let Some(Notice::ControlRequested { note, .. }) = desk.notices.last() else { panic!() };
    assert_eq!(note.as_deref(), Some("may I?"));
    desk.event(Channel::Standby, EventKind::TakeThreadControl(change(DESK, BOT, "an admin did it")));
    let Some(Notice::ControlLost { note, .. }) = desk.notices.last() else { panic!() };
    assert_eq!(note.as_deref(), Some("an admin did it"));
    // Each note is notified once: the next change came without one.
    desk.passed_to(DESK);
    let Some(Notice::ControlGained { note, .. }) = desk.notices.last() else { panic!() };
    assert_eq!(*note, None);
}
