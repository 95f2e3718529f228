//! Tests of transfers, call by call: refusals, unknown outcomes, and targets that have control already.

use super::*;

fn to(app: u64) -> Command {
    Command::Transfer { target: Target::App(AppId::from(app)), note: None }
}

fn pass_to(app: u64) -> Call {
    Call::PassThreadControl { to: AppId::from(app) }
}

fn idle() -> CallOutcome {
    CallOutcome::Owner(ThreadOwner::Idle)
}

/// A desk that owns the thread.
fn desk(policy: ThreadControlPolicy) -> World {
    let mut desk = World::desk(policy);
    desk.passed_to(DESK);
    desk
}

fn bot() -> World {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot
}

impl World {
    pub(super) fn hands_over(&mut self, command: Command) -> u64 {
        match self.command(command) {
            Reply::Transferring { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    fn handed_over(&self, id: u64) -> TransferProgress {
        self.thread.transfer_progress(id)
    }

    /// The failure of the last attempt.
    fn failed_with(&self, id: u64) -> FailureKind {
        match self.thread.transfer_progress(id) {
            TransferProgress::Failed(failure) => failure.kind,
            other => panic!("{other:?}"),
        }
    }

    fn told_failures(&self) -> usize {
        self.notices.iter().filter(|notice| matches!(notice, Notice::TransferFailed { .. })).count()
    }
}

/// A bot receives no event of the desk's release: a customer who asks for people gets them nevertheless.
#[test]
fn a_bot_that_believes_the_desk_has_control_looks_before_it_is_done() {
    for (owner, asks) in [(owned_by(DESK), false), (CallOutcome::Owner(ThreadOwner::Idle), true)] {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        bot.passed_to(DESK);
        bot.hands_over(Command::Transfer { target: Target::Desk, note: None });
        bot.expect(Call::ThreadOwner, owner);
        if asks {
            bot.expect(Call::AskDesk(Direction::BotToAgent), CallOutcome::Done);
        }
        assert!(bot.calls.is_empty() && bot.thread.people_are_busy());
    }
}

#[test]
fn what_is_there_already_is_not_handed_over() {
    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(BOT);
    assert_eq!(desk.command(Command::Transfer { target: Target::Nobody, note: None }), Reply::AlreadyThere);
    assert_eq!(desk.command(to(BOT)), Reply::AlreadyThere);
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(DESK);
    // Another app owns the thread, and the bot may not take it.
    assert_eq!(bot.command(to(STRANGER)), Reply::Refused(CommandRefused::AnotherAppOwns));

    // The thread is idle. That is not the same as an owner without a configured app id.
    let mut bot = self::bot();
    bot.config.desk = None;
    bot.command(Command::Transfer { target: Target::Nobody, note: None });
    bot.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    bot.hands_over(Command::Transfer { target: Target::Desk, note: None });
    bot.expect(Call::AskDesk(Direction::BotToAgent), CallOutcome::Done);
}

/// A waiting message claims control first, so the target will not keep it.
#[test]
fn an_answer_that_waits_comes_before_the_hand_over() {
    for target in [Target::Nobody, Target::App(AppId::from(BOT))] {
        let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
        desk.passed_to(BOT);
        desk.send("a");
        let reply = desk.command(Command::Transfer { target: target.clone(), note: None });
        assert!(matches!(reply, Reply::Transferring { waits: true, .. }), "{reply:?}");
        desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
        desk.passed_to(DESK);
        desk.expect_send("a", unknown());
        assert!(desk.calls.is_empty(), "it may still be on its way");
        desk.echo_of("a");
        let call = if target == Target::Nobody { Call::ReleaseThreadControl } else { pass_to(BOT) };
        desk.expect(call, CallOutcome::Done);
    }
}

#[test]
fn the_same_wish_is_one_and_another_replaces_it() {
    let mut desk = desk(ThreadControlPolicy::NoPrimary);
    desk.send("a");
    let first = desk.hands_over(to(BOT));
    assert_eq!(desk.command(to(BOT)), Reply::Transferring { id: first, waits: true });
    let second = desk.hands_over(to(STRANGER));
    assert_ne!(first, second);
    assert_eq!(desk.failed_with(first), FailureKind::Conflict);
    assert_eq!(desk.handed_over(second + 1), TransferProgress::Gone);
    desk.expect_send("a", SENT);
    desk.expect(pass_to(STRANGER), CallOutcome::Done);
    assert_eq!(desk.handed_over(second), TransferProgress::Done);
    assert_eq!(desk.told_failures(), 0);
}

#[test]
fn a_pass_that_is_refused_because_another_owns_it() {
    // A primary desk takes control to pass it on.
    let mut primary = desk(ThreadControlPolicy::EdPrimary);
    let id = primary.hands_over(to(BOT));
    primary.expect(pass_to(BOT), refused(FailureKind::NotThreadOwner));
    primary.expect(Call::TakeThreadControl, CallOutcome::Done);
    primary.expect(pass_to(BOT), CallOutcome::Done);
    assert_eq!(primary.handed_over(id), TransferProgress::Done);

    // Others read the owner, because the target may have control already.
    for (owner, done) in [(BOT, true), (STRANGER, false)] {
        let mut other = desk(ThreadControlPolicy::NoPrimary);
        let id = other.hands_over(to(BOT));
        other.expect(pass_to(BOT), refused(FailureKind::NotThreadOwner));
        other.expect(Call::ThreadOwner, owned_by(owner));
        assert!(other.calls.is_empty());
        if done {
            assert_eq!(other.handed_over(id), TransferProgress::Done);
        } else {
            assert_eq!((other.failed_with(id), other.told_failures()), (FailureKind::Conflict, 1));
        }
    }

    // The platform contradicts itself: one more attempt, then the transfer fails.
    let mut torn = desk(ThreadControlPolicy::NoPrimary);
    let id = torn.hands_over(to(BOT));
    torn.expect(pass_to(BOT), refused(FailureKind::NotThreadOwner));
    torn.expect(Call::ThreadOwner, owned_by(DESK));
    torn.expect(pass_to(BOT), refused(FailureKind::NotThreadOwner));
    assert_eq!(torn.failed_with(id), FailureKind::Conflict);
    assert!(torn.calls.is_empty());
}

/// Control was taken to be passed on and is taken away again: it is not taken a second time.
#[test]
fn nothing_is_taken_twice_to_be_passed_on() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(STRANGER);
    let id = desk.hands_over(to(BOT));
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    desk.expect(pass_to(BOT), refused(FailureKind::NotThreadOwner));
    desk.expect(Call::ThreadOwner, owned_by(STRANGER));
    assert_eq!(desk.failed_with(id), FailureKind::Conflict);
    assert!(desk.calls.is_empty());
}

#[test]
fn what_the_platform_refuses_for_good_is_told_in_its_words() {
    // Nothing was taken for it, so nothing is given back.
    let mut passes = desk(ThreadControlPolicy::NoPrimary);
    let id = passes.hands_over(to(999));
    passes.expect(pass_to(999), refused(FailureKind::Invalid));
    assert_eq!(passes.failed_with(id), FailureKind::Invalid);
    assert!(passes.calls.is_empty() && *passes.thread.owner() == Owner::Us);

    let mut releases = desk(ThreadControlPolicy::NoPrimary);
    let id = releases.hands_over(Command::Transfer { target: Target::Nobody, note: None });
    releases.expect(Call::ReleaseThreadControl, refused(FailureKind::Invalid));
    assert_eq!(releases.failed_with(id), FailureKind::Invalid);

    let mut takes = World::desk(ThreadControlPolicy::EdPrimary);
    takes.passed_to(STRANGER);
    let id = takes.hands_over(to(BOT));
    takes.expect(Call::TakeThreadControl, refused(FailureKind::Invalid));
    assert_eq!(takes.failed_with(id), FailureKind::Invalid);

    let mut asks = bot();
    asks.config.desk = None;
    let id = asks.hands_over(Command::Transfer { target: Target::Desk, note: None });
    asks.expect(Call::AskDesk(Direction::BotToAgent), refused(FailureKind::Invalid));
    assert_eq!(asks.failed_with(id), FailureKind::Invalid);

    // A request that the host or its configuration grants.
    let mut grants = bot();
    grants.requested_by(DESK);
    grants.expect(pass_to(DESK), refused(FailureKind::Invalid));
    assert_eq!(grants.told_failures(), 1);
    assert!(grants.calls.is_empty() && grants.thread.is_at_rest());
}

/// Control was ours, and afterwards the thread is idle: control was passed and released again.
#[test]
fn a_pass_with_an_unknown_outcome_is_looked_into() {
    let mut gone = desk(ThreadControlPolicy::NoPrimary);
    let id = gone.hands_over(to(BOT));
    gone.expect(pass_to(BOT), unknown());
    gone.sleep();
    gone.expect(Call::ThreadOwner, idle());
    assert_eq!(gone.handed_over(id), TransferProgress::Done);
    assert_eq!(gone.notices.last(), Some(&Notice::Transferred { to: Some(AppId::from(BOT)) }));

    // The thread was idle before too: the pass is still to be made.
    let mut nobodys = desk(ThreadControlPolicy::NoPrimary);
    nobodys.hands_over(Command::Transfer { target: Target::Nobody, note: None });
    nobodys.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    let id = nobodys.hands_over(to(BOT));
    nobodys.expect(pass_to(BOT), unknown());
    nobodys.sleep();
    nobodys.expect(Call::ThreadOwner, idle());
    nobodys.expect(pass_to(BOT), CallOutcome::Done);
    assert_eq!(nobodys.handed_over(id), TransferProgress::Done);

    // Control is still ours.
    let mut ours = desk(ThreadControlPolicy::NoPrimary);
    ours.hands_over(to(BOT));
    ours.expect(pass_to(BOT), unknown());
    ours.sleep();
    ours.expect(Call::ThreadOwner, owned_by(DESK));
    ours.expect(pass_to(BOT), CallOutcome::Done);

    // The take for a transfer had an unknown outcome, and worked.
    let mut takes = World::desk(ThreadControlPolicy::EdPrimary);
    takes.passed_to(STRANGER);
    takes.hands_over(to(BOT));
    takes.expect(Call::TakeThreadControl, unknown());
    takes.sleep();
    takes.expect(Call::ThreadOwner, owned_by(DESK));
    takes.expect(pass_to(BOT), CallOutcome::Done);
}

#[test]
fn a_bot_waits_for_the_desk_that_it_has_asked() {
    let mut asked = bot();
    let id = asked.hands_over(Command::Transfer { target: Target::Desk, note: None });
    asked.expect(Call::AskDesk(Direction::BotToAgent), CallOutcome::Done);
    assert!(asked.calls.is_empty(), "it asks for control within a moment");
    asked.wait(29_000);
    asked.step(Input::Wake);
    assert!(asked.calls.is_empty(), "{:?}", asked.calls);
    asked.passed_to(DESK);
    assert_eq!(asked.handed_over(id), TransferProgress::Done);

    // There is a way without the endpoint, so nobody waits for it.
    let mut around = bot();
    around.hands_over(Command::Transfer { target: Target::Desk, note: None });
    around.expect(Call::AskDesk(Direction::BotToAgent), refused(FailureKind::Transient));
    around.expect(pass_to(DESK), CallOutcome::Done);

    let mut without = bot();
    without.config.desk_endpoint = false;
    without.hands_over(Command::Transfer { target: Target::Desk, note: None });
    without.expect(pass_to(DESK), CallOutcome::Done);

    // The desk took control while a message was under way: nothing is left to ask for.
    let mut taken = bot();
    taken.send("a");
    let id = taken.hands_over(Command::Transfer { target: Target::Desk, note: None });
    taken.passed_to(DESK);
    taken.expect_send("a", SENT);
    assert!(taken.calls.is_empty(), "{:?}", taken.calls);
    assert_eq!(taken.handed_over(id), TransferProgress::Done);
}
