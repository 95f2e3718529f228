//! Tests of a bot beside people: nothing that comes late, or at the same moment, makes it speak; and nothing keeps it silent
//! when they are done.

use super::*;
fn bot() -> World {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot
}

fn pass_to(app: u64) -> Call {
    Call::PassThreadControl { to: AppId::from(app) }
}

fn to_desk() -> Command {
    Command::Transfer { target: Target::Desk, note: None }
}

fn hidden() -> CallOutcome {
    CallOutcome::Owner(ThreadOwner::Hidden { expires: None })
}

fn taken_by(app: u64) -> EventKind {
    EventKind::TakeThreadControl(ControlChange::new(Some(AppId::from(BOT)), Some(AppId::from(app))))
}

fn echo(mid: &str, app: Option<u64>) -> EventKind {
    EventKind::Echo(Echo {
        text: Some(mid.into()),
        ..Echo::new(MessageId::new(mid).ok(), app.map(AppId::from))
    })
}

/// The texts of the messages that were notified as this host's to answer.
fn to_answer(world: &World) -> Vec<&str> {
    world.notices.iter().flat_map(Notice::to_answer).filter_map(|inbound| inbound.text.as_deref()).collect()
}

/// Answers reads of the owner, and asserts that no other call is made.
fn only_reads(bot: &mut World, owner: u64) {
    while let Some((_, call)) = bot.calls.first().cloned() {
        assert_eq!(call, Call::ThreadOwner, "beside people");
        bot.expect(call, owned_by(owner));
    }
}

/// Control went to the desk and back before people were asked for, and the events come afterwards.
#[test]
fn what_happened_before_people_were_asked_for_does_not_end_their_turn() {
    let change = |from: u64, to: u64| ControlChange::new(Some(AppId::from(from)), Some(AppId::from(to)));
    for policy in ThreadControlPolicy::ALL {
        let mut bot = World::bot(policy);
        bot.passed_to(BOT);
        let before = bot.now;
        bot.wait(10);
        bot.command(to_desk());
        let late = |after, kind| {
            let at = Span::at(before.plus(Duration::from_millis(after)));
            Input::Event(Event::new(Channel::Messaging, at, kind))
        };
        bot.step(late(2, EventKind::TakeThreadControl(change(BOT, DESK))));
        bot.step(late(4, EventKind::PassThreadControl(change(DESK, BOT))));
        assert!(bot.thread.people_are_busy(), "{policy}");
        assert_eq!(bot.send("a"), Reply::Refused(CommandRefused::WithPeople), "{policy}");

        // They come, and give control back.
        bot.wait(1_000);
        bot.step(late(500, EventKind::TakeThreadControl(change(BOT, DESK))));
        assert!(bot.thread.people_are_busy(), "{policy}");
        bot.step(late(900, EventKind::PassThreadControl(change(DESK, BOT))));
        assert!(!bot.thread.people_are_busy(), "{policy}");
    }
}

/// A person in the Page inbox takes control to answer. Control may leave it without an event, and then the platform routes the
/// customer to the bot, whatever the bot knew before.
#[test]
fn a_bot_answers_again_when_the_inbox_has_lost_control() {
    for policy in ThreadControlPolicy::ALL {
        for owners in [&[][..], &[BOT], &[DESK], &[PAGE_INBOX], &[BOT, PAGE_INBOX], &[BOT, DESK]] {
            let mut bot = World::bot(policy);
            for app in owners {
                bot.passed_to(*app);
            }
            bot.event(Channel::Standby, echo("from the inbox", Some(PAGE_INBOX)));
            assert_eq!(bot.send("a"), Reply::Refused(CommandRefused::WithPeople), "{policy}, {owners:?}");
            bot.customer("m1", Channel::Standby);
            assert_eq!(to_answer(&bot), [""; 0], "{policy}, {owners:?}");

            bot.customer("m2", Channel::Messaging);
            assert_eq!(to_answer(&bot), ["text of m1", "text of m2"], "{policy}, {owners:?}");
        }
    }
}

#[test]
fn a_bot_takes_nothing_from_people_in_an_inbox() {
    // The Page's default application learns of its control from deliveries only.
    let mut taken = World::bot(ThreadControlPolicy::BotPrimary);
    taken.customer("m1", Channel::Messaging);
    taken.event(Channel::Messaging, taken_by(PAGE_INBOX));
    assert!(taken.thread.people_are_busy());
    taken.send("a");
    only_reads(&mut taken, PAGE_INBOX);

    let mut event_is_late = bot();
    event_is_late.send("a");
    event_is_late.expect_send("a", refused(FailureKind::NotThreadOwner));
    only_reads(&mut event_is_late, PAGE_INBOX);
}

