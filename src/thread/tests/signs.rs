//! Tests of typing indicators: shown while control is believed to be ours, never while that is in doubt.

use super::*;
use ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};

fn may_show(world: &World) -> bool {
    world.thread.may_show(world.config.policy, world.now)
}

#[test]
fn sender_action_is_allowed_while_control_is_ours() {
    for policy in ThreadControlPolicy::ALL {
        let mut bot = World::bot(policy);
        assert!(!may_show(&bot), "nobody has written");
        bot.passed_to(BOT);
        assert!(may_show(&bot));
        // A day later control has expired, without an event.
        bot.now = bot.now.plus(Duration::from_hours(24));
        assert!(!may_show(&bot));
        bot.passed_to(DESK);
        assert!(!may_show(&bot));
    }
}

/// The customer's first message comes without any event of control.
#[test]
fn sender_action_is_allowed_where_the_customer_writes_to_us_and_one_app_is_primary() {
    for (policy, allowed) in [(BotPrimary, true), (EdPrimary, true), (NoPrimary, false)] {
        let mut bot = World::bot(policy);
        bot.customer("m1", Channel::Messaging);
        assert_eq!(may_show(&bot), allowed, "{policy}");
        bot.now = bot.now.plus(Duration::from_hours(25));
        assert!(!may_show(&bot), "{policy}: long ago");
        let mut bot = World::bot(policy);
        bot.customer("m1", Channel::Standby);
        assert!(!may_show(&bot), "{policy}: it is somebody else's");
    }
}

#[test]
fn sender_action_is_not_allowed_where_control_is_leaving_or_in_doubt() {
    let mut bot = World::bot(BotPrimary);
    bot.passed_to(BOT);
    bot.customer("m1", Channel::Messaging);
    bot.command(Command::Transfer { target: Target::Nobody, note: None });
    assert!(!may_show(&bot), "it is being released");
    bot.expect(Call::ReleaseThreadControl, unknown());
    assert_eq!(*bot.thread.owner(), Owner::Unknown);
    assert!(!may_show(&bot), "nobody knows whether it was");
}
