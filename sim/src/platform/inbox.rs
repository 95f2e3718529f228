//! People who work in Meta's own Page inbox.

use serde_json::json;

use super::messages::check_message;
use super::{ApiCall, GraphError, Platform, Rules};
use messenger_handover::id::{MessageId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

impl Platform {
    /// A person answers in the Page inbox. Under routing that takes control (facts §2.3), without a
    /// default application too (OBS facts §2.7: people "take over" in Business Suite). Under handover it
    /// takes control where the inbox is the primary receiver or the thread is idle (INF).
    ///
    /// # Errors
    /// [`GraphError`] where the inbox can not take control or the message can not be sent.
    pub fn inbox_replies(
        &mut self,
        page: &PageId,
        user: &UserId,
        text: &str,
        now: Timestamp,
    ) -> Result<MessageId, GraphError> {
        let key = self.known_thread(page, user, now)?;
        let app = self.inbox_of(page);
        let owner = self.holder(&key);
        let (message, tag) = (json!({"text": text}), Some("HUMAN_AGENT"));
        // What cannot be sent takes no control either.
        let sendable = check_message(&message).and_then(|()| self.window_is_open(&app, &key, tag, now));
        sendable.map_err(|refusal| self.traced(refusal))?;
        let may_take = match self.rules(page) {
            Rules::Routing { .. } => true,
            Rules::Handover { primary } => owner.is_none() || primary.as_ref() == Some(&app),
        };
        if may_take && owner.as_ref() != Some(&app) {
            self.seize(&app, &key, None, now);
        }
        self.speak(&app, &key, &message, tag, now).map_err(|refusal| self.traced(refusal))
    }

    /// A person moves the conversation to the inbox. Under handover that is a request to the primary
    /// receiver, which has to pass to the inbox (facts §1.2); under routing the inbox takes control
    /// (facts §2.3). Where the inbox is the primary receiver it takes (INF); where there is none the
    /// rules of a request hold (INF).
    ///
    /// # Errors
    /// [`GraphError`] if the Page or the person is not known.
    pub fn inbox_move(&mut self, page: &PageId, user: &UserId, now: Timestamp) -> Result<(), GraphError> {
        let key = self.known_thread(page, user, now)?;
        let app = self.inbox_of(page);
        if self.holder(&key).as_ref() == Some(&app) {
            return Ok(());
        }
        match self.rules(page) {
            Rules::Handover { primary } if primary.as_ref() != Some(&app) => {
                let request = ApiCall::Request { user: user.clone(), metadata: None };
                self.call(&app, page, &request, now).map(|_| ())
            }
            _ => {
                self.seize(&app, &key, None, now);
                Ok(())
            }
        }
    }

    fn known_thread(
        &mut self,
        page: &PageId,
        user: &UserId,
        now: Timestamp,
    ) -> Result<ThreadKey, GraphError> {
        if !self.pages.get(page).is_some_and(|page| page.people.contains_key(user)) {
            return Err(self.traced(GraphError::no_such_person()));
        }
        let key = ThreadKey::new(page.clone(), user.clone());
        self.lapse(&key, now);
        Ok(key)
    }
}
