//! The customer's reactions to messages.

use serde_json::json;

use super::Platform;
use super::fanout::from_customer;
use messenger_handover::id::{MessageId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

/// The reactions that Meta names, each with its character. Inferred: that an unknown one comes as `other`.
const REACTIONS: [(&str, &str); 7] = [
    ("like", "\u{1f44d}"),
    ("dislike", "\u{1f44e}"),
    ("love", "\u{2764}"),
    ("smile", "\u{1f606}"),
    ("wow", "\u{1f62e}"),
    ("sad", "\u{1f622}"),
    ("angry", "\u{1f620}"),
];

impl Platform {
    /// The customer reacts to a message, or takes the reaction back with `None`. Only apps subscribed to `message_reactions`
    /// get a webhook. Inferred: a reaction neither routes an idle thread nor prolongs control.
    pub fn customer_reacts(
        &mut self,
        page: &PageId,
        user: &UserId,
        mid: &MessageId,
        reaction: Option<&str>,
        now: Timestamp,
    ) {
        let key = ThreadKey::new(page.clone(), user.clone());
        self.lapse(&key, now);
        if let Some(said) = self.said_mut(&key, mid) {
            said.reaction = reaction.map(str::to_owned);
        }
        let mut body = json!({"mid": mid, "action": if reaction.is_some() { "react" } else { "unreact" }});
        if let Some(reaction) = reaction {
            match REACTIONS.iter().find(|(known, _)| *known == reaction) {
                Some((known, emoji)) => (body["reaction"], body["emoji"]) = (json!(known), json!(emoji)),
                None => body["reaction"] = json!("other"),
            }
        }
        let item = from_customer(&key, now, "reaction", &body);
        self.fan_out(&key, None, "reaction", now, |_| item.clone());
    }
}
