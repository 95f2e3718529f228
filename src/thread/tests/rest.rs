//! When a thread is at rest, and what tells its calls and requests apart.

use super::*;

/// Each of these alone is something under way.
#[test]
fn what_is_under_way_is_no_rest() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    assert!(desk.thread.is_at_rest());
    desk.passed_to(BOT);
    assert!(desk.thread.is_at_rest());

    desk.command(Command::OpenIntervention);
    assert!(!desk.thread.is_at_rest(), "a call");
    desk.expect(Call::RequestThreadControl, CallResult::Forwarded);
    assert!(!desk.thread.is_at_rest(), "a claim");

    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", unknown());
    assert!(!desk.thread.is_at_rest(), "an echo that may come");

    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.command(Command::HandOver(Target::Desk));
    bot.expect(Call::AskDesk(Direction::BotToAgent), CallResult::Done);
    assert!(!bot.thread.is_at_rest(), "a hand-over");

    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.event(Channel::Messaging, EventKind::PassThreadControl(ControlChange::default()));
    bot.expect(Call::ThreadOwner, refused(RefusalKind::Transient));
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
    desk.step(Input::Answer { call: take, result: CallResult::Done });
    let (send, _) = desk.call();
    assert!(take.0 > 0 && send > take);
    assert_eq!(desk.step(Input::Answer { call: take, result: CallResult::Done }), Reply::Ignored);
}

#[test]
fn who_waits_for_the_hosts_word_is_listed() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.requested_by(STRANGER);
    assert_eq!(bot.thread.waiting_requests().collect::<Vec<_>>(), [&AppId::from(STRANGER)]);
    bot.command(Command::Grant(AppId::from(STRANGER)));
    assert_eq!(bot.thread.waiting_requests().count(), 0);
    bot.expect(Call::PassThreadControl { to: AppId::from(STRANGER) }, CallResult::Done);
}

/// Faults of the host's handler are waited out longer each time.
#[test]
fn a_handler_that_fails_is_left_alone_longer_each_time() {
    let config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::EdPrimary);
    let cx = Context::new(&config);
    let (mut thread, mut out) = with_a_notice(&config);
    let mut now = Timestamp::from_millis(BASE);
    let mut waits = Vec::new();
    for _ in 0..3 {
        let Some(Output::Notice { id, .. }) = out.pop() else { panic!("{out:?}") };
        let _ = thread.step(&cx, Input::NoticeDone { notice: id, ok: false }, now, &mut out);
        let wake = thread.next_wake(&cx).unwrap();
        waits.push(wake.since(now).as_secs());
        now = wake;
        let _ = thread.step(&cx, Input::Wake, now, &mut out);
    }
    assert_eq!(waits, [1, 2, 4]);
}
