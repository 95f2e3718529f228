//! Tests of unsent and edited messages, receipts and other customer events.

use super::*;
use crate::event::{Other, Raw};

fn mid(name: &str) -> MessageId {
    MessageId::new(name).unwrap()
}

fn unsent(name: &str) -> EventKind {
    EventKind::Unsent(mid(name))
}

fn edited(name: &str, text: Option<&str>, number: u32) -> EventKind {
    EventKind::Edited { mid: mid(name), text: text.map(str::to_owned), number }
}

/// The unanswered texts that an agent sees on gaining control.
fn shown(world: &World) -> Vec<Option<&str>> {
    let Some(Notice::ControlGained { unanswered, .. }) = world.notices.last() else { return vec![] };
    unanswered.iter().map(|inbound| inbound.text.as_deref()).collect()
}

#[test]
fn what_is_taken_back_is_shown_to_nobody() {
    for channel in [Channel::Messaging, Channel::Standby] {
        // Unsent before the pass.
        let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
        desk.passed_to(BOT);
        desk.customer("m1", Channel::Standby);
        desk.customer("m2", Channel::Standby);
        desk.event(channel, unsent("m1"));
        assert_eq!(desk.notices.last(), Some(&Notice::Unsent { mid: mid("m1") }));
        // A duplicate.
        assert_eq!(desk.event(channel, unsent("m1")), Reply::Ignored);
        desk.passed_to(DESK);
        assert_eq!(shown(&desk), [Some("text of m2")]);
        // Unsent after the pass.
        desk.event(channel, unsent("m2"));
        assert!(desk.notices.contains(&Notice::Unsent { mid: mid("m2") }));

        // Unsent before the message arrived.
        let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
        desk.event(channel, unsent("m1"));
        assert_eq!(desk.customer("m1", Channel::Messaging), Reply::Ignored);
    }
}

#[test]
fn what_is_taken_back_or_changed_is_so_among_what_was_set_aside() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(DESK);
    for name in ["m1", "m2"] {
        desk.skips = true;
        desk.customer(name, Channel::Messaging);
    }
    desk.skips = false;
    desk.event(Channel::Messaging, unsent("m1"));
    desk.event(Channel::Messaging, edited("m2", Some("changed"), 1));
    let aside: Vec<_> = desk.thread.set_aside().flat_map(|aside| aside.notice.to_answer()).collect();
    assert!(matches!(aside[..], [inbound] if inbound.text.as_deref() == Some("changed")), "{aside:?}");
}

/// With a handler that lags: notices that wait lose the message, a notice under way keeps it.
#[test]
fn what_is_taken_back_leaves_the_queue() {
    let config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::BotPrimary);
    let cx = Context::new(&config);
    let (mut thread, mut now, mut out) = (Thread::new(), Timestamp::from_millis(BASE), Vec::new());
    let mut tell = |thread: &mut Thread, kind| {
        now = now.plus(Duration::from_millis(1));
        let event = Event::new(Channel::Messaging, Span::at(now), kind);
        let _ = thread.step(&cx, Input::Event(event), now, &mut out);
        now
    };
    for name in ["m1", "m2", "m3"] {
        let inbound = Inbound {
            text: Some(name.into()),
            ..Inbound::new(Some(mid(name)), Span::at(Timestamp::from_millis(BASE)))
        };
        tell(&mut thread, EventKind::Inbound(inbound));
    }
    tell(&mut thread, unsent("m1"));
    tell(&mut thread, unsent("m2"));
    let now = tell(&mut thread, edited("m3", Some("better"), 1));
    let mut told = Vec::new();
    while let Some(output) = out.pop() {
        let Output::Notice { id, notice, .. } = output else { panic!("{output:?}") };
        told.push(match notice {
            Notice::Message { inbound, .. } => inbound.text.unwrap(),
            Notice::Unsent { mid } => format!("unsent {mid}"),
            Notice::Edited { mid, .. } => format!("edited {mid}"),
            other => panic!("{other:?}"),
        });
        let _ =
            thread.step(&cx, Input::NoticeHandled { notice: id, handled: Handled::done() }, now, &mut out);
    }
    assert_eq!(told, ["m1", "better", "unsent m1", "unsent m2", "edited m3"]);
}

