//! Outcomes of messages and claims.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::call::{Failure, FailureKind, MessageKey, OutgoingMessage};
use crate::id::MessageId;
use crate::policy::ClaimStep;
use crate::time::Timestamp;

/// The reason why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailReason {
    /// Control was not granted.
    #[error("{0}")]
    NotGranted(NotGranted),
    /// The [messaging window](crate::protocol#windows) is closed until the customer writes again.
    #[error("{0}")]
    OutsideWindow(Failure),
    /// The platform cannot reach this person.
    #[error("{0}")]
    RecipientUnavailable(Failure),
    /// The platform refused the message for another reason.
    #[error("{0}")]
    Rejected(Failure),
    /// The message waited longer than [`Timeouts::message_age`](super::Timeouts::message_age).
    #[error("expired before it was sent")]
    Expired,
    /// People became busy with the customer while the bot's message waited.
    #[error("people are busy with the customer")]
    WithPeople,
    /// The host cancelled it.
    #[error("cancelled")]
    Cancelled,
}

impl FailReason {
    /// The reason for a message that got this failure.
    pub(super) fn refused(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::OutsideWindow => Self::OutsideWindow(failure),
            FailureKind::RecipientUnavailable => Self::RecipientUnavailable(failure),
            _ => Self::Rejected(failure),
        }
    }
}

/// The reason why no echo settles a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoEcho {
    /// The echo did not come within [`Timeouts::echo_grace`](super::Timeouts::echo_grace). If it comes later, the
    /// message ends as sent.
    #[error("echo overdue")]
    Overdue,
    /// Control left with the message or right after it, and an app that has given control away [may never get the
    /// echo](crate::protocol#echoes).
    #[error("control left, so the echo may never come")]
    ControlLeft,
    /// The app is not subscribed to `message_echoes` ([`Config::echoes`](super::Config::echoes)).
    #[error("app not subscribed to echoes")]
    NotSubscribed,
    /// The message was sent again ([`OnUnknown::Resend`](super::OnUnknown::Resend)) and that attempt failed; the
    /// first one may have arrived.
    #[error("second attempt failed, and the first one may have arrived")]
    SentAgain,
}

/// The status of a message, by its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MessageStatus {
    /// Not settled yet.
    Waiting,
    /// The platform accepted it.
    Sent {
        /// The platform's id of the message, if it returned one.
        mid: Option<MessageId>,
        /// Whether the customer may read it twice.
        maybe_doubled: bool,
    },
    /// The message was certainly not sent.
    Failed(FailReason),
    /// The message may or may not have been sent.
    Unknown(NoEcho),
    /// The message was sent or may have been, and more than [`Limits::finished`](super::Limits::finished) others ended since:
    /// its exact outcome is no longer stored.
    Settled,
}

/// A message that is not settled yet, by [`Thread::waiting_messages`](super::Thread::waiting_messages).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingMessage<'a> {
    /// Its idempotency key.
    pub key: &'a MessageKey,
    /// The message.
    pub message: &'a OutgoingMessage,
    /// The event that lets it go on.
    pub waits_for: WaitsFor,
    /// The time at which it fails, unless it was sent before ([`Timeouts::message_age`](super::Timeouts::message_age)).
    pub expires: Timestamp,
}

/// The event that lets a waiting message go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// Control of the thread, or the messages before it.
    Control,
    /// The end of the call that sends it.
    Call,
    /// Its echo, because the outcome of the call is unknown.
    Echo,
    /// The host: the message may or may not have been sent. [Resume](super::Command::Continue) the messages behind it.
    Host,
}

/// The report of a claim that failed: each step with the platform's words. [`NotGranted::remedy`] says who can change
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub struct NotGranted {
    /// The steps in the order they were tried.
    pub steps: Vec<TriedStep>,
}

/// One step of a claim and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TriedStep {
    /// The step.
    pub step: ClaimStep,
    /// Its outcome.
    pub outcome: StepOutcome,
}

/// The outcome of one step of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepOutcome {
    /// The platform refused.
    Refused(Failure),
    /// The request was accepted, and control did not come.
    Unanswered,
    /// No request was made, because the owner is an app that [never answers one](crate::protocol#request): an inbox
    /// or Meta's AI.
    Futile,
    /// The host has not configured this step.
    NotConfigured,
}

