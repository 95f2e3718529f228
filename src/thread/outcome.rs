//! How answers and claims end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::call::{Failure, FailureKind};
use crate::id::MessageId;
use crate::policy::ClaimStep;

/// Why an answer was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailReason {
    /// Control could not be had.
    #[error("{0}")]
    NotGranted(NotGranted),
    /// The platform says that the messaging window is closed until the customer writes again (facts §2.8).
    #[error("{0}")]
    OutsideWindow(Failure),
    /// This person cannot be reached.
    #[error("{0}")]
    RecipientUnavailable(Failure),
    /// The platform refused the message for good, for any other reason.
    #[error("{0}")]
    Rejected(Failure),
    /// It was older than [`super::Timeouts::answer_age`].
    #[error("the answer waited too long")]
    Expired,
    /// People got busy with the customer while the bot's answer waited.
    #[error("people are busy with the customer")]
    WithPeople,
    /// The host took it back.
    #[error("cancelled")]
    Cancelled,
}

impl FailReason {
    /// What a failure of the platform's means for an answer.
    pub(super) fn refused(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::OutsideWindow => Self::OutsideWindow(failure),
            FailureKind::RecipientUnavailable => Self::RecipientUnavailable(failure),
            _ => Self::Rejected(failure),
        }
    }
}

/// Why no echo tells whether an answer arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoEcho {
    /// It could come, and did not within [`super::Timeouts::echo_grace`]. It may still, and then the answer
    /// ends as delivered.
    #[error("its echo did not come")]
    Overdue,
    /// Control left with the answer or right after it, and the platform keeps the echo back from an app that
    /// has no control any more (facts §4.8).
    #[error("control left, so its echo may never come")]
    ControlLeft,
    /// The app is not subscribed to `message_echoes` ([`super::Config::echoes`]).
    #[error("echoes are not subscribed")]
    NotSubscribed,
    /// It was sent again ([`super::OnUnknown::Resend`]) and failed then; the first one may have arrived.
    #[error("it was sent again and failed, and the first one may have arrived")]
    SentAgain,
}

/// Where an answer stands, asked for by its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MessageStatus {
    /// Not settled yet.
    Waiting,
    /// It reached the platform.
    Sent {
        /// The platform's id, where it told.
        mid: Option<MessageId>,
        /// The customer may read it twice.
        maybe_doubled: bool,
    },
    /// It was certainly not sent.
    Failed(FailReason),
    /// It may or may not have arrived.
    Unknown(NoEcho),
    /// It was sent, or may have been, before [`super::Limits::finished`] others: how is not remembered any more.
    Settled,
}

/// Control could not be had: each step tried, the platform's words, and who can change it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub struct NotGranted {
    /// What was tried, in order.
    pub steps: Vec<TriedStep>,
}

/// One step of a claim and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TriedStep {
    /// What was tried.
    pub step: ClaimStep,
    /// How it ended.
    pub outcome: StepOutcome,
}

/// How a step of a claim ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepOutcome {
    /// The platform refused.
    Refused(Failure),
    /// It was accepted, and nothing came of it.
    Unanswered,
    /// The owner is an app that never answers a request, such as an inbox or Meta's AI, so none was made
    /// (facts §2.7).
    Futile,
    /// The host has not configured what it needs.
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
    /// What a Page admin, or somebody else, can change so that the next claim succeeds.
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
                "Whoever owns the thread has to answer requests with pass_thread_control: check that its \
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

    /// Why control was not granted is read by an agent: the most certain cause has the word.
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