#[test]
fn what_is_changed_is_told_as_it_is_now() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.customer("m1", Channel::Standby);
    desk.customer("m2", Channel::Standby);
    desk.event(Channel::Standby, edited("m1", Some("changed"), 1));
    let told = Notice::Edited { mid: mid("m1"), text: Some("changed".into()), number: 1 };
    assert_eq!(desk.notices.last(), Some(&told));
    assert_eq!(desk.event(Channel::Standby, edited("m1", Some("changed"), 1)), Reply::Ignored);
    // The platform does not send the new text.
    desk.event(Channel::Standby, edited("m2", None, 1));
    desk.passed_to(DESK);
    let Some(Notice::ControlGained { unanswered, .. }) = desk.notices.last() else { panic!() };
    let now: Vec<_> =
        unanswered.iter().map(|inbound| (inbound.text.as_deref(), inbound.must_be_fetched)).collect();
    assert_eq!(now, [(Some("changed"), false), (None, true)]);
}

#[test]
fn everything_else_that_a_customer_does_is_told_once() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    let at = Span::at(bot.now);
    for name in ["reaction", "referral", "optin", "something_new"] {
        let kind = EventKind::Other(Other::new(name, Raw::new(format!("{{\"{name}\":1}}"))));
        let event = Event::new(Channel::Messaging, at, kind);
        assert_eq!(bot.step(Input::Event(event.clone())), Reply::Done);
        assert!(matches!(bot.notices.last(), Some(Notice::Other { other, .. }) if other.name == name));
        assert_eq!(bot.step(Input::Event(event)), Reply::Ignored);
    }
    assert!(bot.notices.iter().all(|notice| notice.to_answer().is_empty()));
}

#[test]
fn receipts_are_told_to_hosts_that_want_them() {
    let read = || EventKind::Read { watermark: None, mid: Some(mid("m")) };
    let delivered = || EventKind::Delivery { mids: vec![mid("m")], watermark: None };
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    let before = bot.thread.clone();
    bot.event(Channel::Messaging, read());
    bot.event(Channel::Messaging, delivered());
    assert!(bot.notices.is_empty() && bot.thread == before, "they cost a write");

    bot.config.receipts = true;
    bot.event(Channel::Messaging, delivered());
    assert!(matches!(bot.notices.last(), Some(Notice::Delivered { .. })));
    bot.event(Channel::Messaging, read());
    assert!(matches!(bot.notices.last(), Some(Notice::Read { .. })));
}

fn question(written: Span, channel: Channel) -> Input {
    let inbound = Inbound { text: Some("q".into()), ..Inbound::new(MessageId::new("q").ok(), written) };
    Input::Event(Event { channel, at: written, kind: EventKind::Inbound(inbound) })
}

#[test]
fn a_redelivered_message_that_the_desk_answered_is_not_notified_again() {
    for copy in [Channel::Standby, Channel::Messaging] {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        bot.passed_to(DESK);
        let written = Span::at(bot.now);
        bot.wait(1_000);
        bot.step(question(written, Channel::Standby));
        bot.wait(1_000);
        let answer = Echo::new(MessageId::new("a").ok(), Some(AppId::from(DESK)));
        bot.event(Channel::Standby, EventKind::Echo(answer));
        bot.wait(1_000);
        bot.passed_to(BOT);
        bot.step(question(written, copy));
        assert!(bot.notices.iter().all(|notice| notice.to_answer().is_empty()), "{copy:?}");
    }
}

#[test]
fn of_edits_that_come_out_of_order_the_last_one_counts() {
    let edits = |numbers: &[u32]| {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        bot.passed_to(DESK);
        bot.customer("m1", Channel::Standby);
        for number in numbers {
            let (mid, text) = (MessageId::new("m1").unwrap(), Some(format!("edit {number}")));
            bot.event(Channel::Standby, EventKind::Edited { mid, text, number: *number });
        }
        bot.passed_to(BOT);
        let Some(Notice::ControlGained { unanswered, .. }) = bot.notices.last() else { panic!() };
        unanswered[0].text.clone().unwrap()
    };
    assert_eq!(edits(&[1, 2]), "edit 2");
    assert_eq!(edits(&[2, 1]), "edit 2");
}
