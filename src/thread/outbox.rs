//! The outgoing messages of a thread, sent one at a time in the order in which they were accepted.

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
use super::outcome::{FailReason, MessageStatus, NoEcho, WaitingMessage, WaitsFor};

/// The messages that wait, and the outcomes of earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Outbox {
    #[serde(skip_serializing_if = "is_default")]
    waiting: VecDeque<Queued>,
    #[serde(skip_serializing_if = "is_default")]
    finished: VecDeque<(MessageKey, MessageStatus)>,
    /// The keys of older messages that were sent, or may have been.
    #[serde(skip_serializing_if = "is_default")]
    settled: Recent,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Queued {
    key: MessageKey,
    message: OutgoingMessage,
    /// The message fails as expired at this time.
    expires: Timestamp,
    state: State,
    /// The last call that tried to send it.
    call: Option<CallId>,
    /// The number of refusals because control was lost.
    lost_control: u8,
    /// Whether it was sent again after an unknown outcome.
    resent: bool,
    #[serde(default)]
    inline: Inline,
    /// The refusal by the messaging window, if the message is sent again with the `HUMAN_AGENT` tag.
    #[serde(default, skip_serializing_if = "is_default")]
    outside_window: Option<Box<Failure>>,
}

/// Whether `thread_control` goes with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Inline {
    #[default]
    No,
    /// `thread_control` went with the last attempt.
    Sent,
    /// `thread_control` was refused once and is left out from then on.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Waiting,
    Sending,
    /// The outcome is unknown; an echo may settle it until the deadline.
    AwaitingEcho {
        until: Timestamp,
        cause: Failure,
    },
    /// Reported as unknown; the messages behind it, and a release, wait for [`Command::Continue`](super::Command::Continue).
    Held(NoEcho),
}

/// The notices, and the [farewell](Outbox::farewell) of a message that was given up.
type Lapsed = (Vec<Notice>, Option<(InlineControl, bool)>);

/// The state of the first message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head<'a> {
    Empty,
    /// A call or a deadline must pass first.
    Blocked,
    Ready(&'a MessageKey, &'a OutgoingMessage),
}

impl Queued {
    fn is_held(&self) -> bool {
        matches!(self.state, State::Held(_))
    }
}

impl Outbox {
    /// Accepts a message. Its key must not be in use.
    pub(super) fn accept(
        &mut self,
        key: MessageKey,
        message: OutgoingMessage,
        now: Timestamp,
        config: &Config,
    ) {
        // The host tries a failed message again.
        self.finished.retain(|(finished, _)| *finished != key);
        self.waiting.push_back(Queued {
            key,
            expires: now.plus(config.timeouts.message_age),
            message,
            state: State::Waiting,
            call: None,
            lost_control: 0,
            resent: false,
            inline: Inline::No,
            outside_window: None,
        });
    }

    /// Whether there is room for this many more. An empty queue accepts any number, because more than the limit would
    /// never fit.
    pub(super) fn has_room_for(&self, more: usize, config: &Config) -> bool {
        more == 0 || self.waiting.len() + more.min(config.limits.messages) <= config.limits.messages
    }

    pub(super) fn is_full(&self, config: &Config) -> bool {
        self.waiting.len() >= config.limits.messages
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

    /// The status of a message whose key is used again; `None` if the message failed, so that the key starts a new
    /// attempt.
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

    pub(super) fn waiting(&self) -> impl Iterator<Item = WaitingMessage<'_>> {
        self.waiting.iter().map(|Queued { key, message, state, expires, .. }| WaitingMessage {
            key,
            message,
            waits_for: match state {
                State::Waiting => WaitsFor::Control,
                State::Sending => WaitsFor::Call,
                State::AwaitingEcho { .. } => WaitsFor::Echo,
                State::Held(_) => WaitsFor::Host,
            },
            expires: *expires,
        })
    }

    pub(super) fn head(&self) -> Head<'_> {
        match self.waiting.front() {
            None => Head::Empty,
            Some(Queued { state: State::Waiting, key, message, .. }) => Head::Ready(key, message),
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

    /// Whether no message can change the conversation any more. One held message alone counts as settled.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.iter().all(Queued::is_held) && self.waiting.len() <= 1
    }

    /// Whether a message is still to be sent. One that awaits its echo needs no control.
    pub(super) fn wants_control(&self) -> bool {
        self.waiting.iter().any(|answer| answer.state == State::Waiting)
    }

    /// Whether a message has an unknown outcome and waits for the host.
    pub(super) fn is_held(&self) -> bool {
        self.waiting.iter().any(Queued::is_held)
    }

    /// Whether the first message is the only one, and was not refused with its `thread_control`.
    pub(super) fn may_go_inline(&self) -> bool {
        self.waiting.len() == 1 && self.waiting.front().is_some_and(|answer| answer.inline != Inline::Refused)
    }

    /// Retries the message without `thread_control`, because perhaps only that was refused.
    pub(super) fn refused_inline(&mut self, key: &MessageKey) {
        if let Some(answer) = self.waiting.iter_mut().find(|answer| answer.key == *key) {
            answer.inline = Inline::Refused;
            answer.state = State::Waiting;
        }
    }

