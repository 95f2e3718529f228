//! Applies one action and its immediate consequences.

use std::sync::Arc;
use std::time::Duration;

use messenger_handover::call::{
    Call, CallId, CallOutcome, Failure, FailureKind, InlineControl, MessageKey, OutgoingMessage, ThreadOwner,
};
use messenger_handover::event::EventKind;
use messenger_handover::thread::{
    Command, CommandRefused, Context, FailReason, Handled, Input, MessageStatus, Notice, Output, Owner,
    PageMemory, Reply, Target,
};
use messenger_handover::time::Timestamp;
use messenger_sim::Platform;

use crate::adapter::{api_call, events, key, result};
use crate::draw::Picture;
use crate::scene::{Action, Loss, Scene, Seen};
use crate::state::{Person, Side, State, ToMake};
use crate::watch::decide;

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
                *self.state.left.faults(side) -= u8::from(loss != Loss::Nothing);
                self.make(side, loss);
            }
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
                if side == Side::Bot {
                    self.state.asked = None;
                }
                self.step(side, Input::Wake);
            }
            wish => return self.wish(wish),
        }
        true
    }

    /// Applies an action of people or hosts. Returns whether it was possible.
    fn wish(&mut self, wish: Action) -> bool {
        match wish {
            Action::CustomerWrites => {
                self.state.left.customer -= 1;
                self.customer_writes();
            }
            Action::CustomerUnsends => {
                self.state.left.unsends -= 1;
                self.note("the customer takes the last message back");
                let number = self.state.customer_wrote - 1;
                self.state.unsent = Some(number);
                self.platform(|platform, now| {
                    let text = format!("question {number}");
                    let said = platform.conversation(&key().page, &key().user);
                    let said =
                        said.iter().find(|said| said.text() == Some(&text)).map(|said| said.mid.clone());
                    platform.customer_unsends(&key().page, &key().user, &said.unwrap(), now);
                });
            }
            Action::Send(side) => {
                let left = &mut self.state.left;
                *(if side == Side::Bot { &mut left.bot } else { &mut left.desk }) -= 1;
                self.send(side, None);
            }
            Action::Farewell(pass) => {
                self.state.left.farewells -= 1;
                self.state.people_wanted |= pass;
                let desk = self.scene.desk.app.clone();
                self.send(
                    Side::Bot,
                    Some(if pass { InlineControl::PassTo(desk) } else { InlineControl::Release }),
                );
            }
            Action::Open => {
                self.state.left.interventions -= 1;
                self.state.agent_is_done = false;
                self.command(Side::Desk, Command::OpenIntervention);
            }
            Action::Close => {
                self.state.agent_is_done = true;
                self.command(Side::Desk, Command::CloseIntervention);
            }
            Action::WantPerson => {
                self.state.left.persons -= 1;
                self.state.people_wanted = true;
                let wanted = Command::Transfer { target: Target::Desk, note: None };
                if let Reply::Transferring { .. } = self.command(Side::Bot, wanted) {
                    let is_there = self.state.owner().as_ref() == Some(&self.scene.desk.app);
                    self.state.person = if is_there { Person::There } else { Person::Wanted };
                }
            }
            Action::BackToBot => {
                self.state.left.backs -= 1;
                let engaged = self.state.desk.thread.intervention_is_open();
                let target = Target::App(self.scene.bot.app.clone());
                match self.command(Side::Desk, Command::Transfer { target, note: None }) {
                    Reply::Refused(CommandRefused::InterventionOpen) => self.scene.saw(Seen::HandBackRefused),
                    _ if engaged => self.broken("5: given back while people are engaged"),
                    Reply::Transferring { waits: true, .. } => self.scene.saw(Seen::HandBackWaited),
                    _ => {}
                }
            }
            Action::Continue(side) => {
                let Some(held) = self.state.of(side).held().cloned() else { return false };
                self.scene.saw(Seen::WentOnBehindUnknown);
                self.state.host(side).resumed.push(held.clone());
                self.command(side, Command::Continue(held));
            }
            Action::InboxReplies => {
                self.state.left.inbox -= 1;
                self.note("a person answers in the Page inbox");
                let reply = |platform: &mut Platform, now| {
                    platform.inbox_replies(&key().page, &key().user, "from the inbox", now)
                };
                if self.platform(reply).is_err() {
                    return false;
                }
                self.state.answered = self.state.customer_wrote;
                self.scene.saw(Seen::InboxTook);
            }
            Action::InboxMoves => {
                self.state.left.inbox -= 1;
                self.note("a person moves it to the Page inbox");
                let done = self.platform(|platform, now| platform.inbox_move(&key().page, &key().user, now));
                if done.is_err() {
                    return false;
                }
            }
            Action::Day => {
                self.state.left.days -= 1;
                if self.state.owner().is_some() {
                    self.scene.saw(Seen::ControlExpired);
                }
                self.state.person = Person::NotWanted;
                self.note("a day passes");
                self.wake(self.state.now.plus(Duration::from_hours(24)));
            }
            other => unreachable!("{other:?} is no wish"),
        }
        true
    }

    fn customer_writes(&mut self) {
        let text = format!("question {}", self.state.customer_wrote);
        self.state.customer_wrote += 1;
        self.draw(|picture| picture.customer(&text));
        self.platform(|platform, now| platform.customer_writes(&key().page, &key().user, &text, now));
    }

    pub fn begin(&mut self) {
        self.customer_writes();
    }

    fn send(&mut self, side: Side, farewell: Option<InlineControl>) {
        let name = if side == Side::Bot { "bot" } else { "agent" };
        let answer = MessageKey::new(format!("{name} {}", self.state.of(side).accepted.len())).unwrap();
        let mut message = OutgoingMessage::text(answer.as_str()).unwrap();
        if let Some(control) = farewell {
            message = message.then(control);
        }
        let waiting = |key: &MessageKey| {
            self.state
                .of(side)
                .thread
                .message_status(key)
                .is_some_and(|status| status == MessageStatus::Waiting)
        };
        if self.state.of(side).accepted.iter().any(waiting) {
            self.scene.saw(Seen::Queued);
        }
        self.state.agent_is_done &= side == Side::Bot;
        match self.command(side, Command::Send { key: answer.clone(), message }) {
            Reply::Accepted if side == Side::Bot && self.state.person != Person::NotWanted => {
                self.broken("12: the bot speaks while people are wanted");
            }
            Reply::Accepted => self.state.host(side).accepted.push(answer),
            Reply::Refused(CommandRefused::WithPeople) => self.scene.saw(Seen::BotWasSilent),
            _ => {}
        }
    }

    fn command(&mut self, side: Side, command: Command) -> Reply {
        self.draw(|picture| picture.command(side, &command));
        self.step(side, Input::Command(command))
    }

    pub(super) fn step(&mut self, side: Side, input: Input) -> Reply {
        let (now, config) = (self.state.now, self.scene.config(side));
        let (mut broken, mut nobody_comes) = (None, false);
        let unsent = self.state.unsent.map(|number| format!("question {number}"));
        let a_day_passed = self.state.left.days < self.scene.budget.days;
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
                    broken = broken.or(host.judge(&config.app, &call));
                    let believed = host.thread.owner().clone();
                    if host.call.replace(ToMake { id, call, believed }).is_some() {
                        broken = Some("two calls at once");
                    }
                }
                Output::Notice { id, notice, .. } => {
                    let expired =
                        matches!(&notice, Notice::MessageFailed { reason: FailReason::Expired, .. });
                    if expired && host.held().is_none() && !a_day_passed {
                        broken = Some("1: an answer waited until it was too old, and for nothing");
                    }
                    if let Notice::TransferFailed { target: Target::Desk, .. } = &notice {
                        nobody_comes = true;
                    }
                    let mut shown = notice.to_answer().iter();
                    if host.knows_unsent && shown.any(|inbound| inbound.text == unsent) {
                        broken = Some("11: what was taken back is shown");
                    }
                    if let Notice::Unsent { .. } = &notice {
                        host.knows_unsent = true;
                        self.scene.saw(Seen::Unsent);
                    }
                    self.scene.heard(host, &notice);
                    host.note(&notice);
                    let (actions, replies) = decide(side, &notice, &mut left.replies);
                    let done = Input::NoticeHandled { notice: id, handled: Handled::Done(actions) };
                    let mut more = Vec::new();
                    let _ = host.thread.step(&cx, done, now, &mut more);
                    out.extend(more);
                    if self.scene.replied(host, replies) && people_are_wanted {
                        broken = Some("12: the bot speaks while people are wanted");
                    }
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
        self.state.left = left;
        self.state.broken = self.state.broken.or(broken);
        if nobody_comes {
            self.state.person = Person::NotWanted;
        }
        self.answer_the_bot();
        reply
    }

    /// Lets the platform act, and queues its webhooks for the hosts.
    fn platform<R>(&mut self, act: impl FnOnce(&mut Platform, Timestamp) -> R) -> R {
        self.state.now = self.state.now.plus(Duration::from_millis(1));
        let (before, now) = (self.state.owner(), self.state.now);
        let platform = Arc::make_mut(&mut self.state.platform);
        let done = act(platform, now);
        for delivery in platform.take_outgoing() {
            let side = if delivery.app == self.scene.bot.app { Side::Bot } else { Side::Desk };
            self.state.host(side).post.extend(events(&delivery));
        }
        let owner = self.state.owner();
        if owner != before {
            for side in Side::BOTH {
                self.state.host(side).requests = 0;
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
        if matches!(event.kind, EventKind::Echo(_)) && self.state.of(side).held().is_some() {
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

    fn wake(&mut self, at: Timestamp) {
        self.state.now = at;
        self.answer_the_bot();
        for side in Side::BOTH {
            self.step(side, Input::Wake);
        }
    }

    fn broken(&mut self, how: &'static str) {
        self.state.broken = self.state.broken.or(Some(how));
    }

    fn note(&mut self, text: &str) {
        self.draw(|picture| picture.note(text));
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Picture)) {
        if let Some(picture) = &mut self.picture {
            draw(picture);
        }
    }
}
