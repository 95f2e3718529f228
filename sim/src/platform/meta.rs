//! Meta's own apps that own threads: the lead-ads app and the Business AI.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fanout::{Channel, Delivery, from_customer};
use super::{GraphError, Platform, Said, Speaker};
use messenger_handover::id::{AppId, PAGE_INBOX, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

/// Meta's lead-ads app, which owns a thread while a [lead ad](messenger_handover::protocol#lead-ads) asks its questions.
pub const LEAD_APP: u64 = 413_038_776_280_800;
/// The Business AI as the new owner in the [take events](messenger_handover::protocol#meta-ai) that were observed. Its id differs
/// by Page: [`Page::ai_app`](super::Page::ai_app) sets another.
pub const AI_APP: u64 = 928_891_643_393_937;
/// The previous owner in those events. Probably the app of the vendor that published them (docs/protocol.md#app-ids).
const AI_BEFORE: u64 = 388_207_815_496_149;
/// The copies in which one such take event was delivered, as observed (docs/protocol.md#meta-ai).
const COPIES: usize = 4;

impl Platform {
    /// A person starts a [lead ad](messenger_handover::protocol#lead-ads): the lead-ads app owns the thread while it asks, and no
    /// app gets a webhook meanwhile.
    ///
    /// # Errors
    /// [`GraphError`] if there is no such Page.
    pub fn lead_ad_begins(&mut self, page: &PageId, user: &UserId, now: Timestamp) -> Result<(), GraphError> {
        let key = self.thread_of_meta(page, user, now)?;
        self.give(&key, &AppId::from(LEAD_APP), now);
        self.thread_mut(&key).last_customer = Some(now);
        Ok(())
    }

    /// The [lead ad](messenger_handover::protocol#lead-ads) ends: control goes to an app, or the thread becomes idle. The app
    /// gets a pass event, whose metadata says whether all questions were answered, and then the summary. That looks like a
    /// message of the customer, is stamped in seconds and belongs to no conversation. Both carry
    /// [`hop_context`](messenger_handover::protocol#hop-context).
    ///
    /// # Errors
    /// [`GraphError`] if no lead ad runs in this thread, or the app is not connected.
    pub fn lead_ad_ends(
        &mut self,
        page: &PageId,
        user: &UserId,
        complete: bool,
        to: Option<&AppId>,
        summary: Option<&str>,
        now: Timestamp,
    ) -> Result<(), GraphError> {
        let key = self.thread_of_meta(page, user, now)?;
        let lead = AppId::from(LEAD_APP);
        if self.holder(&key).as_ref() != Some(&lead) {
            return Err(self.traced(GraphError::pass_by_stranger()));
        }
        let Some(to) = to else {
            self.thread_mut(&key).lease = None;
            return Ok(());
        };
        if !self.pages.get(page).is_some_and(|page| page.apps.contains(to)) {
            return Err(self.traced(GraphError::no_such_target(to)));
        }
        self.give(&key, to, now);
        let outcome = if complete { "messenger_lead_gen_complete" } else { "messenger_lead_gen_incomplete" };
        let number = super::api::number;
        // Ids are numbers, as in Meta's sample (docs/protocol.md#lead-ads).
        let body =
            json!({"previous_owner_app_id": LEAD_APP, "new_owner_app_id": number(to), "metadata": outcome});
        let context = json!({"app_id": LEAD_APP, "metadata": outcome});
        let item = from_customer(&key, now, "pass_thread_control", &body);
        self.tell_with(
            to,
            &key,
            Channel::Messaging,
            "pass_thread_control",
            item,
            Some(json!([context])),
            now,
        );
        if let Some(summary) = summary {
            let mid = self.next_mid();
            let mut item = from_customer(&key, now, "message", &json!({"mid": mid, "text": summary}));
            item["timestamp"] = json!(now.as_millis() / 1000);
            item["hop_context"] = context;
            self.tell_with(to, &key, Channel::Messaging, "message", item, None, now);
        }
        Ok(())
    }

    /// The [Business AI](messenger_handover::protocol#meta-ai) takes the thread. As observed, the previous owner gets the event
    /// four times, stamped in seconds and with a fixed app id as the previous owner. Inferred: no other app gets it.
    ///
    /// # Errors
    /// [`GraphError`] if there is no such Page.
    pub fn ai_takes(&mut self, page: &PageId, user: &UserId, now: Timestamp) -> Result<(), GraphError> {
        let key = self.thread_of_meta(page, user, now)?;
        let before = self.holder(&key);
        let ai = self.ai_of(page);
        self.give(&key, &ai, now);
        let body = json!({"previous_owner_app_id": AI_BEFORE.to_string(), "new_owner_app_id": ai,
            "metadata": "axon_take_thread_control"});
        let mut item = from_customer(&key, now, "take_thread_control", &body);
        item["timestamp"] = json!(now.as_millis() / 1000);
        for _ in 0..COPIES {
            if let Some(before) = &before {
                let item = item.clone();
                self.tell_with(before, &key, Channel::Messaging, "take_thread_control", item, None, now);
            }
        }
        Ok(())
    }

    /// The [Business AI](messenger_handover::protocol#meta-ai) answers. As observed, the echo names the Page inbox as its app.
    ///
    /// # Errors
    /// [`GraphError`] if the AI does not own the thread.
    pub fn ai_answers(
        &mut self,
        page: &PageId,
        user: &UserId,
        text: &str,
        now: Timestamp,
    ) -> Result<(), GraphError> {
        let key = self.thread_of_meta(page, user, now)?;
        let ai = self.ai_of(page);
        if self.holder(&key).as_ref() != Some(&ai) {
            return Err(self.traced(GraphError::controlled_by_another_app()));
        }
        let (mid, message) = (self.next_mid(), json!({"text": text}));
        let said = Said::new(Speaker::App(ai), message, mid.clone(), now);
        self.thread_mut(&key).said.push(said);
        let item = json!({
            "sender": {"id": key.page}, "recipient": {"id": key.user}, "timestamp": now.as_millis(),
            "message": {"mid": mid, "text": text, "is_echo": true, "ai_generated": true, "app_id": PAGE_INBOX,
                "metadata": {"source": "axon"}},
        });
        self.tell_all(&key, "echo", &item, &json!({"is_ai_thread_owner": true}), now);
        Ok(())
    }

    /// The [Business AI](messenger_handover::protocol#meta-ai) leaves, as observed with words of the system and without a control
    /// event. Inferred: the thread is idle then.
    ///
    /// # Errors
    /// As [`Self::ai_answers`].
    pub fn ai_leaves(
        &mut self,
        page: &PageId,
        user: &UserId,
        words: &str,
        now: Timestamp,
    ) -> Result<(), GraphError> {
        let key = self.thread_of_meta(page, user, now)?;
        if self.holder(&key) != Some(self.ai_of(page)) {
            return Err(self.traced(GraphError::release_by_stranger()));
        }
        self.thread_mut(&key).lease = None;
        let mid = self.next_mid();
        let item = json!({
            "sender": {"id": key.page}, "recipient": {"id": key.user}, "timestamp": now.as_millis(),
            "message": {"mid": mid, "text": words, "is_echo": true, "admin_text": {"text": words}},
        });
        self.tell_all(&key, "echo", &item, &json!({"is_ai_thread_owner": false}), now);
        Ok(())
    }

    /// Sets the app of the Business AI on a Page and connects it, for what happens from then on; see
    /// [`Page::ai_app`](super::Page::ai_app). Does nothing if there is no such Page.
    pub fn set_ai_app(&mut self, page: &PageId, app: AppId) {
        if let Some(page) = Arc::make_mut(&mut self.pages).get_mut(page) {
            page.apps.insert(app.clone());
            page.ai = app;
        }
    }

    fn ai_of(&self, page: &PageId) -> AppId {
        self.pages.get(page).map_or_else(|| AppId::from(AI_APP), |page| page.ai.clone())
    }

    /// Whether Meta's questions own the thread. Calls of other apps then fail with subcode
    /// [2018321](messenger_handover::protocol#lead-ads).
    pub(super) fn is_asked_by_meta(&self, key: &ThreadKey) -> bool {
        self.holder(key) == Some(AppId::from(LEAD_APP))
    }

    fn thread_of_meta(
        &mut self,
        page: &PageId,
        user: &UserId,
        now: Timestamp,
    ) -> Result<ThreadKey, GraphError> {
        if !self.pages.contains_key(page) {
            return Err(self.traced(GraphError::unsupported("post", &page.to_string())));
        }
        let key = ThreadKey::new(page.clone(), user.clone());
        self.meets(&key);
        self.lapse(&key, now);
        Ok(key)
    }

    fn tell_all(
        &mut self,
        key: &ThreadKey,
        label: &'static str,
        item: &Value,
        context: &Value,
        now: Timestamp,
    ) {
        let apps = self.pages.get(&key.page).map(|page| page.apps.clone()).unwrap_or_default();
        for app in apps {
            let channel = self.channel(key, &app, None);
            self.tell_with(&app, key, channel, label, item.clone(), Some(context.clone()), now);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a delivery has as many parts")]
    fn tell_with(
        &mut self,
        app: &AppId,
        key: &ThreadKey,
        channel: Channel,
        label: &'static str,
        item: Value,
        hop_context: Option<Value>,
        now: Timestamp,
    ) {
        let (app, page, user) = (app.clone(), key.page.clone(), Some(key.user.clone()));
        self.push(Delivery { app, page, user, channel, label, item, hop_context, at: now });
    }
}
