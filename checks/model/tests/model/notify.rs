//! The handlers of the hosts: what they are notified of, and what they decide.

use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::thread::{
    Actions, Config, FailReason, Handled, Input, Notice, NoticeId, RefusedAction, Target,
};

use crate::budget::Budget;
use crate::scene::{How, Scene};
use crate::seen::Seen;
use crate::state::{Decision, Host, Notified, Person, Side, State};
use crate::turn::Turn;

/// The decision of a host's handler about a notice.
pub struct Decided {
    pub actions: Actions,
    /// The keys of the replies.
    pub replies: Vec<MessageKey>,
    /// Whether it asks for people.
    pub asks: bool,
}

/// The bot replies to the customer's messages while `left` allows it, and asks for people. In the service the same step
/// may be saved, or not be saved and be made again.
pub fn decide(side: Side, notice: &Notice, left: &mut Budget) -> Decided {
    let (mut actions, mut replies) = (Actions::none(), Vec::new());
    for inbound in notice.to_answer() {
        let wanted = side == Side::Bot && left.replies > 0;
        let Some(mid) = inbound.mid.as_ref().filter(|_| wanted) else { continue };
        left.replies -= 1;
        let key = MessageKey::new(format!("re:{mid}:0")).unwrap();
        actions = actions.and_reply_to(inbound, OutgoingMessage::text(key.as_str()).unwrap());
        replies.push(key);
    }
    let asks = side == Side::Bot && left.handler_asks > 0 && !notice.to_answer().is_empty();
    if asks {
        left.handler_asks -= 1;
        actions = actions.and_hand_over(Target::Desk);
    }
    Decided { actions, replies, asks }
}

/// The knowledge that a host gains in one step.
pub struct Learnt {
    unsent: Option<String>,
    a_day_passed: bool,
    people_are_wanted: bool,
    /// Whether the handler asked for people, or the host was notified that nobody comes.
    asked: Option<bool>,
}

impl Learnt {
    pub fn of(state: &State, scene: &Scene) -> Self {
        Self {
            unsent: state.unsent.map(|number| format!("question {number}")),
            a_day_passed: state.left.days < scene.budget.days,
            people_are_wanted: state.person != Person::NotWanted,
            asked: None,
        }
    }

    pub fn shows_unsent(&self, host: &Host, notice: &Notice) -> Option<&'static str> {
        let mut shown = notice.to_answer().iter();
        let is_shown = host.knows_unsent && shown.any(|inbound| inbound.text == self.unsent);
        is_shown.then_some("11: what was taken back is shown")
    }

    /// The host handles a notice, or finds it set aside. Returns the violation, if any.
    pub fn learn(
        &mut self,
        scene: &Scene,
        config: &Config,
        host: &mut Host,
        notice: &Notice,
    ) -> Option<&'static str> {
        let expired = matches!(notice, Notice::MessageFailed { reason: FailReason::Expired, .. });
        let expired = expired && host.held(config).is_none() && !self.a_day_passed;
        match notice {
            Notice::TransferFailed { target: Target::Desk, .. }
            | Notice::ActionRefused { action: RefusedAction::Transfer(Target::Desk), .. } => {
                self.asked = Some(false);
            }
            Notice::TransferFailed { target: Target::App(_), .. }
            | Notice::ControlLost { .. }
            | Notice::Transferred { .. }
                if host.decision == Decision::Granted =>
            {
                host.decision = Decision::None;
            }
            Notice::ControlNotGranted { .. } => host.claims = false,
            Notice::ControlGained { .. } => host.told_control = true,
            Notice::Unsent { .. } => {
                host.knows_unsent = true;
                scene.saw(Seen::Unsent);
            }
            _ => {}
        }
        if matches!(notice, Notice::ControlLost { .. } | Notice::Transferred { .. }) {
            host.told_control = false;
        }
        scene.heard(host, notice);
        host.note(notice);
        expired.then_some("1: an answer waited until it was too old, and for nothing")
    }

    /// Notes which replies were accepted, and whether people were asked for. Returns the violation, if any.
    pub fn decided(
        &mut self,
        scene: &Scene,
        host: &mut Host,
        replies: Vec<MessageKey>,
        asks: bool,
    ) -> Option<&'static str> {
        if asks {
            scene.saw(Seen::HandlerAsked);
            host.decision = Decision::None;
            self.asked = Some(true);
        }
        let before = host.accepted.len();
        for reply in replies {
            if host.thread.message_status(&reply).is_none() {
                scene.saw(Seen::BotWasSilent);
            } else if !host.accepted.contains(&reply) {
                host.accepted.push(reply);
            }
        }
        let speaks = host.accepted.len() > before && self.people_are_wanted;
        speaks.then_some("12: the bot speaks while people are wanted")
    }
}

