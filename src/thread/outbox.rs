use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::call::{CallId, Failure, FailureKind, InlineControl, MessageKey, MessagingType, OutgoingMessage};
use crate::id::MessageId;
use crate::time::Timestamp;

use super::broken::Broken;
use super::config::{Config, OnUnknown};
use super::duplicates::{Digest, Horizon, Recent};
use super::is_default;
use super::notice::Notice;
use super::outcome::{FailReason, MessageStatus, NoEcho};

/// The answers of one thread, in the order they were accepted (design §3.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Outbox {
    #[serde(skip_serializing_if = "is_default")]
    waiting: VecDeque<Answer>,
    #[serde(skip_serializing_if = "is_default")]
    finished: VecDeque<(MessageKey, MessageStatus)>,
    /// The keys of answers that are sent, or may be, and have no place among the finished any more.
    #[serde(skip_serializing_if = "is_default")]
    settled: Recent,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Answer {
    key: MessageKey,
    message: OutgoingMessage,
    /// It is too old from then on.
    expires: Timestamp,
    state: State,
    /// The last call that tried to send it.
    call: Option<CallId>,
    /// How often the platform refused it because control was gone.
    lost_control: u8,
    /// It was sent again after an unknown outcome.
    resent: bool,
    #[serde(default)]
    inline: Inline,
    /// How the messaging window refused it, where it is sent again with the `HUMAN_AGENT` tag.
    #[serde(default, skip_serializing_if = "is_default")]
    outside_window: Option<Box<Failure>>,
}

/// Whether an answer's `thread_control` went with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Inline {
    #[default]
    No,
    /// It was last sent so.
    Sent,
    /// It was refused so: never again.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Waiting,
    Sending,
    /// The outcome is not known; the echo may tell until then.
    AwaitingEcho {
        until: Timestamp,
        cause: Failure,
    },
    /// Reported as unknown; those behind it wait for the host's word.
    Held(NoEcho),
}

/// What the head of the queue needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head<'a> {
    Empty,
    /// Something is under way or must be waited for.
    Blocked,
    Ready(&'a MessageKey, &'a OutgoingMessage),
}

impl Answer {
    fn is_held(&self) -> bool {
        matches!(self.state, State::Held(_))
    }
}

impl Outbox {
    /// Takes in an answer whose key is not known.
    pub(super) fn accept(
        &mut self,
        key: MessageKey,
        message: OutgoingMessage,
        now: Timestamp,
        config: &Config,
    ) {
        // After it has failed the host has decided to try again.
        self.finished.retain(|(finished, _)| *finished != key);
        self.waiting.push_back(Answer {
            key,
            expires: now.plus(config.timeouts.answer_age),
            message,
            state: State::Waiting,
            call: None,
            lost_control: 0,
            resent: false,
            inline: Inline::No,
            outside_window: None,
        });
    }

    /// Whether there is room for so many more; for more than there can ever be, when it is empty.
    pub(super) fn has_room_for(&self, more: usize, config: &Config) -> bool {
        more == 0 || self.waiting.len() + more.min(config.limits.answers) <= config.limits.answers
    }

    pub(super) fn is_full(&self, config: &Config) -> bool {
        self.waiting.len() >= config.limits.answers
    }

    pub(super) fn status(&self, key: &MessageKey) -> Option<MessageStatus> {
        let waiting = self.waiting.iter().find(|answer| answer.key == *key);
        match waiting.map(|answer| &answer.state) {
            Some(State::Held(echo)) => Some(MessageStatus::Unknown(*echo)),
            Some(_) => Some(MessageStatus::Waiting),
            None => {
                let finished = self.finished.iter().find(|(other, _)| other == key);
                let settled = || self.settled.find(Digest::key(key)).map(|_| MessageStatus::Settled);
                finished.map(|(_, status)| status.clone()).or_else(settled)
            }
        }
    }

