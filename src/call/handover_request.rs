//! Requests to Engage Digital's [handover endpoint](crate::protocol#ed-bots-endpoint).

use std::fmt;

use super::Direction;
use crate::id::{AppId, UserId};

/// The `type` parameter: the kind of conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChannelType {
    /// `messenger`: control moves between Facebook apps.
    Messenger,
    /// `engage_virtual_agent`: Engage Digital's own virtual agent. Meta's thread control is not involved.
    EngageVirtualAgent,
}

/// One request to the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HandoverRequest {
    /// The `from` and `to` parameters.
    pub direction: Direction,
    /// `identity_foreign_id`: the customer's PSID. Only requests of the virtual agent may lack it.
    pub identity: Option<UserId>,
    /// `type`.
    pub channel: ChannelType,
    /// `app_id`: the bot's app, which gets control. Required from agent to bot on Messenger.
    pub app: Option<AppId>,
    /// `intervention_id`, used by the virtual agent.
    pub intervention_id: Option<String>,
    /// `thread_category_ids[]`: the new categories of Engage Digital's thread.
    pub thread_category_ids: Vec<String>,
    /// `trigger`: used by the virtual agent's handover rules.
    pub trigger: Option<String>,
}

impl HandoverRequest {
    /// A request for a person: `from=bot&to=agent`.
    #[must_use]
    pub fn bot_to_agent(identity: UserId) -> Self {
        Self::new(Direction::BotToAgent, identity, None)
    }

    /// A request of control for the bot `app`: `from=agent&to=bot`.
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
