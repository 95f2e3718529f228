//! The claim plan: the steps to get control, for each role, policy and owner.

use serde::{Deserialize, Serialize};

use super::{Role, ThreadControlPolicy};

/// One step of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClaimStep {
    /// `request_thread_control`. Success means that the request was [forwarded](crate::protocol#request), not that
    /// control was granted.
    Request,
    /// `take_thread_control`.
    Take,
    /// `pass_thread_control` to our own app, which gives control of an idle thread [without a default
    /// application](crate::protocol#pass).
    PassToSelf,
    /// Engage Digital's endpoint, `from=agent&to=bot`.
    AskDesk,
    /// `GET thread_owner`: read the owner before the next step.
    ReadOwner,
}

impl std::fmt::Display for ClaimStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Request => "request_thread_control",
            Self::Take => "take_thread_control",
            Self::PassToSelf => "pass_thread_control to ourselves",
            Self::AskDesk => "asking the desk (agent to bot)",
            Self::ReadOwner => "thread_owner",
        })
    }
}

/// The condition of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The steps before it did not give control.
    Always,
    /// `request` was refused as not available on this Page. An unanswered request does not count.
    RequestNotAvailable,
}

/// A step of a plan with its condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlannedStep {
    /// The step.
    pub step: ClaimStep,
    /// Its condition.
    pub condition: Condition,
}

/// The owner as the table sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Believed {
    /// Not known.
    Unknown,
    /// No app.
    Idle,
    /// Our own app.
    Us,
    /// The agent desk, as a bot sees it.
    Desk,
    /// Another app: a bot, an inbox, Meta's AI, or a hidden one.
    Other,
}

/// The calls that this Page has refused as not available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Refused {
    /// `request_thread_control` was refused.
    pub request: bool,
    /// `take_thread_control` was refused.
    pub take: bool,
}

/// The row and column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Situation {
    /// The host's side of the handover.
    pub role: Role,
    /// The policy of the Page.
    pub policy: ThreadControlPolicy,
    /// The believed owner.
    pub owner: Believed,
    /// The calls that the Page has refused.
    pub refused: Refused,
    /// Whether a bot takes control even from the desk
    /// ([`Config::take_from_desk`](crate::thread::Config::take_from_desk)).
    pub take_from_desk: bool,
}