    /// Where an answer stands whose key was given again; none if it failed, so that it is a new attempt.
    pub(super) fn recognise(&mut self, key: &MessageKey, now: Timestamp) -> Option<MessageStatus> {
        let status = self.status(key)?;
        if matches!(status, MessageStatus::Failed(_)) {
            return None;
        }
        if status == MessageStatus::Settled {
            self.settled.touch(Digest::key(key), now);
        }
        Some(status)
    }

    pub(super) fn head(&self) -> Head<'_> {
        match self.waiting.front() {
            None => Head::Empty,
            Some(Answer { state: State::Waiting, key, message, .. }) => Head::Ready(key, message),
            Some(_) => Head::Blocked,
        }
    }

    #[cfg(feature = "service")]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// No answer may still change the conversation. A reported unknown one alone does not count.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.iter().all(Answer::is_held) && self.waiting.len() <= 1
    }

    /// An answer is still to be sent; one that awaits its echo needs no control.
    pub(super) fn wants_control(&self) -> bool {
        self.waiting.iter().any(|answer| answer.state == State::Waiting)
    }

    /// An answer was reported as unknown and waits for the host's word.
    pub(super) fn is_held(&self) -> bool {
        self.waiting.iter().any(Answer::is_held)
    }

    /// Nothing waits behind the answer at the head, and it was not refused with its `thread_control`.
    pub(super) fn may_go_inline(&self) -> bool {
        self.waiting.len() == 1 && self.waiting.front().is_some_and(|answer| answer.inline != Inline::Refused)
    }

    /// Perhaps only its `thread_control` was refused: once more without.
    pub(super) fn refused_inline(&mut self, key: &MessageKey) {
        if let Some(answer) = self.waiting.iter_mut().find(|answer| answer.key == *key) {
            answer.inline = Inline::Refused;
            answer.state = State::Waiting;
        }
    }

    /// The messaging window certainly refused it: it waits again in its place, now with the `HUMAN_AGENT` tag. Never twice, and
    /// never where an earlier attempt may have arrived.
    pub(super) fn send_as_person(&mut self, key: &MessageKey, failure: &Failure) -> bool {
        let may = |answer: &&mut Answer| {
            answer.key == *key
                && !answer.resent
                && answer.message.messaging_type() != MessagingType::HumanAgent
        };
        let Some(answer) = self.waiting.iter_mut().find(may) else { return false };
        answer.message = answer.message.clone().with_messaging_type(MessagingType::HumanAgent);
        answer.outside_window = Some(Box::new(failure.clone()));
        // Then only the tag can be what is refused: a missing approval must not look like a Page without `thread_control`.
        answer.inline = Inline::Refused;
        answer.state = State::Waiting;
        true
    }

    /// Why an answer failed that the platform refused for good. Where the tag was refused, as for an app that is not approved
    /// for it, the window is why, since the answer may be sent when the customer has written; the words name both.
    pub(super) fn fail_reason(&self, key: &MessageKey, failure: Failure) -> FailReason {
        let answer = self.waiting.iter().find(|answer| answer.key == *key);
        let window = answer.and_then(|answer| answer.outside_window.as_deref());
        let Some(window) = window.filter(|_| failure.kind.means_not_available()) else {
            return FailReason::refused(failure);
        };
        let mut both = window.clone();
        let gap = if both.message.is_empty() { "" } else { " " };
        both.message = format!("{}{gap}Sent again with the HUMAN_AGENT tag: {failure}", both.message);
        FailReason::OutsideWindow(both)
    }

    /// What becomes of control after an answer, and whether it went with it.
    pub(super) fn farewell(&self, key: &MessageKey) -> Option<(InlineControl, bool)> {
        let answer = self.waiting.iter().find(|answer| answer.key == *key)?;
        Some((answer.message.control()?.clone(), answer.inline == Inline::Sent))
    }

    /// Control goes with no answer any more, but with one that is on its way with it.
    pub(super) fn keep_control(&mut self) {
        let stays = |answer: &&mut Answer| !(answer.inline == Inline::Sent && answer.state != State::Waiting);
        for answer in self.waiting.iter_mut().filter(stays) {
            answer.message = answer.message.clone().without_control();
        }
    }

    pub(super) fn sending(&mut self, call: CallId, inline: bool) {
        if let Some(answer) = self.waiting.front_mut() {
            answer.inline = match answer.inline {
                _ if inline => Inline::Sent,
                Inline::Sent => Inline::No,
                before => before,
            };
            answer.state = State::Sending;
            answer.call = Some(call);
        }
    }

    /// The answer was not sent and waits again.
    pub(super) fn not_sent(&mut self, key: &MessageKey, control_lost: bool) {
        if let Some(answer) = self.waiting.iter_mut().find(|answer| answer.key == *key) {
            answer.state = State::Waiting;
            answer.lost_control = answer.lost_control.saturating_add(u8::from(control_lost));
        }
    }

    /// How often control was lost under an answer.
    pub(super) fn lost_control(&self, key: &MessageKey) -> u8 {
        self.waiting.iter().find(|answer| answer.key == *key).map_or(0, |answer| answer.lost_control)
    }

    pub(super) fn await_echo(&mut self, key: &MessageKey, until: Timestamp, cause: Failure) {
        if let Some(answer) = self.waiting.iter_mut().find(|answer| answer.key == *key) {
            answer.state = State::AwaitingEcho { until, cause };
        }
    }

    /// It reached the platform: by the answer of the call, or by an echo, however late.
    pub(super) fn delivered(
        &mut self,
        key: &MessageKey,
        mid: Option<MessageId>,
        config: &Config,
        now: Timestamp,
    ) -> Option<Notice> {
        let maybe_doubled = if let Some(at) = self.waiting.iter().position(|answer| answer.key == *key) {
            self.waiting.remove(at).is_some_and(|answer| answer.resent)
        } else {
            let at = self
                .finished
                .iter()
                .position(|(other, status)| other == key && matches!(status, MessageStatus::Unknown(_)))?;
            self.finished.remove(at);
            false
        };
        let status = MessageStatus::Sent { mid: mid.clone(), maybe_doubled };
        self.finish(key.clone(), status, config, now);
        Some(Notice::MessageSent { key: key.clone(), mid, maybe_doubled })
    }

    pub(super) fn failed(
        &mut self,
        key: &MessageKey,
        reason: FailReason,
        config: &Config,
        now: Timestamp,
    ) -> Option<Notice> {
        let at = self.waiting.iter().position(|answer| answer.key == *key)?;
        let answer = self.waiting.remove(at)?;
        let key = answer.key;
        if answer.resent {
            // The first attempt may have arrived, so this one's failure does not say that it did not.
            let echo = NoEcho::SentAgain;
            self.finish(key.clone(), MessageStatus::Unknown(echo), config, now);
            let cause = Failure::new(
                FailureKind::Transport,
                format!("sent again after an unknown outcome: {reason}"),
            );
            return Some(Notice::MessageUnknown { key, cause, echo });
        }
        self.finish(key.clone(), MessageStatus::Failed(reason.clone()), config, now);
        Some(Notice::MessageFailed { key, reason })
    }

    /// All that wait for control fail with the same reason.
    pub(super) fn all_failed(&mut self, reason: &FailReason, config: &Config, now: Timestamp) -> Vec<Notice> {
        let keys: Vec<_> = self
            .waiting
            .iter()
            .filter(|answer| answer.state == State::Waiting)
            .map(|answer| answer.key.clone())
            .collect();
        keys.iter().filter_map(|key| self.failed(key, reason.clone(), config, now)).collect()
    }

    /// The answer that an echo without our metadata is of: by its id, or by its text where its outcome is not known yet.
    pub(super) fn by_echo(&self, mid: Option<&MessageId>, text: Option<&str>) -> Option<MessageKey> {
        let is_it = |status: &MessageStatus| matches!(status, MessageStatus::Sent { mid: Some(sent), .. } if Some(sent) == mid);
        let finished = self.finished.iter().find(|(_, status)| is_it(status)).map(|(key, _)| key);
        let is_under_way = |answer: &&Answer| {
            let sent = answer.message.body().get("text").and_then(serde_json::Value::as_str);
            matches!(answer.state, State::Sending | State::AwaitingEcho { .. }) && sent == text
        };
        let waiting = || self.waiting.iter().find(is_under_way).map(|answer| &answer.key);
        finished.or_else(waiting).cloned()
    }

    /// The answer whose last attempt was this call.
    pub(super) fn by_call(&self, call: CallId) -> Option<MessageKey> {
        self.waiting.iter().find(|answer| answer.call == Some(call)).map(|answer| answer.key.clone())
    }

    pub(super) fn cancel(&mut self, key: &MessageKey, config: &Config, now: Timestamp) -> Option<Notice> {
        let waits = |answer: &Answer| answer.key == *key && answer.state == State::Waiting;
        if self.waiting.iter().any(waits) {
            self.failed(key, FailReason::Cancelled, config, now)
        } else {
            None
        }
    }

    /// The host's word on an unknown answer: those behind it may go on.
    pub(super) fn resume(&mut self, key: &MessageKey, config: &Config, now: Timestamp) -> bool {
        let held = self.waiting.iter().enumerate().find_map(|(at, answer)| match answer.state {
            State::Held(echo) if answer.key == *key => Some((at, echo)),
            _ => None,
        });
        let Some((at, echo)) = held else { return false };
        self.waiting.remove(at);
        self.finish(key.clone(), MessageStatus::Unknown(echo), config, now);
        true
    }

    /// What time alone changes: answers that got too old, echoes that did not come. `has_left` says that control is known
    /// to be elsewhere.
    pub(super) fn lapse(&mut self, now: Timestamp, config: &Config, has_left: bool) -> Vec<Notice> {
        let is_expired = |answer: &&Answer| answer.state == State::Waiting && answer.expires <= now;
        let expired: Vec<_> =
            self.waiting.iter().filter(is_expired).map(|answer| answer.key.clone()).collect();
        let mut notices: Vec<_> =
            expired.iter().filter_map(|key| self.failed(key, FailReason::Expired, config, now)).collect();
        let mut overtaken = None;
        for answer in &mut self.waiting {
            let State::AwaitingEcho { until, cause } = &answer.state else { continue };
            if *until > now {
                continue;
            }
            match config.on_unknown {
                OnUnknown::Hold => {
                    overtaken = config.is(Broken::Overtakes).then(|| answer.key.clone());
                    let (key, cause) = (answer.key.clone(), cause.clone());
                    let echo = match () {
                        () if !config.echoes => NoEcho::NotSubscribed,
                        () if answer.inline == Inline::Sent || has_left => NoEcho::ControlLeft,
                        () => NoEcho::Overdue,
                    };
                    notices.push(Notice::MessageUnknown { key, cause, echo });
                    answer.state = State::Held(echo);
                }
                OnUnknown::Resend => {
                    answer.resent = true;
                    answer.state = State::Waiting;
                }
            }
        }
        if let Some(key) = overtaken {
            self.resume(&key, config, now);
        }
        notices
    }

    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.waiting
            .iter()
            .filter_map(|answer| match &answer.state {
                State::Waiting => Some(answer.expires),
                State::AwaitingEcho { until, .. } => Some(*until),
                State::Sending | State::Held(_) => None,
            })
            .min()
    }

    fn finish(&mut self, key: MessageKey, status: MessageStatus, config: &Config, now: Timestamp) {
        while self.finished.len() >= config.limits.finished.max(1)
            && let Some((oldest, status)) = self.finished.pop_front()
        {
            if !matches!(status, MessageStatus::Failed(_)) {
                self.settled.remember(Digest::key(&oldest), Horizon::new(config, now));
            }
        }
        self.finished.push_back((key, status));
    }
}
