use std::fmt;

use url::form_urlencoded;

use crate::call::Direction;
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

/// Why a query is no valid call. Never holds the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// A required parameter is not there, or is empty.
    #[error("parameter {0} is missing")]
    Missing(&'static str),
    /// A parameter has a value that is not known.
    #[error("parameter {name} must be {expected}")]
    Value {
        /// Which.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A parameter stands twice with different values.
    #[error("parameter {0} is given twice")]
    Twice(&'static str),
    /// `from` and `to` are the same.
    #[error("parameters from and to must differ")]
    SameSides,
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

    /// Reads the query of a call. Parameters of other names are ignored.
    ///
    /// # Errors
    /// [`InvalidRequest`] says which parameter is wrong; nothing may be done then.
    pub fn from_query(query: &str) -> Result<Self, InvalidRequest> {
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let one = |name: &'static str| -> Result<Option<&str>, InvalidRequest> {
            let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.trim());
            let first = values.next();
            if values.any(|value| Some(value) != first) {
                return Err(InvalidRequest::Twice(name));
            }
            Ok(first.filter(|value| !value.is_empty()))
        };
        let side = |name| match one(name)? {
            None => Err(InvalidRequest::Missing(name)),
            Some("bot") => Ok(true),
            Some("agent") => Ok(false),
            Some(_) => Err(InvalidRequest::Value { name, expected: "bot or agent" }),
        };
        let direction = match (side("from")?, side("to")?) {
            (true, false) => Direction::BotToAgent,
            (false, true) => Direction::AgentToBot,
            _ => return Err(InvalidRequest::SameSides),
        };
        let channel = match one("type")? {
            None => return Err(InvalidRequest::Missing("type")),
            Some("messenger") => ChannelType::Messenger,
            Some("engage_virtual_agent") => ChannelType::EngageVirtualAgent,
            Some(_) => {
                let expected = "messenger or engage_virtual_agent";
                return Err(InvalidRequest::Value { name: "type", expected });
            }
        };
        let expected = "an id of 1 to 256 bytes without control characters";
        let not_an_id = |name| move |_| InvalidRequest::Value { name, expected };
        let name = "identity_foreign_id";
        let identity = one(name)?.map(UserId::new).transpose().map_err(not_an_id(name))?;
        let app = one("app_id")?.map(AppId::new).transpose().map_err(not_an_id("app_id"))?;
        if channel == ChannelType::Messenger {
            if identity.is_none() {
                return Err(InvalidRequest::Missing(name));
            }
            if direction == Direction::AgentToBot && app.is_none() {
                return Err(InvalidRequest::Missing("app_id"));
            }
        }
        let categories = pairs.iter().filter(|(key, _)| key == "thread_category_ids[]");
        Ok(Self {
            direction,
            identity,
            channel,
            app,
            intervention_id: one("intervention_id")?.map(str::to_owned),
            thread_category_ids: categories.map(|(_, value)| value.clone().into_owned()).collect(),
            trigger: one("trigger")?.map(str::to_owned),
        })
    }

    /// Writes the call's parameters, without the token.
    pub fn write_query<T: form_urlencoded::Target>(&self, query: &mut form_urlencoded::Serializer<'_, T>) {
        let (from, to) = match self.direction {
            Direction::BotToAgent => ("bot", "agent"),
            Direction::AgentToBot => ("agent", "bot"),
        };
        if let Some(identity) = &self.identity {
            query.append_pair("identity_foreign_id", &identity.to_string());
        }
        query.append_pair("from", from).append_pair("to", to).append_pair("type", &self.channel.to_string());
        if let Some(app) = &self.app {
            query.append_pair("app_id", &app.to_string());
        }
        if let Some(intervention) = &self.intervention_id {
            query.append_pair("intervention_id", intervention);
        }
        for category in &self.thread_category_ids {
            query.append_pair("thread_category_ids[]", category);
        }
        if let Some(trigger) = &self.trigger {
            query.append_pair("trigger", trigger);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_reads_back_what_it_writes() {
        let (user, app) = (UserId::new("12 3&x").unwrap(), AppId::from(42));
        let mut full = HandoverRequest::agent_to_bot(user.clone(), app);
        full.thread_category_ids = vec!["a".into(), "b".into()];
        full.trigger = Some("sale".into());
        full.intervention_id = Some("5f".into());
        for request in [HandoverRequest::bot_to_agent(user), full] {
            let mut query = form_urlencoded::Serializer::new(String::new());
            request.write_query(&mut query);
            assert_eq!(HandoverRequest::from_query(&query.finish()), Ok(request));
        }
    }

    #[test]
    fn each_wrong_parameter_is_named() {
        use InvalidRequest::{Missing, SameSides, Twice};
        let value = |name| move |found| matches!(found, InvalidRequest::Value { name: n, .. } if n == name);
        let good = "identity_foreign_id=7&from=agent&to=bot&type=messenger&app_id=9";
        assert!(HandoverRequest::from_query(good).is_ok());
        for (query, expected) in [
            ("from=bot&to=agent&type=messenger", Missing("identity_foreign_id")),
            ("identity_foreign_id=&from=bot&to=agent&type=messenger", Missing("identity_foreign_id")),
            ("identity_foreign_id=7&to=agent&type=messenger", Missing("from")),
            ("identity_foreign_id=7&from=bot&type=messenger", Missing("to")),
            ("identity_foreign_id=7&from=bot&to=agent", Missing("type")),
            ("identity_foreign_id=7&from=agent&to=bot&type=messenger", Missing("app_id")),
            ("identity_foreign_id=7&from=bot&to=bot&type=messenger", SameSides),
            ("identity_foreign_id=7&from=bot&from=agent&to=bot&type=messenger", Twice("from")),
            ("", Missing("from")),
        ] {
            assert_eq!(HandoverRequest::from_query(query), Err(expected), "{query}");
        }
        for (query, name) in [
            ("identity_foreign_id=7&from=human&to=agent&type=messenger", "from"),
            ("identity_foreign_id=7&from=bot&to=Agent&type=messenger", "to"),
            ("identity_foreign_id=7&from=bot&to=agent&type=whatsapp", "type"),
            ("identity_foreign_id=%00&from=bot&to=agent&type=messenger", "identity_foreign_id"),
            ("identity_foreign_id=7&from=agent&to=bot&type=messenger&app_id=1%0a1", "app_id"),
        ] {
            assert!(value(name)(HandoverRequest::from_query(query).unwrap_err()), "{query}");
        }
    }

    #[test]
    fn the_virtual_agent_needs_no_identity_and_unknown_names_are_ignored() {
        let query = "type=engage_virtual_agent&from=agent&to=bot&intervention_id=5&later=1&access_token=t";
        let request = HandoverRequest::from_query(query).unwrap();
        assert_eq!(request.identity, None);
        assert_eq!(request.intervention_id.as_deref(), Some("5"));
    }
}