impl fmt::Display for NotGranted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("control was not granted")?;
        if self.steps.is_empty() {
            return f.write_str(": the policy allows nothing to be tried here");
        }
        for (index, tried) in self.steps.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            match &tried.outcome {
                StepOutcome::Refused(failure) => write!(f, "{} was refused ({failure})", tried.step)?,
                StepOutcome::Unanswered => write!(f, "{} stayed unanswered", tried.step)?,
                StepOutcome::Futile => {
                    write!(f, "{} is futile: the owner is an app that never answers it", tried.step)?;
                }
                StepOutcome::NotConfigured => write!(f, "{} is not configured", tried.step)?,
            }
        }
        match self.remedy() {
            Some(remedy) => write!(f, ". {remedy}"),
            None => Ok(()),
        }
    }
}

impl NotGranted {
    /// The change, by a Page admin or another person, with which the next claim can succeed.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        let refused = |step| {
            self.steps.iter().find_map(|tried| match &tried.outcome {
                StepOutcome::Refused(failure) if step == tried.step => Some(failure),
                _ => None,
            })
        };
        let outcome = |outcome| self.steps.iter().any(|tried| tried.outcome == outcome);
        match (refused(ClaimStep::Request), refused(ClaimStep::Take)) {
            (Some(failure), _) | (_, Some(failure)) if failure.kind == FailureKind::Token => {
                Some(failure.remedy())
            }
            (_, Some(take)) if take.code == Some(27) => Some(take.remedy()),
            (_, Some(take)) if take.kind.means_not_available() => Some(
                "A Page admin can let this app take control, or make it the default application, under Page \
                 settings, Conversation routing",
            ),
            (Some(request), _) if request.kind.means_not_available() => Some(
                "Where a default application is set request_thread_control does not exist: a Page admin can let \
                 this app take control under Page settings, Conversation routing",
            ),
            _ if outcome(StepOutcome::Futile) => Some(
                "A person can take over in Meta Business Suite and move the conversation, or a Page admin can set \
                 a default application under Page settings, Conversation routing",
            ),
            _ if outcome(StepOutcome::Unanswered) => Some(
                "The owner of the thread has to answer requests with pass_thread_control: check that its \
                 webhook is subscribed to messaging_handovers",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case<'a> = (&'a [(ClaimStep, &'a StepOutcome)], Option<&'a str>);

    /// An agent reads the remedy, so it follows from the most certain cause.
    #[test]
    fn the_remedy_is_that_of_the_most_certain_cause() {
        let refused = |kind, code| {
            let mut failure = Failure::new(kind, "");
            failure.code = code;
            StepOutcome::Refused(failure)
        };
        let remedy = |steps: &[(ClaimStep, &StepOutcome)]| {
            let tried = |(step, outcome): &(ClaimStep, &StepOutcome)| TriedStep {
                step: *step,
                outcome: (*outcome).clone(),
            };
            NotGranted { steps: steps.iter().map(tried).collect() }.remedy()
        };
        let (request, take) = (ClaimStep::Request, ClaimStep::Take);
        let not_here = refused(FailureKind::NotAvailable, None);
        let no_routing = refused(FailureKind::NotAvailable, Some(27));
        let token = refused(FailureKind::Token, Some(190));
        let owned = refused(FailureKind::NotThreadOwner, None);
        let cases: [Case<'_>; 12] = [
            (&[(request, &token), (take, &no_routing)], Some("access token")),
            (&[(request, &not_here), (take, &token)], Some("access token")),
            (&[(request, &owned), (take, &no_routing)], Some("needs a default application")),
            (&[(request, &not_here), (take, &not_here)], Some("or make it the default application")),
            (&[(request, &not_here)], Some("request_thread_control does not exist")),
            (&[(request, &not_here), (take, &owned)], Some("request_thread_control does not exist")),
            (&[(request, &owned), (take, &not_here)], Some("or make it the default application")),
            (&[(request, &StepOutcome::Futile)], Some("Meta Business Suite")),
            (&[(request, &StepOutcome::Futile), (take, &owned)], Some("Meta Business Suite")),
            (&[(request, &StepOutcome::Unanswered)], Some("subscribed to messaging_handovers")),
            (&[(request, &owned), (take, &owned)], None),
            (&[], None),
        ];
        for (steps, expected) in cases {
            let remedy = remedy(steps);
            let holds = remedy.zip(expected).is_some_and(|(remedy, words)| remedy.contains(words));
            assert!(holds || remedy.is_none() && expected.is_none(), "{steps:?}: {remedy:?}");
        }
    }
}
