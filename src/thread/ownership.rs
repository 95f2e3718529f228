//! Changes of the owner and their consequences: notices, requests, claims, transfers and people.

use crate::event::Channel;
use crate::policy::Role;
use crate::time::Timestamp;

use super::belief::Owner;
use super::broken::Broken;
use super::config::Context;
use super::notice::Notice;
use super::terms::ClaimOrigin;
use super::{LastChange, Thread};

impl Thread {
    /// Acts on the owner after each input, compared with `before`.
    pub(super) fn owner_settled(&mut self, cx: &Context<'_>, before: &Owner, now: Timestamp) {
        let owner = self.belief.owner().clone();
        if !matches!(owner, Owner::Unknown | Owner::Other(_)) && self.intervention.next_look().is_some() {
            self.intervention.stop_looking();
        }
        match &owner {
            Owner::Unknown => {}
            // Control is leaving by the call under way, or may have gone with a message, so the host is not notified
            // that it is ours.
            Owner::Us if self.belief.in_doubt || self.is_leaving() => {}
            Owner::Us => {
                // Control was passed back to us.
                if *before != Owner::Us && self.people.have_control() {
                    self.people.are_done();
                }
                self.notify_gained(cx);
                self.claim_granted();
                self.give_back_late_grant(now);
            }
            Owner::Idle | Owner::Other(_) => {
                if owner == Owner::Idle && !self.requests.is_empty() {
                    self.requests.came_back();
                }
                if self.people.are_asked_for() && self.transfer.is_none() {
                    self.people_have_control(&owner, before);
                }
                let had_it =
                    std::mem::take(&mut self.announced_ours) | std::mem::take(&mut self.announced_to_answer);
                if had_it && owner == Owner::Idle {
                    self.intervention.control_left(now);
                }
                if had_it && (owner != Owner::Idle || *before == Owner::Us) {
                    self.requests.clear();
                    let note = self.last_change.take().and_then(|came| came.note);
                    self.notices.push(Notice::ControlLost { to: (&owner).into(), note });
                }
                if cx.config.is(Broken::TakesBack) && owner != Owner::Idle && !before.agrees(&owner) {
                    self.open_claim(cx.config, ClaimOrigin::Host);
                }
                if cx.config.is(Broken::KeepsRequest) {
                    return;
                }
                if *before != Owner::Unknown && !before.agrees(&owner) {
                    self.owner_changed_under_claim();
                }
                let may_speak = cx.config.role == Role::Bot && !self.is_silent(cx) && !self.belief.in_doubt;
                if may_speak && owner == Owner::Idle && self.inbox.is_routed() {
                    // No other app answers what the platform delivered to us.
                    self.notify_unanswered(Channel::Messaging);
                }
            }
        }
    }

    /// Notifies the host that control is ours, with the unanswered messages. It repeats for messages that came in
    /// while control was in doubt or people were busy, because no other notice would ask the host to answer them.
    fn notify_gained(&mut self, cx: &Context<'_>) {
        let silent = self.is_silent(cx);
        if self.announced_ours && (silent || !self.inbox.has_unanswered()) {
            return;
        }
        if !self.announced_ours {
            self.intervention.request_ended();
        }
        (self.announced_ours, self.announced_to_answer) = (true, false);
        let (mut unanswered, mut more) = (Vec::new(), 0);
        if !silent && self.inbox.has_unanswered() {
            let mut inbox = std::mem::take(&mut self.inbox);
            (unanswered, more) = inbox.take_unanswered(|inbound| self.is_replied_to(inbound));
            self.inbox = inbox;
        }
        if cx.config.is(Broken::StartsFresh) {
            unanswered.clear();
        }
        let LastChange { from, note } = self.last_change.take().map(|came| *came).unwrap_or_default();
        self.notices.push(Notice::ControlGained { from, note, unanswered, more });
    }

    /// Another app owns the thread, or none, while people were asked for. If it became idle after they had control,
    /// they are done.
    fn people_have_control(&mut self, owner: &Owner, before: &Owner) {
        if *owner == Owner::Idle && self.people.have_control() && !before.agrees(owner) {
            self.people.are_done();
        } else {
            self.people.control_left();
        }
    }
}
