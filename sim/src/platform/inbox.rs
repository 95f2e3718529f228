//! The people who work in Meta's own inbox.

use serde_json::json;

use super::limits::check_message;
use super::{ApiCall, GraphError, Platform, Rules};
use messenger_handover::id::{MessageId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

impl Platform {
    /// A person replies in the [Page inbox](messenger_handover::protocol#page-inbox). Under Conversation Routing the inbox takes
    /// control by that, as observed also without a default application. Under the Handover Protocol it takes control where it is
    /// the primary receiver or the thread is idle (inferred).
    ///
    /// # Errors
    /// [`GraphError`] if the inbox cannot take control or the message cannot be sent.
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
        // A message that cannot be sent takes no control either.
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

    /// A person moves the conversation to the inbox. Under the
    /// [Handover Protocol](messenger_handover::protocol#handover-protocol) that is a request to the primary receiver, which has
    /// to pass; under [Conversation Routing](messenger_handover::protocol#page-inbox) the inbox takes control. Inferred: where
    /// the inbox is the primary receiver it takes, and without a primary receiver the rules of a request hold.
    ///
    /// # Errors
    /// [`GraphError`] if the Page or the person does not exist.
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