    /// Retries a message that the messaging window refused, with the `HUMAN_AGENT` tag. Returns `false` if it had the
    /// tag already, or if an earlier attempt may have arrived.
    pub(super) fn send_as_person(&mut self, key: &MessageKey, failure: &Failure) -> bool {
        let may = |answer: &&mut Queued| {
            answer.key == *key
                && !answer.resent
                && answer.message.messaging_type() != MessagingType::HumanAgent
        };
        let Some(answer) = self.waiting.iter_mut().find(may) else { return false };
        answer.message = answer.message.clone().with_messaging_type(MessagingType::HumanAgent);
        answer.outside_window = Some(Box::new(failure.clone()));
        // Without `thread_control` only the tag can be refused: a missing approval must not look like a Page without
        // `thread_control`.
        answer.inline = Inline::Refused;
        answer.state = State::Waiting;
        true
    }

    /// The reason for a message that the platform refused. If the tag was refused, for example because the app is not
    /// approved for it, the reason is the window, because the message can be sent after the customer has written; the
    /// text names both.
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

    /// The `thread_control` of a message, and whether it went with the last attempt.
    pub(super) fn farewell(&self, key: &MessageKey) -> Option<(InlineControl, bool)> {
        let answer = self.waiting.iter().find(|answer| answer.key == *key)?;
        Some((answer.message.control()?.clone(), answer.inline == Inline::Sent))
    }

    /// Removes `thread_control` from all messages, except from one under way with it.
    pub(super) fn keep_control(&mut self) {
        let stays = |answer: &&mut Queued| !(answer.inline == Inline::Sent && answer.state != State::Waiting);
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

    /// The message was certainly not sent and waits again.
    pub(super) fn not_sent(&mut self, key: &MessageKey, control_lost: bool) {
        if let Some(answer) = self.waiting.iter_mut().find(|answer| answer.key == *key) {
            answer.state = State::Waiting;
            answer.lost_control = answer.lost_control.saturating_add(u8::from(control_lost));
        }
    }

    /// The number of times that control was lost for a message.
    pub(super) fn lost_control(&self, key: &MessageKey) -> u8 {
        self.waiting.iter().find(|answer| answer.key == *key).map_or(0, |answer| answer.lost_control)
    }

    pub(super) fn await_echo(&mut self, key: &MessageKey, until: Timestamp, cause: Failure) {
        if let Some(answer) = self.waiting.iter_mut().find(|answer| answer.key == *key) {
            answer.state = State::AwaitingEcho { until, cause };
        }
    }

    /// Settles a message as sent, by the outcome of its call or by an echo, however late.
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
            // The first attempt may have arrived, so the failure of the second settles nothing.
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

    /// Fails all messages that wait for control, with one reason.
    pub(super) fn all_failed(&mut self, reason: &FailReason, config: &Config, now: Timestamp) -> Vec<Notice> {
        let keys: Vec<_> = self
            .waiting
            .iter()
            .filter(|answer| answer.state == State::Waiting)
            .map(|answer| answer.key.clone())
            .collect();
        keys.iter().filter_map(|key| self.failed(key, reason.clone(), config, now)).collect()
    }

    /// The message of an echo without our metadata: found by its `mid`, or by its text while its outcome is open.
    pub(super) fn by_echo(&self, mid: Option<&MessageId>, text: Option<&str>) -> Option<MessageKey> {
        let is_it = |status: &MessageStatus| matches!(status, MessageStatus::Sent { mid: Some(sent), .. } if Some(sent) == mid);
        let finished = self.finished.iter().find(|(_, status)| is_it(status)).map(|(key, _)| key);
        let is_under_way = |answer: &&Queued| {
            let sent = answer.message.body().get("text").and_then(serde_json::Value::as_str);
            let is_open = matches!(answer.state, State::Sending | State::AwaitingEcho { .. });
            is_open && sent.is_some() && sent == text
        };
        let waiting = || self.waiting.iter().find(is_under_way).map(|answer| &answer.key);
        finished.or_else(waiting).cloned()
    }

    /// The message whose last attempt was this call.
    pub(super) fn by_call(&self, call: CallId) -> Option<MessageKey> {
        self.waiting.iter().find(|answer| answer.call == Some(call)).map(|answer| answer.key.clone())
    }

    pub(super) fn cancel(&mut self, key: &MessageKey, config: &Config, now: Timestamp) -> Option<Notice> {
        let any = config.is(Broken::CancelsUnderWay);
        let waits = |answer: &Queued| answer.key == *key && (any || answer.state == State::Waiting);
        if self.waiting.iter().any(waits) {
            self.failed(key, FailReason::Cancelled, config, now)
        } else {
            None
        }
    }

    /// The host continues behind a held message. Returns whether it was held.
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

    /// Applies deadlines: fails expired messages, and reports or resends those whose echo is overdue. `has_left` says
    /// that control is known to be elsewhere.
    pub(super) fn lapse(&mut self, now: Timestamp, config: &Config, has_left: bool) -> Lapsed {
        let is_expired = |answer: &&Queued| answer.state == State::Waiting && answer.expires <= now;
        let expired: Vec<_> =
            self.waiting.iter().filter(is_expired).map(|answer| answer.key.clone()).collect();
        let mut notices: Vec<_> =
            expired.iter().filter_map(|key| self.failed(key, FailReason::Expired, config, now)).collect();
        for answer in &mut self.waiting {
            let State::AwaitingEcho { until, cause } = &answer.state else { continue };
            if *until > now {
                continue;
            }
            match config.on_unknown {
                OnUnknown::Hold | OnUnknown::Continue => {
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
        let mut farewell = None;
        let goes_on = config.on_unknown == OnUnknown::Continue || config.is(Broken::Overtakes);
        while goes_on && let Some(held) = self.waiting.iter().find(|answer| answer.is_held()) {
            let key = held.key.clone();
            (farewell, _) = (self.farewell(&key), self.resume(&key, config, now));
        }
        (notices, farewell)
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
