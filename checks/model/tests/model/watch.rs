//! What hosts and calls show on the way.

use messenger_handover::call::{AnswerKey, Call, CallResult};
use messenger_handover::id::AppId;
use messenger_handover::thread::{AnswerStatus, FailReason, Notice, StepOutcome};

use crate::scene::{Scene, Seen};
use crate::state::{End, Host};

impl Host {
    /// What must not be put out.
    pub fn judge(&self, app: &AppId, call: &Call) -> Option<&'static str> {
        let waits = |key: &AnswerKey| self.thread.answer(key) == Some(AnswerStatus::Waiting);
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
                let unsettled = |key: &AnswerKey| match self.thread.answer(key) {
                    Some(AnswerStatus::Waiting) => true,
                    Some(AnswerStatus::Unknown(_)) => !self.resumed.contains(key),
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
            Notice::AnswerSent { key, .. } => (key, End::Delivered),
            Notice::AnswerFailed { key, .. } => (key, End::Failed),
            Notice::AnswerUnknown { key, .. } => (key, End::Unknown),
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
    /// What a call shows that some property speaks of.
    pub fn made(&self, call: &Call, result: &CallResult) {
        let refused = matches!(result, CallResult::Refused(_));
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
            Notice::AnswerSent { key, .. } if host.ends.contains(&(key.clone(), End::Unknown)) => {
                self.saw(Seen::LateEcho);
            }
            Notice::AnswerFailed { reason: FailReason::NotGranted(report), .. } => {
                let unanswered = |outcome: &StepOutcome| *outcome == StepOutcome::Unanswered;
                let seen = report.steps.iter().any(|tried| unanswered(&tried.outcome));
                self.saw(if seen { Seen::RequestUnanswered } else { Seen::NotGranted });
            }
            _ => {}
        }
    }
}
