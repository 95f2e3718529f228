//! Observes the hosts' calls and outcomes during a schedule.

use messenger_handover::call::{Call, CallOutcome, MessageKey};
use messenger_handover::id::AppId;
use messenger_handover::thread::{FailReason, MessageStatus, Notice, StepOutcome};

use crate::scene::{Scene, Seen};
use crate::state::{End, Host};

impl Host {
    /// Checks a call that a thread wants to make. Returns the violation, if any.
    pub fn judge(&self, app: &AppId, call: &Call) -> Option<&'static str> {
        let waits = |key: &MessageKey| self.thread.message_status(key) == Some(MessageStatus::Waiting);
        match call {
            Call::PassThreadControl { to } if to == app => None,
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
            Call::SendMessage { key, message } => {
                let before = self.accepted.iter().take_while(|other| *other != key);
                let unsettled = |key: &MessageKey| match self.thread.message_status(key) {
                    Some(MessageStatus::Waiting) => true,
                    Some(MessageStatus::Unknown(_)) => !self.resumed.contains(key),
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
            Notice::MessageFailed { reason: FailReason::NotGranted(report), .. } => {
                let unanswered = |outcome: &StepOutcome| *outcome == StepOutcome::Unanswered;
                let seen = report.steps.iter().any(|tried| unanswered(&tried.outcome));
                self.saw(if seen { Seen::RequestUnanswered } else { Seen::NotGranted });
            }
            _ => {}
        }
    }
}