/// The claim plan for a situation: the steps to get control, in order.
///
/// An empty plan means that control is ours already, or that no step is allowed.
#[must_use]
#[allow(clippy::match_same_arms, reason = "a table: one row a cell")]
pub fn plan(situation: Situation) -> Vec<PlannedStep> {
    use Believed::{Desk, Idle, Other, Unknown, Us};
    use ClaimStep::{AskDesk, PassToSelf, ReadOwner, Request, Take};
    use Condition::{Always, RequestNotAvailable};
    use ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};

    let Situation { role, policy, owner, refused, take_from_desk } = situation;
    let steps: &[(ClaimStep, Condition)] = match (role, policy, owner) {
        (_, _, Us) => &[],

        // A hidden owner counts as an owner, because a take could be theft. With an unknown owner a refusal may mean
        // that control is ours already, so the owner is read.
        (Role::Desk, BotPrimary | NoPrimary, Desk | Other) => {
            &[(Request, Always), (Take, RequestNotAvailable)]
        }
        (Role::Desk, BotPrimary | NoPrimary, Unknown) => {
            &[(Request, Always), (ReadOwner, Always), (Take, RequestNotAvailable)]
        }
        (Role::Desk, BotPrimary | NoPrimary, Idle) => {
            &[(Request, Always), (Take, Always), (PassToSelf, Always)]
        }
        (Role::Desk, EdPrimary, Desk | Other) => &[(Take, Always), (Request, Always)],
        (Role::Desk, EdPrimary, Unknown) => &[(Take, Always), (ReadOwner, Always), (Request, Always)],
        (Role::Desk, EdPrimary, Idle) => &[(Take, Always), (Request, Always), (PassToSelf, Always)],

        (Role::Bot, BotPrimary, Desk) if take_from_desk => &[(Take, Always)],
        (Role::Bot, BotPrimary, Desk) => &[],
        (Role::Bot, BotPrimary, Idle) => &[(Take, Always), (Request, Always), (PassToSelf, Always)],
        (Role::Bot, BotPrimary, Other) => &[(Take, Always), (Request, Always)],
        (Role::Bot, BotPrimary, Unknown) => &[(ReadOwner, Always), (Request, Always)],
        (Role::Bot, EdPrimary, Desk | Other | Unknown) => &[(AskDesk, Always)],
        (Role::Bot, EdPrimary, Idle) => &[(AskDesk, Always), (Request, Always)],
        (Role::Bot, NoPrimary, Desk) => &[(AskDesk, Always)],
        (Role::Bot, NoPrimary, Idle) => &[(Request, Always), (Take, Always), (PassToSelf, Always)],
        // A request is granted at once if the thread turns out to be idle, and takes nothing if not.
        (Role::Bot, NoPrimary, Other) => &[(Request, Always)],
        (Role::Bot, NoPrimary, Unknown) => &[(Request, Always), (ReadOwner, Always)],
    };
    steps
        .iter()
        .filter(|(step, _)| match step {
            Request => !refused.request,
            Take => !refused.take,
            _ => true,
        })
        .map(|&(step, condition)| PlannedStep {
            step,
            condition: if refused.request { Always } else { condition },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Believed::{Desk, Idle, Other, Unknown, Us};
    use ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};

    /// The plans with nothing refused, request refused, take refused, and both refused.
    type Row = (Role, ThreadControlPolicy, Believed, [&'static str; 4]);

    /// The whole table. `take?` is a take only if request is not available.
    #[rustfmt::skip]
    const TABLE: [Row; 30] = [
        (Role::Desk, BotPrimary, Unknown, ["request look take?", "look take", "request look", "look"]),
        (Role::Desk, BotPrimary, Idle, ["request take self", "take self", "request self", "self"]),
        (Role::Desk, BotPrimary, Us, ["", "", "", ""]),
        (Role::Desk, BotPrimary, Desk, ["request take?", "take", "request", ""]),
        (Role::Desk, BotPrimary, Other, ["request take?", "take", "request", ""]),
        (Role::Desk, EdPrimary, Unknown, ["take look request", "take look", "look request", "look"]),
        (Role::Desk, EdPrimary, Idle, ["take request self", "take self", "request self", "self"]),
        (Role::Desk, EdPrimary, Us, ["", "", "", ""]),
        (Role::Desk, EdPrimary, Desk, ["take request", "take", "request", ""]),
        (Role::Desk, EdPrimary, Other, ["take request", "take", "request", ""]),
        (Role::Desk, NoPrimary, Unknown, ["request look take?", "look take", "request look", "look"]),
        (Role::Desk, NoPrimary, Idle, ["request take self", "take self", "request self", "self"]),
        (Role::Desk, NoPrimary, Us, ["", "", "", ""]),
        (Role::Desk, NoPrimary, Desk, ["request take?", "take", "request", ""]),
        (Role::Desk, NoPrimary, Other, ["request take?", "take", "request", ""]),
        (Role::Bot, BotPrimary, Unknown, ["look request", "look", "look request", "look"]),
        (Role::Bot, BotPrimary, Idle, ["take request self", "take self", "request self", "self"]),
        (Role::Bot, BotPrimary, Us, ["", "", "", ""]),
        (Role::Bot, BotPrimary, Desk, ["", "", "", ""]),
        (Role::Bot, BotPrimary, Other, ["take request", "take", "request", ""]),
        (Role::Bot, EdPrimary, Unknown, ["ask", "ask", "ask", "ask"]),
        (Role::Bot, EdPrimary, Idle, ["ask request", "ask", "ask request", "ask"]),
        (Role::Bot, EdPrimary, Us, ["", "", "", ""]),
        (Role::Bot, EdPrimary, Desk, ["ask", "ask", "ask", "ask"]),
        (Role::Bot, EdPrimary, Other, ["ask", "ask", "ask", "ask"]),
        (Role::Bot, NoPrimary, Unknown, ["request look", "look", "request look", "look"]),
        (Role::Bot, NoPrimary, Idle, ["request take self", "take self", "request self", "self"]),
        (Role::Bot, NoPrimary, Us, ["", "", "", ""]),
        (Role::Bot, NoPrimary, Desk, ["ask", "ask", "ask", "ask"]),
        (Role::Bot, NoPrimary, Other, ["request", "", "request", ""]),
    ];

    const REFUSALS: [Refused; 4] = [
        Refused { request: false, take: false },
        Refused { request: true, take: false },
        Refused { request: false, take: true },
        Refused { request: true, take: true },
    ];

    fn words(situation: Situation) -> String {
        let words: Vec<_> = plan(situation)
            .into_iter()
            .map(|planned| match (planned.step, planned.condition) {
                (ClaimStep::Request, _) => "request",
                (ClaimStep::Take, Condition::Always) => "take",
                (ClaimStep::Take, Condition::RequestNotAvailable) => "take?",
                (ClaimStep::PassToSelf, _) => "self",
                (ClaimStep::AskDesk, _) => "ask",
                (ClaimStep::ReadOwner, _) => "look",
            })
            .collect();
        words.join(" ")
    }

    #[test]
    fn every_cell_of_the_table() {
        let mut seen = std::collections::BTreeSet::new();
        for (role, policy, owner, expected) in TABLE {
            for (refused, expected) in REFUSALS.into_iter().zip(expected) {
                let situation = Situation { role, policy, owner, refused, take_from_desk: false };
                assert_eq!(words(situation), expected, "{situation:?}");
            }
            assert!(seen.insert((role, policy, owner)), "a row stands twice");
        }
        assert_eq!(seen.len(), 2 * 3 * 5, "no row is missing");
    }

    #[test]
    fn a_bot_takes_from_people_only_where_its_host_insists() {
        for policy in ThreadControlPolicy::ALL {
            for owner in [Unknown, Idle, Us, Desk, Other] {
                let situation = |take_from_desk| Situation {
                    role: Role::Bot,
                    policy,
                    owner,
                    refused: Refused::default(),
                    take_from_desk,
                };
                if (policy, owner) == (BotPrimary, Desk) {
                    assert_eq!(words(situation(true)), "take");
                } else {
                    assert_eq!(words(situation(true)), words(situation(false)), "{policy} {owner:?}");
                }
            }
        }
    }
}