#[test]
fn a_message_under_way_when_people_come_is_not_tried_again() {
    let come: [fn() -> (Channel, EventKind); 2] = [
        || (Channel::Messaging, echo("from the phone", None)),
        || (Channel::Messaging, taken_by(PAGE_INBOX)),
    ];
    for event in come {
        for outcome in [
            CallOutcome::HeldBack(Duration::ZERO),
            refused(FailureKind::Transient),
            refused(FailureKind::NotThreadOwner),
            unknown(),
        ] {
            let mut bot = bot();
            bot.config.on_unknown = OnUnknown::Resend;
            bot.send("a");
            let (send, _) = bot.call();
            let (channel, kind) = event();
            bot.event(channel, kind);
            bot.step(Input::CallEnded { call: send, outcome: outcome.clone() });
            for _ in 0..3 {
                if bot.next_wake().is_some() {
                    bot.sleep();
                }
                only_reads(&mut bot, PAGE_INBOX);
                assert!(bot.thread.people_are_busy(), "{outcome:?}");
            }
        }
    }
}

/// The postback of a button comes to the app that sent the button, whoever has control.
#[test]
fn an_old_button_does_not_end_the_turn_of_people() {
    for policy in ThreadControlPolicy::ALL {
        let mut bot = World::bot(policy);
        bot.config.desk_endpoint = false;
        bot.passed_to(BOT);
        bot.command(to_desk());
        bot.expect(pass_to(DESK), CallOutcome::Done);
        let press = || Inbound {
            postback: true,
            text: Some("menu".into()),
            ..Inbound::new(MessageId::new("press").ok(), Span::UNKNOWN)
        };
        bot.wait(60_000);
        bot.event(Channel::Messaging, EventKind::Inbound(press()));
        only_reads(&mut bot, DESK);
        assert!(bot.thread.people_are_busy() && to_answer(&bot).is_empty(), "{policy}");

        // It is the bot's if people are done.
        bot.wait(60_000);
        for owner in [owned_by(BOT), CallOutcome::Owner(ThreadOwner::Idle)] {
            let (mut thread, notices) = (bot.thread.clone(), bot.notices.len());
            let again = Inbound { mid: MessageId::new("again").ok(), ..press() };
            bot.event(Channel::Messaging, EventKind::Inbound(again));
            bot.expect(Call::ThreadOwner, owner);
            assert_eq!(to_answer(&bot), ["menu", "menu"], "{policy}");
            std::mem::swap(&mut bot.thread, &mut thread);
            bot.notices.truncate(notices);
        }
    }
}

/// The pass worked, its outcome was lost, and the platform does not name the new owner to this app.
#[test]
fn a_pass_to_people_whose_outcome_was_lost_is_looked_into() {
    let mut bot = World::bot(ThreadControlPolicy::EdPrimary);
    bot.passed_to(BOT);
    bot.command(to_desk());
    bot.expect(Call::AskDesk(Direction::BotToAgent), refused(FailureKind::Transient));
    bot.expect(pass_to(DESK), unknown());
    bot.sleep();
    bot.expect(Call::ThreadOwner, hidden());
    bot.customer("is anybody there?", Channel::Standby);
    assert!(bot.thread.people_are_busy() && to_answer(&bot).is_empty(), "{:?}", bot.notices);
}

#[test]
fn a_grant_to_people_whose_outcome_was_lost_is_looked_into() {
    for owner in [owned_by(PAGE_INBOX), hidden()] {
        let mut bot = bot();
        bot.requested_by(PAGE_INBOX);
        bot.expect(pass_to(PAGE_INBOX), unknown());
        bot.sleep();
        bot.expect(Call::ThreadOwner, owner);
        assert!(bot.thread.people_are_busy(), "{:?}", bot.notices);
        assert_eq!(bot.notices.last(), Some(&Notice::Transferred { to: Some(AppId::from(PAGE_INBOX)) }));
    }
}

