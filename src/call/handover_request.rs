//! A call of Engage Digital's endpoint.

use std::fmt;

use super::Direction;
use crate::id::{AppId, UserId};

/// The `type` of a call: where the conversation takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChannelType {
    /// `messenger`: thread control is moved between Facebook apps.
    Messenger,
    /// `engage_virtual_agent`: ED's own virtual agent. No thread control of Meta is involved.
    EngageVirtualAgent,
}

/// One call of the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HandoverRequest {
    /// `from` and `to`.
    pub direction: Direction,
    /// `identity_foreign_id`: the customer, as the Page knows them. Only the virtual agent's calls may
    /// lack it.
    pub identity: Option<UserId>,
    /// `type`.
    pub channel: ChannelType,
    /// `app_id`: the bot's app, which gets control. Always there from agent to bot on Messenger.
    pub app: Option<AppId>,
    /// `intervention_id`, of the virtual agent (facts §8.1).
    pub intervention_id: Option<String>,
    /// `thread_category_ids[]`: recategorises ED's thread.
    pub thread_category_ids: Vec<String>,
    /// `trigger`: of the virtual agent's handover rules.
    pub trigger: Option<String>,
}

impl HandoverRequest {
    /// Asks for a person: `from=bot&to=agent`.
    #[must_use]
    pub fn bot_to_agent(identity: UserId) -> Self {
        Self::new(Direction::BotToAgent, identity, None)
    }

    /// Asks for control for the bot `app`: `from=agent&to=bot`.
    #[must_use]
    pub fn agent_to_bot(identity: UserId, app: AppId) -> Self {
        Self::new(Direction::AgentToBot, identity, Some(app))
    }

    fn new(direction: Direction, identity: UserId, app: Option<AppId>) -> Self {
        Self {
            direction,
            identity: Some(identity),
            channel: ChannelType::Messenger,
            app,
            intervention_id: None,
            thread_category_ids: Vec::new(),
            trigger: None,
        }
    }
}

impl fmt::Display for ChannelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Messenger => "messenger",
            Self::EngageVirtualAgent => "engage_virtual_agent",
        })
    }
}
