//! The states of a person and of a Page in which Graph refuses calls.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fanout::{Channel, Delivery};
use super::{ApiCall, GraphError, InvalidAct, Platform, PolicyKey};
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

/// Whether a Page can reach a person ([person](messenger_handover::protocol#error-codes)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Availability {
    /// The Page can reach the person.
    #[default]
    Available,
    /// Code 200 with HTTP 403 and the sentence "isn't receiving messages": the person blocked the Page.
    Blocked,
    /// Code 10 with the same sentence.
    NotReceiving,
    /// Code 551: the person is not available.
    Unavailable,
    /// Code 100 with "Invalid fbid": the id is no person. Messages of the person do not end this state.
    InvalidId,
    /// 100/2534001: the conversation is archived or deleted.
    Archived,
}

impl Availability {
    fn refusal(self) -> Option<GraphError> {
        let not_receiving =
            |code: i64| format!("(#{code}) This person isn't receiving messages from you right now.");
        Some(match self {
            Self::Available => return None,
            Self::Blocked => GraphError { status: 403, ..GraphError::new(200, None, not_receiving(200)) },
            Self::NotReceiving => GraphError::new(10, None, not_receiving(10)),
            Self::Unavailable => GraphError::new(551, None, "(#551) This person isn't available right now."),
            Self::InvalidId => GraphError::new(100, None, "(#100) Invalid fbid."),
            Self::Archived => GraphError::new(
                100,
                Some(2_534_001),
                "(#100) The thread owner has archived or deleted this conversation, or the thread does not exist.",
            ),
        })
    }
}

/// A restriction of a Page, under which its messages are refused ([codes](messenger_handover::protocol#error-codes)). The wordings
/// are assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Restriction {
    /// Code 368: blocked for policy.
    PolicyBlock,
    /// 10/1893063: temporarily restricted.
    Temporary,
    /// 100/2534029: messaging restricted. Inferred from one vendor's table.
    Messaging,
}

impl Restriction {
    fn refusal(self) -> GraphError {
        match self {
            Self::PolicyBlock => GraphError::new(
                368,
                None,
                "(#368) The action attempted has been deemed abusive or is otherwise disallowed",
            ),
            Self::Temporary => GraphError::new(
                10,
                Some(1_893_063),
                "(#10) This Page is temporarily restricted from sending messages.",
            ),
            Self::Messaging => {
                GraphError::new(100, Some(2_534_029), "(#100) Messaging is restricted for this account.")
            }
        }
    }
}

/// The action of a policy enforcement, which Meta's page on `messaging_policy_enforcement` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PolicyAction {
    /// Meta warns the Page.
    Warning,
    /// Meta blocks the Page.
    Block,
    /// Meta lifts the block.
    Unblock,
}

impl PolicyAction {
    /// The name in the webhook.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Block => "block",
            Self::Unblock => "unblock",
        }
    }
}

impl Platform {
    /// Sets whether a Page can reach a person, and adds the person to those of the Page. Inferred: a later message of the person
    /// makes them available again, because it shows that they did not block the Page. Does nothing if there is no such Page.
    pub fn set_availability(&mut self, page: &PageId, user: &UserId, availability: Availability) {
        let Some(page) = Arc::make_mut(&mut self.pages).get_mut(page) else { return };
        page.people.entry(user.clone()).or_default();
        if availability == Availability::Available {
            page.unreachable.remove(user);
        } else {
            page.unreachable.insert(user.clone(), availability);
        }
    }

    /// Whether a Page can reach a person.
    #[must_use]
    pub fn availability(&self, page: &PageId, user: &UserId) -> Availability {
        let state = self.pages.get(page).and_then(|page| page.unreachable.get(user));
        state.copied().unwrap_or_default()
    }

    /// Ends the states that a message of the person disproves.
    pub(super) fn reached_by(&mut self, key: &ThreadKey) {
        let state = self.availability(&key.page, &key.user);
        if state != Availability::Available && state != Availability::InvalidId {
            self.set_availability(&key.page, &key.user, Availability::Available);
        }
    }

    /// Restricts a Page, or lifts its restriction. Does nothing if there is no such Page.
    pub fn set_restriction(&mut self, page: &PageId, restriction: Option<Restriction>) {
        if let Some(page) = Arc::make_mut(&mut self.pages).get_mut(page) {
            page.restriction = restriction;
        }
    }

    /// Sets whether [`thread_owner`](messenger_handover::protocol#thread-owner) answers error 100 on a Page, as one source
    /// observed. Does nothing if there is no such Page.
    pub fn set_hides_thread_owner(&mut self, page: &PageId, hides: bool) {
        if let Some(page) = Arc::make_mut(&mut self.pages).get_mut(page) {
            page.hides_thread_owner = hides;
        }
    }

    /// The refusal of a call about a person, whatever its caller owns. A person's state refuses messages, requests and takes, as
    /// was reported, and a Page's restriction refuses messages. Inferred: other calls pass, and the refusal comes before control
    /// and window are checked.
    pub(super) fn may_call(&self, key: &ThreadKey, call: &ApiCall) -> Result<(), GraphError> {
        let Some(page) = self.pages.get(&key.page) else { return Ok(()) };
        match call {
            // The code is observed by one source, the words are assumed (docs/protocol.md#thread-owner).
            ApiCall::ThreadOwner { .. } if page.hides_thread_owner => {
                return Err(GraphError::new(
                    100,
                    None,
                    "(#100) Tried accessing nonexisting field (thread_owner)",
                ));
            }
            ApiCall::Take { .. } | ApiCall::Request { .. } => {}
            ApiCall::Send { .. } | ApiCall::SenderAction { .. } => {
                if let Some(restriction) = page.restriction {
                    return Err(restriction.refusal());
                }
            }
            _ => return Ok(()),
        }
        self.availability(&key.page, &key.user).refusal().map_or(Ok(()), Err)
    }

    /// Meta enforces its policy on a Page: every app with the field `messaging_policy_enforcement` gets the event, which names
    /// nobody. Inferred: a block restricts the Page with code 368, and its end lifts every restriction. Does nothing if there is
    /// no such Page.
    ///
    /// # Errors
    /// [`InvalidAct::MessengerOnly`] for an Instagram account, which has no such field.
    pub fn enforce_policy(
        &mut self,
        page: &PageId,
        action: PolicyAction,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<(), InvalidAct> {
        if self.is_instagram(page) {
            return Err(InvalidAct::MessengerOnly("a policy enforcement"));
        }
        match action {
            PolicyAction::Warning => {}
            PolicyAction::Block => self.set_restriction(page, Some(Restriction::PolicyBlock)),
            PolicyAction::Unblock => self.set_restriction(page, None),
        }
        let mut body = json!({"action": action.name()});
        // Absent with `unblock`, as documented.
        if let Some(reason) = reason.filter(|_| action != PolicyAction::Unblock) {
            body["reason"] = json!(reason);
        }
        let key = match self.switches.policy_key {
            PolicyKey::Underscore => "policy_enforcement",
            PolicyKey::Hyphen => "policy-enforcement",
        };
        let item = json!({"recipient": {"id": page}, "timestamp": now.as_millis(), key: body});
        let apps: Vec<AppId> =
            self.pages.get(page).map(|page| page.apps.iter().cloned().collect()).unwrap_or_default();
        for app in apps {
            let (page, channel, label, item) =
                (page.clone(), Channel::Messaging, "policy_enforcement", item.clone());
            self.push(Delivery { app, page, user: None, channel, label, item, hop_context: None, at: now });
        }
        Ok(())
    }
}
