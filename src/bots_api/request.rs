//! Reads and writes the query of a Bots API call.

use crate::call::{ChannelType, Direction, HandoverRequest};
use crate::id::{AppId, UserId};

/// The reason why a query is not a valid call. Never holds the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// A required parameter is missing or empty: add it.
    #[error("parameter {0} is missing")]
    Missing(&'static str),
    /// A parameter has an invalid value: correct it.
    #[error("parameter {name} must be {expected}")]
    Value {
        /// The parameter's name.
        name: &'static str,
        /// The valid values, in words.
        expected: &'static str,
    },
    /// A parameter is given twice with different values: remove one.
    #[error("parameter {0} is given twice")]
    Twice(&'static str),
    /// `from` and `to` are the same: one must be `bot`, the other `agent`.
    #[error("parameters from and to must differ")]
    SameSides,
}

impl HandoverRequest {
    /// Parses the query of a call. Unknown parameters are ignored.
    ///
    /// # Errors
    /// [`InvalidRequest`] names the invalid parameter: refuse the call.
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

    /// Writes the call's query, without the token.
    #[must_use]
    pub fn to_query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.to_pairs()).finish()
    }

    /// The call's parameters, without the token.
    pub(super) fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let (from, to) = match self.direction {
            Direction::BotToAgent => ("bot", "agent"),
            Direction::AgentToBot => ("agent", "bot"),
        };
        let of = |name, value: Option<String>| value.map(|value| (name, value));
        let mut pairs =
            Vec::from_iter(of("identity_foreign_id", self.identity.as_ref().map(UserId::to_string)));
        let sides = [("from", from.to_owned()), ("to", to.to_owned()), ("type", self.channel.to_string())];
        pairs.extend(sides);
        pairs.extend(of("app_id", self.app.as_ref().map(AppId::to_string)));
        pairs.extend(of("intervention_id", self.intervention_id.clone()));
        pairs.extend(
            self.thread_category_ids.iter().map(|category| ("thread_category_ids[]", category.clone())),
        );
        pairs.extend(of("trigger", self.trigger.clone()));
        pairs
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
            assert_eq!(HandoverRequest::from_query(&request.to_query()), Ok(request));
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
