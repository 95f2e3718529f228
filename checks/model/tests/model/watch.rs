//! Observes the hosts' calls and outcomes during a schedule.

use messenger_handover::call::{Call, CallOutcome, Direction, MessageKey};
use messenger_handover::id::AppId;
use messenger_handover::policy::ThreadControlPolicy;
use messenger_handover::thread::{Config, FailReason, MessageStatus, Notice, Owner, StepOutcome};

use crate::scene::Scene;
use crate::seen::Seen;
use crate::state::{Decision, End, Host, Side, State};
use crate::turn::REQUESTS;

impl Host {
    /// Checks a call that a thread wants to make. Returns the violation, if any.
    pub fn judge(&self, config: &Config, call: &Call) -> Option<&'static str> {
        let waits = |key: &MessageKey| self.waits(key);
        match call {
            Call::PassThreadControl { to } if *to == config.app => None,
            Call::PassThreadControl { .. } if self.decision == Decision::Refused => {
                Some("4: control is passed to an app that was refused")
            }
            Call::PassThreadControl { .. } | Call::ReleaseThreadControl
                if self.accepted.iter().any(waits) =>
            {
                Some("5: control is given away while an answer is unsettled")
            }
            Call::PassThreadControl { .. } | Call::ReleaseThreadControl
                if self.thread.intervention_is_open() =>
            {
                Some("5: control is given away while people are engaged")
            }
            Call::SendMessage { key, .. } if self.cancelled.contains(key) => {
                Some("1: an answer is sent after it was cancelled")
            }
            Call::SendMessage { key, message } => {
                let before = self.accepted.iter().take_while(|other| *other != key);
                let unsettled = |key: &MessageKey| match self.thread.message_status(key) {
                    Some(MessageStatus::Waiting) => true,
                    Some(MessageStatus::Unknown(_)) => self.holds(config, key),
                    _ => false,
                };
                let behind = self.accepted.iter().skip_while(|other| *other != key).skip(1);
                if before.into_iter().any(unsettled) {
                    Some("3: an answer overtakes another")
                } else if message.control().is_some()
                    && (self.thread.intervention_is_open() || behind.into_iter().any(waits))
                {
                    Some("5: control goes with an answer too early")
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    /// Whether a call claims control although no message waits for it.
    pub fn claims_for_nothing(&self, app: &AppId, call: &Call) -> bool {
        let claims = match call {
            Call::TakeThreadControl | Call::RequestThreadControl => true,
            Call::PassThreadControl { to } => to == app,
            Call::AskDesk(direction) => *direction == Direction::AgentToBot,
            _ => false,
        };
        claims && !self.accepted.iter().any(|key| self.waits(key))
    }

    pub fn note(&mut self, notice: &Notice) {
        let mut question = |text: Option<&str>, ours: bool| {
            let number: Option<u8> = text.and_then(|text| text.strip_prefix("question ")?.parse().ok());
            let bit = number.map_or(0, |number| 1 << number);
            self.told_ours |= if ours { bit } else { 0 };
        };
        let (key, end) = match notice {
            Notice::MessageSent { key, .. } => (key, End::Delivered),
            Notice::MessageFailed { key, .. } => (key, End::Failed),
            Notice::MessageUnknown { key, .. } => (key, End::Unknown),
            Notice::Message { inbound, to_answer, .. } => {
                return question(inbound.text.as_deref(), *to_answer);
            }
            Notice::ControlGained { unanswered, .. } => {
                return unanswered.iter().for_each(|inbound| question(inbound.text.as_deref(), true));
            }
            _ => return,
        };
        self.ends.push((key.clone(), end));
    }
}

impl Scene {
    /// Records situations that some property is about.
    pub fn made(&self, call: &Call, result: &CallOutcome) {
        let refused = matches!(result, CallOutcome::Refused(_));
        match call {
            Call::TakeThreadControl => self.saw(if refused { Seen::TakeRefused } else { Seen::Took }),
            Call::RequestThreadControl if !refused => self.saw(Seen::Requested),
            Call::ReleaseThreadControl if !refused => self.saw(Seen::Released),
            Call::PassThreadControl { .. } if !refused => self.saw(Seen::Passed),
            Call::SendMessage { .. } if refused => self.saw(Seen::SendRefused),
            Call::SendMessage { message, .. } if message.control().is_some() => self.saw(Seen::WentInline),
            _ => {}
        }
    }

    pub fn heard(&self, host: &Host, notice: &Notice) {
        match notice {
            Notice::ControlGained { unanswered, .. } if !unanswered.is_empty() => {
                self.saw(Seen::ToldWhatCameBefore);
            }
            Notice::MessageSent { key, .. } if host.ends.contains(&(key.clone(), End::Unknown)) => {
                self.saw(Seen::LateEcho);
            }
            Notice::ControlNotGranted { .. } => self.saw(Seen::ClaimNotGranted),
            Notice::MessageFailed { reason: FailReason::NotGranted(report), .. } => {
                let unanswered = |outcome: &StepOutcome| *outcome == StepOutcome::Unanswered;
                let seen = report.steps.iter().any(|tried| unanswered(&tried.outcome));
                self.saw(if seen { Seen::RequestUnanswered } else { Seen::NotGranted });
            }
            _ => {}
        }
    }
}

impl State {
    /// Whether a take is called where policy or protocol do not permit it. An agent may gain control between `thread_owner`
    /// and take; the platform offers no way to prevent that.
    pub fn is_theft(&self, scene: &Scene, side: Side, call: &Call, believed: &Owner) -> bool {
        let owner = self.owner();
        let host = self.of(side);
        let allowed = match call {
            Call::TakeThreadControl if side == Side::Bot => {
                owner.as_ref().is_none_or(|owner| *owner == scene.bot.app) || host.just_saw_it_idle
            }
            Call::TakeThreadControl if owner.as_ref() == Some(&scene.bot.app) => {
                scene.desk.policy == ThreadControlPolicy::EdPrimary
                    || host.request_was_refused
                    || host.requests > REQUESTS
                    || *believed == Owner::Idle
            }
            Call::PassThreadControl { .. } => !matches!(believed, Owner::Other(_)),
            _ => true,
        };
        !allowed
    }
}