#[test]
fn what_came_while_a_bot_stood_back_is_notified_unless_a_person_answered_it() {
    for answered in [false, true] {
        for (is_default, owner) in
            [(false, owned_by(BOT)), (true, owned_by(BOT)), (true, CallOutcome::Owner(ThreadOwner::Idle))]
        {
            let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
            if !is_default {
                bot.passed_to(BOT);
            }
            bot.event(Channel::Messaging, echo("this is Maria, let me look", None));
            bot.wait(60_000);
            bot.customer("m1", Channel::Messaging);
            assert_eq!(to_answer(&bot), [""; 0]);
            bot.wait(60_000);
            if answered {
                bot.event(Channel::Messaging, echo("here it is", None));
            }
            bot.wait(3_700_000);
            bot.step(Input::Wake);
            while !bot.calls.is_empty() {
                bot.expect(Call::ThreadOwner, owner.clone());
            }
            let expected: &[_] = if answered { &[] } else { &["text of m1"] };
            assert_eq!(to_answer(&bot), expected, "answered: {answered}, default application: {is_default}");
        }
    }
}

#[test]
fn a_late_echo_of_people_who_passed_control_back_silences_nobody() {
    let mut bot = bot();
    bot.command(Command::Transfer { target: Target::page_inbox(), note: None });
    bot.expect(pass_to(PAGE_INBOX), CallOutcome::Done);
    bot.wait(600_000);
    let at = Span::at(bot.now);
    bot.wait(10_000);
    let back = ControlChange::new(Some(AppId::from(PAGE_INBOX)), Some(AppId::from(BOT)));
    bot.event(Channel::Messaging, EventKind::PassThreadControl(back));
    bot.wait(2_000);
    let kind = echo("the bot goes on", Some(PAGE_INBOX));
    bot.step(Input::Event(Event { channel: Channel::Standby, at, kind }));
    bot.customer("m1", Channel::Messaging);
    assert_eq!(to_answer(&bot), ["text of m1"]);
}

/// Engage Digital repeats its reports for hours.
#[test]
fn the_close_of_an_earlier_intervention_does_not_end_the_turn_of_people() {
    let mut bot = World::bot(ThreadControlPolicy::EdPrimary);
    let closed = bot.now;
    bot.wait(60_000);
    bot.passed_to(BOT);
    bot.wait(60_000);
    bot.command(to_desk());
    bot.expect(Call::AskDesk(Direction::BotToAgent), CallOutcome::Done);
    bot.requested_by(DESK);
    bot.expect(pass_to(DESK), CallOutcome::Done);
    bot.wait(60_000);
    bot.command(Command::InterventionReported { open: false, at: Some(closed) });
    only_reads(&mut bot, DESK);
    bot.customer("is anybody there?", Channel::Standby);
    assert!(bot.thread.people_are_busy() && to_answer(&bot).is_empty());
}

#[test]
fn of_reports_with_one_stamp_the_close_wins_at_a_bot_too() {
    for reports in [[true, false], [false, true]] {
        let mut bot = bot();
        let at = Some(bot.now);
        for open in reports {
            bot.wait(1_000);
            bot.command(Command::InterventionReported { open, at });
        }
        assert!(!bot.thread.people_are_busy(), "{reports:?}");
    }
}

/// The queue of a handler that lags is full when people come.
#[test]
fn a_full_queue_hides_no_people_from_a_bot() {
    let mut config = Config::new(AppId::from(BOT), Role::Bot, ThreadControlPolicy::BotPrimary);
    config.limits.notices = 1;
    let cx = Context::new(&config);
    let (mut thread, mut out) = with_a_notice(&config);
    let now = Timestamp::from_millis(BASE);
    let Some(Output::Notice { id, .. }) = out.pop() else { panic!() };
    let report = Input::Command(Command::InterventionReported { open: true, at: None });
    assert_eq!(thread.step(&cx, report, now, &mut out), Reply::Done);
    let wish = Handled::Done(Actions::reply(OutgoingMessage::text("x").unwrap()));
    let _ = thread.step(&cx, Input::NoticeHandled { notice: id, handled: wish }, now, &mut out);
    assert!(!out.iter().any(|output| matches!(output, Output::Call { .. })), "{out:?}");
}

/// The desk had control when the owner was read, and gave it back before people were asked for.
#[test]
fn an_owner_read_before_people_were_asked_for_is_read_again() {
    let mut bot = World::bot(ThreadControlPolicy::NoPrimary);
    bot.passed_to(BOT);
    bot.requested_by(DESK);
    bot.expect(pass_to(DESK), unknown());
    bot.sleep();
    let (read, _) = bot.call();
    assert!(matches!(bot.command(to_desk()), Reply::Transferring { .. }));
    bot.step(Input::CallEnded { call: read, outcome: owned_by(DESK) });
    bot.expect(Call::ThreadOwner, CallOutcome::Owner(ThreadOwner::Idle));
    bot.expect(Call::AskDesk(Direction::BotToAgent), CallOutcome::Done);
    assert!(bot.thread.people_are_busy());
}

