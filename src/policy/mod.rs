//! Policies: which app is primary on a Page, and which calls an app may make to get control. Pure tables, without
//! I/O.

mod plan;

pub use plan::{Believed, ClaimStep, Condition, PlannedStep, Refused, Situation, plan};

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The app that answers first on a Page, as its admin set it: the primary receiver of the [handover
/// protocol](crate::protocol#handover-protocol), or the default application of [Conversation
/// Routing](crate::protocol#routing).
///
/// Configuration files write it as `bot_primary`, `ed_primary` or `no_primary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadControlPolicy {
    /// The bot's app is primary: an agent's app requests control, and the bot passes it.
    BotPrimary,
    /// Engage Digital's app is primary: it takes control when an agent wants to answer.
    EdPrimary,
    /// No app is primary: threads are idle until an app asks for control.
    NoPrimary,
}

impl ThreadControlPolicy {
    /// All policies.
    pub const ALL: [Self; 3] = [Self::BotPrimary, Self::EdPrimary, Self::NoPrimary];

    /// The policy's name in configuration files.
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

/// The text names no policy. Use `bot_primary`, `ed_primary` or `no_primary`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown thread control policy {0:?}: expected bot_primary, ed_primary or no_primary")]
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

/// The host's side of the handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A bot, which answers by itself while it has control.
    Bot,
    /// An agent desk, where people answer: [Engage Digital](crate::protocol#engage-digital), for example.
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
