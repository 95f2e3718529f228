//! Applies one action and its immediate consequences.

use std::sync::Arc;
use std::time::Duration;

use messenger_handover::call::{Call, CallId, CallOutcome, Failure, FailureKind, ThreadOwner};
use messenger_handover::event::EventKind;
use messenger_handover::thread::{Command, Context, Handled, Input, Output, Owner, PageMemory, Reply};
use messenger_handover::time::Timestamp;
use messenger_sim::Platform;

use crate::adapter::{api_call, events, key, result};
use crate::draw::Picture;
use crate::notify::{Decided, Learnt, decide};
use crate::scene::{Action, Loss, Scene};
use crate::seen::Seen;
use crate::state::{Decision, Notified, Person, Side, State, ToMake};

/// Number of requests after which a missing response counts as a refusal.
pub const REQUESTS: u8 = 3;

pub struct Turn<'a> {
    pub scene: &'a Scene,
    pub state: &'a mut State,
    pub picture: Option<&'a mut Picture>,
}

impl Turn<'_> {
    /// Applies an action. Returns whether it was possible.
    pub fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Deliver(side) => self.deliver(side, 0),
            Action::Double(side) => {
                *self.state.left.faults(side) -= 1;
                let again = self.state.of(side).post[0].clone();
                self.state.host(side).post.push(again);
                self.deliver(side, 0);
            }
            Action::Overtake(side) => {
                *self.state.left.faults(side) -= 1;
                self.deliver(side, 1);
            }
            Action::LosePost(side) => {
                self.state.left.losses -= 1;
                self.state.lossy = true;
                self.note("a webhook is lost");
                self.state.host(side).post.remove(0);
            }
            Action::Make(side, loss) => {
                match loss {
                    Loss::Nothing | Loss::Process => {}
                    Loss::Call | Loss::Answer => *self.state.left.faults(side) -= 1,
                    Loss::HeldBack | Loss::ForNow => self.state.left.delays -= 1,
                }
                self.make(side, loss);
            }
            Action::Handle(side, how) => self.handle(side, how),
            Action::Report(side, at) => self.report(side, at),
            Action::Answer(side) => {
                let Some((call, result)) = self.state.host(side).answer.take() else { return false };
                self.step(side, Input::CallEnded { call, outcome: result });
            }
            Action::Wait => {
                let Some(wake) = self.scene.wake(self.state) else { return false };
                let busy = Side::BOTH.iter().any(|side| !self.state.of(*side).post.is_empty());
                self.state.left.late -= u8::from(busy);
                self.state.idle_waits += 1;
                for side in Side::BOTH {
                    // The last request has timed out, too.
                    let host = self.state.host(side);
                    host.requests += u8::from(host.requests == REQUESTS);
                }
                self.note("time passes");
                self.wake(wake.max(self.state.now));
            }
            Action::Crash(side, made) => {
                self.state.left.crashes -= 1;
                if made {
                    self.make(side, Loss::Process);
                }
                self.scene.saw(if made { Seen::CrashAfterActing } else { Seen::CrashBeforeActing });
                self.note("a process ends, another goes on");
                let host = self.state.host(side);
                (host.call, host.answer) = (None, None);
                host.page = PageMemory::default();
                if let Some(notified) = &mut host.notified {
                    notified.runs = false;
                }
                if side == Side::Bot {
                    self.state.asked = None;
                }
                self.step(side, Input::Wake);
            }
            wish => return self.wish(wish),
        }
        true
    }

    pub(super) fn command(&mut self, side: Side, command: Command) -> Reply {
        self.draw(|picture| picture.command(side, &command));
        self.step(side, Input::Command(command))
    }

    pub(super) fn step(&mut self, side: Side, input: Input) -> Reply {
        let (now, config, scene) = (self.state.now, self.scene.config(side), self.scene);
        let (mut broken, mut learnt) = (None, Learnt::of(self.state, scene));
        let people_are_wanted = self.state.person != Person::NotWanted;
        let mut left = self.state.left;
        let host = self.state.host(side);
        let cx = Context { page: host.page, ..Context::new(config) };
        let mut out = Vec::new();
        let reply = host.thread.step(&cx, input, now, &mut out);
        let mut at = 0;
        while at < out.len() {
            match out[at].clone() {
                Output::Call { id, call, .. } => {
                    broken = broken.or(host.judge(config, &call));
                    if side == Side::Bot && people_are_wanted && host.claims_for_nothing(&config.app, &call) {
                        broken = broken.or(Some("12: the bot claims control while people are wanted"));
                    }
                    let believed = host.thread.owner().clone();
                    if host.call.replace(ToMake { id, call, believed }).is_some() {
                        broken = Some("two calls at once");
                    }
                }
                Output::Notice { id, attempt, notice } => {
                    broken = broken.or(host.notified_of(id, attempt, &notice, config.limits.attempts));
                    broken = broken.or(learnt.shows_unsent(host, &notice));
                    if *left.failures(side) > 0 {
                        host.notified = Some(Notified { id, attempt, notice, runs: true });
                    } else {
                        broken = broken.or(learnt.learn(scene, config, host, &notice));
                        if attempt > 1 {
                            scene.saw(Seen::HandledAgain);
                        }
                        let Decided { actions, replies, asks } = decide(side, &notice, &mut left);
                        let done = Input::NoticeHandled { notice: id, handled: Handled::Done(actions) };
                        host.handled += 1;
                        let mut more = Vec::new();
                        let _ = host.thread.step(&cx, done, now, &mut more);
                        out.extend(more);
                        broken = broken.or(learnt.decided(scene, host, replies, asks));
                    }
                }
                Output::SetAside { id, attempts, dropped } => {
                    scene.saw(Seen::SetAside);
                    if let Some(Notified { notice, .. }) = host.notified.clone() {
                        broken = broken.or(learnt.learn(scene, config, host, &notice));
                    }
                    broken = broken.or(host.set_aside(id, attempts, dropped));
                }
                Output::PageRefuses { call, certain, .. } => {
                    if certain {
                        host.page.refuses(call, now);
                    }
                }
                other => panic!("not modelled: {other:?}"),
            }
            at += 1;
        }
        if host.claims && *host.thread.owner() == Owner::Us {
            host.claims = false;
            scene.saw(Seen::ClaimGranted);
        }
        self.state.left = left;
        self.state.broken = self.state.broken.or(broken);
        self.apply(side, &learnt);
        self.answer_the_bot();
        reply
    }

    /// Lets the platform act, and queues its webhooks for the hosts.
    pub(super) fn platform<R>(&mut self, act: impl FnOnce(&mut Platform, Timestamp) -> R) -> R {
        self.state.now = self.state.now.plus(Duration::from_millis(1));
        let (before, now) = (self.state.owner(), self.state.now);
        let platform = Arc::make_mut(&mut self.state.platform);
        let done = act(platform, now);
        for delivery in platform.take_outgoing() {
            let side = if delivery.app == self.scene.bot.app { Side::Bot } else { Side::Desk };
            let unsent = self.state.unsent.map(|number| format!("question {number}"));
            self.state.host(side).post.extend(events(&delivery, unsent.as_deref()));
        }
        let owner = self.state.owner();
        if owner != before {
            for side in Side::BOTH {
                let host = self.state.host(side);
                host.requests = 0;
                // A new owner voids all requests.
                host.decision = Decision::None;
            }
            self.state.person = match self.state.person {
                Person::NotWanted => Person::NotWanted,
                _ if owner.as_ref() == Some(&self.scene.desk.app) => Person::There,
                Person::Wanted => Person::Wanted,
                Person::There => Person::NotWanted,
            };
            self.state.handovers += 1;
            self.draw(|picture| picture.owner(owner.as_ref()));
        }
        done
    }

    fn deliver(&mut self, side: Side, at: usize) {
        let event = self.state.host(side).post.remove(at);
        self.draw(|picture| picture.webhook(side, &event));
        if self.state.of(side).thread.owner() == &Owner::Us
            && self.state.owner().is_some_and(|owner| owner != self.scene.config(side).app)
        {
            self.scene.saw(Seen::WrongBelief);
        }
        if matches!(event.kind, EventKind::Echo(_)) && self.state.of(side).unknown().next().is_some() {
            self.scene.saw(Seen::EchoAfterUnknown);
        }
        self.step(side, Input::Event(event));
        if Side::BOTH.iter().all(|side| *self.state.of(*side).thread.owner() == Owner::Us) {
            let (_, faults) = self.scene.budget.spent(self.state.left);
            self.scene.saw(if faults == 0 { Seen::TwoBelieversWithoutFaults } else { Seen::TwoBelievers });
        }
    }

    fn make(&mut self, side: Side, loss: Loss) {
        let Some(ToMake { id, call, believed }) = self.state.host(side).call.take() else { return };
        self.state.calls += 1;
        self.state.idle_waits = 0;
        if let Some((outcome, aside)) = delayed(loss) {
            self.scene.saw(Seen::CallDelayed);
            self.draw(|picture| picture.call(side, &call, aside, false));
            self.state.host(side).answer = Some((id, outcome));
            return;
        }
        if let Call::AskDesk(direction) = call {
            return self.ask(id, direction, loss);
        }
        if call == Call::RequestThreadControl {
            let host = self.state.host(side);
            host.requests = (host.requests + 1).min(REQUESTS);
        }
        if loss == Loss::Call {
            self.scene.saw(Seen::UnknownOutcome);
            self.draw(|picture| picture.call(side, &call, "lost on the way", false));
            return self.lost(side, id);
        }
        if self.state.is_theft(self.scene, side, &call, &believed) {
            self.broken("4: theft");
        }
        let app = self.scene.config(side).app.clone();
        let api = api_call(&app, &call);
        let answer = self.platform(|platform, now| platform.call(&app, &key().page, &api, now));
        if let Call::SendMessage { key, .. } = &call
            && answer.is_ok()
        {
            self.state.answered = self.state.customer_wrote;
            if self.state.times(key) > 1 {
                self.scene.saw(Seen::ReadTwice);
            }
        }
        let asked = side == Side::Desk && call == Call::RequestThreadControl && answer.is_ok();
        self.state.asked_for += u8::from(asked);
        let to_desk = matches!(&call, Call::PassThreadControl { to } if *to == self.scene.desk.app);
        self.state.passed_to_desk += u8::from(side == Side::Bot && to_desk && answer.is_ok());
        let result = result(&call, answer);
        self.scene.made(&call, &result);
        let refused = matches!(&result, CallOutcome::Refused(_));
        self.draw(|picture| {
            picture.call(side, &call, if loss == Loss::Nothing { "" } else { "answer lost" }, refused);
        });
        let host = self.state.host(side);
        if let Call::PassThreadControl { to } = &call
            && *to != app
            && !refused
            && host.decision == Decision::Granted
        {
            host.decision = Decision::None;
        }
        host.just_saw_it_idle = result == CallOutcome::Owner(ThreadOwner::Idle);
        host.request_was_refused |= call == Call::RequestThreadControl
            && matches!(&result, CallOutcome::Refused(why) if why.kind.means_not_available());
        match loss {
            Loss::Nothing => self.state.host(side).answer = Some((id, result)),
            Loss::Process => {}
            _ => {
                self.scene.saw(Seen::UnknownOutcome);
                self.lost(side, id);
            }
        }
    }

    pub(super) fn lost(&mut self, side: Side, call: CallId) {
        let result = CallOutcome::Unknown(Failure::new(FailureKind::Transport, "lost"));
        self.state.host(side).answer = Some((call, result));
    }

    pub(super) fn wake(&mut self, at: Timestamp) {
        if at.since(self.state.now) > Duration::from_hours(12) {
            // A bot does not wait longer than a day for people.
            self.state.person = Person::NotWanted;
        }
        self.state.now = at;
        self.answer_the_bot();
        for side in Side::BOTH {
            self.step(side, Input::Wake);
        }
    }

    pub(super) fn broken(&mut self, how: &'static str) {
        self.state.broken = self.state.broken.or(Some(how));
    }

    pub(super) fn note(&mut self, text: &str) {
        self.draw(|picture| picture.note(text));
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Picture)) {
        if let Some(picture) = &mut self.picture {
            draw(picture);
        }
    }
}

/// The outcome of a call that is not made for now.
fn delayed(loss: Loss) -> Option<(CallOutcome, &'static str)> {
    match loss {
        Loss::HeldBack => Some((CallOutcome::HeldBack(Duration::from_secs(1)), "held back")),
        Loss::ForNow => {
            let failure = Failure::new(FailureKind::RateLimited, "too many calls");
            Some((CallOutcome::Refused(failure), "too many calls"))
        }
        _ => None,
    }
}