/// The pass for the desk's request was under way when people were asked for, and the desk gave control back at once.
#[test]
fn a_pass_from_before_people_were_asked_for_brings_them_not() {
    for policy in [ThreadControlPolicy::BotPrimary, ThreadControlPolicy::NoPrimary] {
        for (owner, comes) in [(CallOutcome::Owner(ThreadOwner::Idle), false), (owned_by(DESK), true)] {
            let mut bot = World::bot(policy);
            bot.passed_to(BOT);
            bot.requested_by(DESK);
            assert!(matches!(bot.command(to_desk()), Reply::Transferring { .. }));
            bot.expect(pass_to(DESK), CallOutcome::Done);
            bot.expect(Call::ThreadOwner, owner);
            assert!(bot.thread.people_are_busy(), "{policy}");
            if comes {
                assert!(bot.calls.is_empty(), "{policy}: they are there");
            } else {
                bot.expect(Call::AskDesk(Direction::BotToAgent), CallOutcome::Done);
            }
        }
    }
}

/// A bot under ED primary is not routed the customer when the inbox is done: it has to ask.
#[test]
fn an_answer_from_the_inbox_does_not_silence_for_a_day_a_bot_that_has_to_ask() {
    let mut bot = World::bot(ThreadControlPolicy::EdPrimary);
    bot.event(Channel::Standby, echo("from the inbox", Some(PAGE_INBOX)));
    assert!(bot.thread.people_are_busy());
    bot.wait(3_700_000);
    bot.customer("m1", Channel::Standby);
    assert_eq!(to_answer(&bot), ["text of m1"]);
}

/// The webhooks come late, or Engage Digital's clock is behind.
#[test]
fn a_close_that_seems_older_than_the_arrival_of_people_counts() {
    let take_is_late = |open_reported: bool| {
        let mut bot = World::bot(ThreadControlPolicy::EdPrimary);
        bot.passed_to(BOT);
        let (taken, closed) = (bot.now, bot.now.plus(Duration::from_secs(10)));
        bot.wait(60_000);
        let at = Span::at(taken.plus(Duration::from_millis(1)));
        bot.step(Input::Event(Event { channel: Channel::Standby, at, kind: taken_by(DESK) }));
        for (open, at) in [(true, taken), (false, closed)] {
            if !open || open_reported {
                bot.command(Command::InterventionReported { open, at: Some(at) });
            }
        }
        bot
    };
    for mut bot in [take_is_late(false), take_is_late(true)] {
        only_reads(&mut bot, DESK);
        assert!(!bot.thread.people_are_busy());
    }

    let mut clock_is_behind = World::bot(ThreadControlPolicy::EdPrimary);
    let behind = |bot: &World| Some(bot.now.minus(Duration::from_mins(10)));
    clock_is_behind.passed_to(BOT);
    clock_is_behind.command(to_desk());
    for open in [true, false] {
        clock_is_behind.wait(30_000);
        let at = behind(&clock_is_behind);
        clock_is_behind.command(Command::InterventionReported { open, at });
    }
    assert!(!clock_is_behind.thread.people_are_busy());
}

/// A granted pass to another app, whose outcome was lost, is not the hand-over to the desk.
#[test]
fn a_pass_to_another_app_hands_over_to_nobody() {
    let mut bot = bot();
    bot.config = bot.config.clone();
    bot.config.trusted.insert(AppId::from(STRANGER));
    bot.requested_by(STRANGER);
    bot.expect(pass_to(STRANGER), unknown());
    bot.command(to_desk());
    bot.sleep();
    bot.expect(Call::ThreadOwner, owned_by(STRANGER));
    assert!(matches!(bot.calls[..], [(_, Call::AskDesk(Direction::BotToAgent))]), "{:?}", bot.calls);
}

#[test]
fn a_message_under_way_is_not_tried_again_beside_people_while_control_is_given_away() {
    let mut bot = bot();
    bot.send("a");
    let (send, _) = bot.call();
    bot.command(Command::Transfer { target: Target::Nobody, note: None });
    bot.event(Channel::Messaging, echo("from the phone", None));
    bot.step(Input::CallEnded { call: send, outcome: refused(FailureKind::Transient) });
    for _ in 0..3 {
        if bot.next_wake().is_some() {
            bot.sleep();
        }
        assert!(
            !bot.calls.iter().any(|(_, call)| matches!(call, Call::SendMessage { .. })),
            "{:?}",
            bot.calls
        );
    }
}