impl Host {
    /// The handler is notified. Notices come in order, and each attempt is as the one before, until the notice is handled
    /// or set aside. Returns the violation, if any.
    pub fn notified_of(
        &mut self,
        id: NoticeId,
        attempt: u32,
        notice: &Notice,
        most: u32,
    ) -> Option<&'static str> {
        match self.notified.take() {
            _ if attempt > most => Some("13: a handler is notified too often"),
            Some(before) if before.runs => Some("13: two handlers at once"),
            Some(before) if before.id != id => Some("13: a notice is lost that the handler failed on"),
            Some(before) if before.attempt + 1 != attempt => Some("13: attempts are miscounted"),
            Some(before) if before.notice != *notice => Some("13: a notice changes between attempts"),
            None if id != NoticeId(self.handled) => Some("13: a notice is left out or comes again"),
            None if attempt != 1 => Some("13: attempts are miscounted"),
            _ => None,
        }
    }

    /// A notice was set aside: after failures of the handler, or because its action is refused over and over. Returns the
    /// violation, if any.
    pub fn set_aside(
        &mut self,
        id: NoticeId,
        attempts: u32,
        dropped: Option<NoticeId>,
    ) -> Option<&'static str> {
        self.aside.retain(|other| Some(*other) != dropped);
        self.aside.push(id);
        let Notified { id: failed, attempt, notice, .. } = self.notified.take()?;
        self.handled += 1;
        let kept = self.thread.set_aside().any(|aside| aside.id == id && aside.notice == notice);
        let is_it = failed == id && attempt == attempts;
        (!kept || !is_it).then_some("13: another notice is set aside than the one that failed")
    }

    /// Whether all notices that were set aside are stored.
    pub fn keeps_aside(&self) -> bool {
        self.thread.set_aside().map(|aside| aside.id).eq(self.aside.iter().copied())
    }
}

impl Turn<'_> {
    /// A handler that takes time ends.
    pub(super) fn handle(&mut self, side: Side, how: How) {
        let learnt = Learnt::of(self.state, self.scene);
        let Some(notified) = self.state.host(side).notified.as_mut() else { return };
        let id = notified.id;
        if how != How::Done {
            notified.runs = false;
            *self.state.left.failures(side) -= 1;
        }
        let handled = match how {
            How::Done => return self.handle_well(side, learnt),
            How::Retry => Handled::Retry,
            How::Skip => Handled::Skip,
            How::Ends => return self.note("a handler ends without a result"),
        };
        self.note("a handler fails");
        self.step(side, Input::NoticeHandled { notice: id, handled });
    }

    fn handle_well(&mut self, side: Side, mut learnt: Learnt) {
        let scene = self.scene;
        let mut left = self.state.left;
        let host = self.state.host(side);
        let Some(Notified { id, attempt, notice, .. }) = host.notified.take() else { return };
        if attempt > 1 {
            scene.saw(Seen::HandledAgain);
        }
        host.handled += 1;
        let mut broken = learnt.learn(scene, scene.config(side), host, &notice);
        let Decided { actions, replies, asks } = decide(side, &notice, &mut left);
        self.state.left = left;
        self.step(side, Input::NoticeHandled { notice: id, handled: Handled::Done(actions) });
        broken = broken.or(learnt.decided(scene, self.state.host(side), replies, asks));
        self.state.broken = self.state.broken.or(broken);
        self.apply(side, &learnt);
    }

    /// Notes whether the bot waits for people.
    pub(super) fn apply(&mut self, side: Side, learnt: &Learnt) {
        let Some(asked) = learnt.asked.filter(|_| side == Side::Bot) else { return };
        self.state.people_wanted |= asked;
        let is_there = self.state.owner().as_ref() == Some(&self.scene.desk.app);
        self.state.person = match asked {
            false => Person::NotWanted,
            true if is_there => Person::There,
            true => Person::Wanted,
        };
    }
}
