//! The customer's acts beside writing: whole messages, edits, links and opt-ins.

use serde_json::{Value, json};

use super::config::EntryPoint;
use super::fanout::from_customer;
use super::utterance::{CustomerMessage, InvalidAct, OptIn, Referral};
use super::{Platform, Speaker};
use messenger_handover::id::{MessageId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

/// The edits that a person can make of a message ([edits](messenger_handover::protocol#unsent-and-edited)).
const MOST_EDITS: u32 = 5;

impl Platform {
    /// The customer sends a message. An ad that it names opens the longer [window](messenger_handover::protocol#windows).
    ///
    /// # Errors
    /// [`InvalidAct`] if the message has no content, answers an unknown message, or is of a kind that the account's channel does
    /// not have.
    pub fn customer_sends(
        &mut self,
        page: &PageId,
        user: &UserId,
        message: &CustomerMessage,
        now: Timestamp,
    ) -> Result<MessageId, InvalidAct> {
        let key = ThreadKey::new(page.clone(), user.clone());
        let answered = message.reply_to.as_ref().and_then(|mid| self.author_of(&key, mid));
        let is_own = answered.map(|author| author == Speaker::Customer);
        let body = message.body(self.is_instagram(page), is_own)?;
        let of_referral = message.referral.as_ref().map(Referral::entry);
        let entry = message.entry.or(of_referral).unwrap_or(EntryPoint::Social);
        if message.referral.as_ref().is_some_and(Referral::is_ad) {
            self.thread_mut(&key).clicked_ad = true;
        }
        Ok(self.sends(&key, &body, entry, now))
    }

    /// The customer writes, and Instagram sends a `message_edit` with `num_edit: 0` and without text in place of the message, as
    /// was reported. `parties` says whether it names sender and recipient; reports have both forms. Inferred: for window and
    /// owner it counts like the message that it is.
    ///
    /// # Errors
    /// [`InvalidAct::InstagramOnly`] on Messenger.
    pub fn customer_writes_as_edit(
        &mut self,
        page: &PageId,
        user: &UserId,
        text: &str,
        parties: bool,
        now: Timestamp,
    ) -> Result<MessageId, InvalidAct> {
        if !self.is_instagram(page) {
            return Err(InvalidAct::InstagramOnly("an edit in place of a message"));
        }
        let key = ThreadKey::new(page.clone(), user.clone());
        let mid = self.customer_acts(&key, json!({"text": text}), EntryPoint::Social, now);
        let mut item = from_customer(&key, now, "message_edit", &json!({"mid": mid, "num_edit": 0}));
        if let (false, Value::Object(fields)) = (parties, &mut item) {
            fields.remove("sender");
            fields.remove("recipient");
        }
        self.fan_out(&key, None, "edit", now, |_| item.clone());
        Ok(mid)
    }

    /// The customer [edits](messenger_handover::protocol#unsent-and-edited) a message; returns the number of its edits. Inferred:
    /// an edit neither routes an idle thread nor prolongs control, and Instagram's has the body of Messenger's.
    ///
    /// # Errors
    /// [`InvalidAct`] if the message is unknown, is not the customer's, has no text, is unsent, or was edited five times.
    pub fn customer_edits(
        &mut self,
        page: &PageId,
        user: &UserId,
        mid: &MessageId,
        text: &str,
        now: Timestamp,
    ) -> Result<u32, InvalidAct> {
        let key = ThreadKey::new(page.clone(), user.clone());
        self.lapse(&key, now);
        let said = self.said_mut(&key, mid).ok_or_else(|| InvalidAct::NoSuchMessage(mid.clone()))?;
        if said.from != Speaker::Customer || said.unsent || said.text().is_none() {
            return Err(InvalidAct::NotEditable);
        }
        if said.edits >= MOST_EDITS {
            return Err(InvalidAct::TooManyEdits);
        }
        said.edits += 1;
        said.message["text"] = json!(text);
        let edits = said.edits;
        let body = json!({"mid": mid, "text": text, "num_edit": edits});
        let item = from_customer(&key, now, "message_edit", &body);
        self.fan_out(&key, None, "edit", now, |_| item.clone());
        Ok(edits)
    }

    /// The customer opens an existing conversation by a link or an ad
    /// ([referrals](messenger_handover::protocol#reply-to-and-referrals)). A link opens the messaging window at once (Meta's page
    /// on m.me links); inferred: it counts like a message for the owner too. An ad opens the longer window with the next message
    /// ([windows](messenger_handover::protocol#windows)).
    ///
    /// # Errors
    /// [`InvalidAct::NoConversation`] if there is no message yet: then the referral goes with the first message or button.
    pub fn customer_follows(
        &mut self,
        page: &PageId,
        user: &UserId,
        referral: &Referral,
        now: Timestamp,
    ) -> Result<(), InvalidAct> {
        let key = ThreadKey::new(page.clone(), user.clone());
        if self.threads.get(&key).is_none_or(|thread| thread.said.is_empty()) {
            return Err(InvalidAct::NoConversation);
        }
        if referral.is_ad() {
            self.lapse(&key, now);
            self.thread_mut(&key).clicked_ad = true;
        } else {
            self.customer_arrives(&key, referral.entry(), now);
        }
        let item = from_customer(&key, now, "referral", &referral.body());
        self.fan_out(&key, None, "referral", now, |_| item.clone());
        Ok(())
    }

    /// The customer opts in to messages. Inferred: *Send to Messenger* counts like a message for window and owner, because it
    /// starts a conversation; consent to marketing messages changes neither.
    ///
    /// # Errors
    /// [`InvalidAct::MessengerOnly`] on Instagram.
    pub fn customer_opts_in(
        &mut self,
        page: &PageId,
        user: &UserId,
        optin: &OptIn,
        now: Timestamp,
    ) -> Result<(), InvalidAct> {
        if self.is_instagram(page) {
            return Err(InvalidAct::MessengerOnly("an opt-in"));
        }
        let key = ThreadKey::new(page.clone(), user.clone());
        match optin {
            OptIn::Plugin { .. } => self.customer_arrives(&key, EntryPoint::Social, now),
            OptIn::NotificationMessages { .. } => {
                self.meets(&key);
                self.lapse(&key, now);
            }
        }
        let item = from_customer(&key, now, "optin", &optin.body(&format!("nmt_{user}")));
        self.fan_out(&key, None, "optin", now, |_| item.clone());
        Ok(())
    }

    fn author_of(&self, key: &ThreadKey, mid: &MessageId) -> Option<Speaker> {
        let said = self.threads.get(key)?.said.iter().find(|said| said.mid == *mid)?;
        Some(said.from.clone())
    }
}
