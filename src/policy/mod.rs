//! What to try, in which order, to be allowed to answer: a pure table.

mod plan;

pub use plan::{Believed, ClaimStep, Condition, PlannedStep, Refused, Situation, plan};

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which app answers first on the Page, as its admin set it: the primary receiver of the handover
/// protocol, or the default application of Conversation Routing (facts §1, §2).
///
/// It can sit in a configuration file: `bot_primary`, `ed_primary`, `no_primary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadControlPolicy {
    /// The bot's app is primary: an agent requests control, the bot passes it.
    BotPrimary,
    /// Engage Digital's app is primary: it takes control when an agent wants to answer.
    EdPrimary,
    /// No app is primary: threads are idle until an app asks for control.
    NoPrimary,
}

impl ThreadControlPolicy {
    /// All policies.
    pub const ALL: [Self; 3] = [Self::BotPrimary, Self::EdPrimary, Self::NoPrimary];

    /// The policy as it is written in configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BotPrimary => "bot_primary",
            Self::EdPrimary => "ed_primary",
            Self::NoPrimary => "no_primary",
        }
    }
}

impl fmt::Display for ThreadControlPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no thread control policy is called {0:?}: it is bot_primary, ed_primary or no_primary")]
pub struct UnknownPolicy(String);

impl FromStr for ThreadControlPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let wanted = text.trim().replace('-', "_").to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|policy| policy.as_str() == wanted)
            .ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

/// Which side of the handover the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An automaton that answers while it has control.
    Bot,
    /// The agent desk: people answer. Engage Digital in the seed page.
    Desk,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_back_what_it_writes() {
        for policy in ThreadControlPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
            let json = serde_json::to_string(&policy).unwrap();
            assert_eq!(json, format!("\"{policy}\""));
            assert_eq!(serde_json::from_str::<ThreadControlPolicy>(&json).unwrap(), policy);
        }
        assert_eq!("Bot-Primary".parse(), Ok(ThreadControlPolicy::BotPrimary));
        assert!("primary".parse::<ThreadControlPolicy>().unwrap_err().to_string().contains("\"primary\""));
    }
}
