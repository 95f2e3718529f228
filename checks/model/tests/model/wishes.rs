//! The actions of people and hosts.

use std::time::Duration;

use messenger_handover::call::{InlineControl, MessageKey, OutgoingMessage};
use messenger_handover::thread::{ClaimOrigin, Command, CommandRefused, MessageStatus, Reply, Target};
use messenger_sim::Platform;

use crate::adapter::key;
use crate::scene::Action;
use crate::seen::Seen;
use crate::state::{Decision, Person, Report, Side};
use crate::turn::Turn;

impl Turn<'_> {
    /// Applies an action of people or hosts. Returns whether it was possible.
    pub(super) fn wish(&mut self, wish: Action) -> bool {
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
                self.note("a day passes");
                self.wake(self.state.now.plus(Duration::from_hours(24)));
            }
            Action::Engage => {
                self.state.engaged = true;
                self.state.agent_is_done &= self.scene.budget.desk_reports == 0;
                self.note("agents engage with the customer");
                self.reported(true);
                let left = &mut self.state.left;
                left.bot_reports = left.bot_reports.saturating_sub(1);
                left.desk_reports = left.desk_reports.saturating_sub(1);
            }
            Action::Disengage => {
                self.state.engaged = false;
                self.state.agent_is_done |= self.scene.budget.desk_reports > 0;
                self.note("agents are done");
                self.reported(false);
            }
            wish => return self.wish_of_host(wish),
        }
        true
    }

    /// Applies an action of a host. Returns whether it was possible.
    fn wish_of_host(&mut self, wish: Action) -> bool {
        match wish {
            Action::Send(side) => {
                let left = &mut self.state.left;
                *(if side == Side::Bot { &mut left.bot } else { &mut left.desk }) -= 1;
                self.send(side, None);
            }
            Action::Farewell(pass) => {
                self.state.left.farewells -= 1;
                self.state.host(Side::Bot).decision = Decision::None;
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
                self.set_reported(true);
                self.command(Side::Desk, Command::OpenIntervention);
            }
            Action::Close => {
                self.state.agent_is_done = true;
                self.set_reported(false);
                self.state.host(Side::Desk).claims = false;
                self.command(Side::Desk, Command::CloseIntervention);
            }
            Action::WantPerson => {
                self.state.left.persons -= 1;
                self.state.people_wanted = true;
                self.state.host(Side::Bot).decision = Decision::None;
                let is_there = self.state.owner().as_ref() == Some(&self.scene.desk.app);
                let before = self.state.person;
                // The command may end at once with a notice that nobody comes.
                self.state.person = if is_there { Person::There } else { Person::Wanted };
                let wanted = Command::Transfer { target: Target::Desk, note: None };
                if !matches!(self.command(Side::Bot, wanted), Reply::Transferring { .. }) {
                    self.state.person = before;
                }
            }
            Action::BackToBot => {
                self.state.left.backs -= 1;
                self.state.host(Side::Desk).decision = Decision::None;
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
                let config = self.scene.config(side);
                let Some(held) = self.state.of(side).held(config).cloned() else { return false };
                self.scene.saw(Seen::WentOnBehindUnknown);
                self.state.host(side).resumed.push(held.clone());
                self.command(side, Command::Continue(held));
            }
            Action::Claim(side) => self.claim(side),
            Action::Release(side) => self.release(side),
            Action::Grant(side) => self.grant(side),
            Action::Refuse(side) => self.refuse(side),
            Action::Cancel(side, at) => self.cancel(side, at),
            Action::Resume => {
                self.state.left.resumes -= 1;
                self.state.person = Person::NotWanted;
                self.scene.saw(Seen::Resumed);
                self.command(Side::Bot, Command::ResumeBot);
                self.bot_speaks_again();
            }
            Action::Dismiss(side) => {
                let Some(id) = self.state.host(side).aside.pop() else { return false };
                self.scene.saw(Seen::Dismissed);
                if self.command(side, Command::DismissSetAside(id)) != Reply::Done {
                    self.broken("13: a notice that was set aside is lost");
                }
            }
            other => unreachable!("{other:?} is no wish"),
        }
        true
    }

    fn claim(&mut self, side: Side) {
        self.state.left.claims -= 1;
        self.state.agent_is_done &= side == Side::Bot;
        let wanted = self.state.person != Person::NotWanted;
        self.state.host(side).claims = true;
        match self.command(side, Command::Claim { origin: ClaimOrigin::Host, note: None }) {
            Reply::Claiming(_) if side == Side::Bot && wanted => {
                self.broken("12: the bot claims control while people are wanted");
            }
            Reply::Claiming(_) => {}
            reply => {
                if reply == Reply::Refused(CommandRefused::WithPeople) {
                    self.scene.saw(Seen::BotWasSilent);
                }
                self.state.host(side).claims = false;
            }
        }
    }

    fn release(&mut self, side: Side) {
        self.state.left.releases -= 1;
        match self.command(side, Command::Transfer { target: Target::Nobody, note: None }) {
            Reply::Refused(CommandRefused::InterventionOpen) => self.scene.saw(Seen::HandBackRefused),
            reply => {
                if matches!(reply, Reply::Transferring { .. }) {
                    self.scene.saw(Seen::ReleasedByHost);
                }
                self.state.agent_is_done |= side == Side::Desk;
            }
        }
    }

    fn grant(&mut self, side: Side) {
        let Some(app) = self.state.of(side).thread.waiting_requests().next().cloned() else { return };
        self.state.left.decisions -= 1;
        let before = std::mem::replace(&mut self.state.host(side).decision, Decision::Granted);
        if self.command(side, Command::Grant(app)) == Reply::Done {
            self.scene.saw(Seen::RequestGranted);
        } else {
            self.state.host(side).decision = before;
        }
    }

    fn refuse(&mut self, side: Side) {
        let other = self.scene.config(side.other()).app.clone();
        self.state.left.decisions -= 1;
        if self.command(side, Command::Refuse(other)) == Reply::Done {
            self.scene.saw(Seen::RequestRefused);
            self.state.host(side).decision = Decision::Refused;
        }
    }

    fn cancel(&mut self, side: Side, at: usize) {
        self.state.left.cancels -= 1;
        let key = self.state.of(side).accepted[at].clone();
        if self.command(side, Command::Cancel(key.clone())) != Reply::Done {
            self.scene.saw(Seen::CancelledTooLate);
            return;
        }
        self.scene.saw(Seen::Cancelled);
        let host = self.state.host(side);
        host.cancelled.push(key);
        // An agent who takes back all that was written needs no control that is still to come.
        let nothing_left = host.accepted.iter().all(|key| host.cancelled.contains(key));
        let wants_control = host.thread.intervention_is_open() || self.scene.budget.claims > 0;
        self.state.agent_is_done |=
            side == Side::Desk && nothing_left && !wants_control && !host.told_control;
    }

    /// Engage Digital reports that people began or ended to serve the customer.
    fn reported(&mut self, open: bool) {
        self.state.now = self.state.now.plus(Duration::from_millis(1));
        let (report, budget) = (Report { at: self.state.now, open }, self.scene.budget);
        for (side, whole) in [(Side::Bot, budget.bot_reports), (Side::Desk, budget.desk_reports)] {
            if whole > 0 {
                self.state.host(side).reports.push(report);
            }
        }
    }

    /// The desk's own command counts like a report of this moment.
    fn set_reported(&mut self, open: bool) {
        if self.scene.budget.desk_reports > 0 {
            // Not at the same moment as a report.
            self.state.now = self.state.now.plus(Duration::from_millis(2));
            self.state.host(Side::Desk).reported = Some(Report { at: self.state.now, open });
        }
    }

    fn bot_speaks_again(&mut self) {
        if self.state.bot.thread.people_are_busy() {
            self.broken("13: the bot stays silent although people are done");
        }
    }

    /// A report arrives, in any order.
    pub(super) fn report(&mut self, side: Side, at: usize) {
        let host = self.state.host(side);
        let report = host.reports.remove(at);
        let is_latest = host.reported.is_none_or(|latest| report > latest);
        if is_latest {
            host.reported = Some(report);
        } else {
            self.scene.saw(Seen::ReportOutOfOrder);
        }
        if is_latest && side == Side::Desk && !report.open {
            self.state.host(side).claims = false;
        }
        if is_latest && side == Side::Bot {
            self.state.person = match self.state.owner() {
                _ if !report.open => Person::NotWanted,
                Some(owner) if owner == self.scene.desk.app => Person::There,
                _ => Person::Wanted,
            };
        }
        let Report { at, open } = report;
        self.command(side, Command::InterventionReported { open, at: Some(at) });
        if is_latest && side == Side::Bot && !open {
            self.bot_speaks_again();
        }
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
}
