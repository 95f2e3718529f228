//! The nodes that reads return: Pages, people, conversations and messages.

use serde_json::{Value, json};

use super::config::Kind;
use super::fields::{USUAL_OF_MESSAGE, limited};
use super::{ApiAnswer, Fields, GraphError, Platform, Rules, Said, Speaker};
use messenger_handover::id::{AppId, MessageId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

/// The same of a conversation.
const USUAL_OF_CONVERSATION: [&str; 2] = ["id", "updated_time"];
/// The `tasks` of each Page in `me/accounts` (general knowledge).
const TASKS: [&str; 6] = ["ADVERTISE", "ANALYZE", "CREATE_CONTENT", "MANAGE", "MESSAGING", "MODERATE"];

impl Platform {
    /// `GET /me` and `GET /{page}`. The usual fields of an Instagram account are inferred.
    pub(super) fn page_node(&self, app: &AppId, page: &PageId, fields: &Fields) -> Value {
        let usual = if self.is_instagram(page) { ["id", "username"] } else { ["id", "name"] };
        fields.select(&self.whole_page(app, page), &usual)
    }

    fn whole_page(&self, app: &AppId, page: &PageId) -> Value {
        let known = self.pages.get(page);
        let name = known.map(|page| &page.name);
        let mut node =
            json!({"id": page, "name": name, "messaging_feature_status": self.feature_flags(page)});
        if let Some(account) = known.and_then(|page| page.instagram.as_ref()) {
            node["instagram_business_account"] = json!({"id": account});
        }
        if self.is_instagram(page) {
            node["user_id"] = json!(page);
            node["username"] = json!(name);
        }
        let mut tokens = known.into_iter().flat_map(|page| &page.tokens);
        if let Some(own) = tokens.find(|token| token.app == *app && token.ended.is_none()) {
            node["access_token"] = json!(own.token.expose_secret());
        }
        node
    }

    /// `GET /me/accounts`: the Pages that an app is connected to. Each has the token of this app, if it has one there. Inferred:
    /// with an app's or a Page's token Graph asks for a person's instead.
    pub(crate) fn accounts(&self, app: &AppId, fields: &Fields, limit: Option<usize>) -> Value {
        let connected = self.pages.values().filter(|page| page.kind == Kind::Page && page.apps.contains(app));
        let nodes = connected.take(limited(limit)).map(|page| {
            let mut node = self.whole_page(app, &page.id);
            node["tasks"] = json!(TASKS);
            fields.select(&node, &["access_token", "id", "name", "tasks"])
        });
        json!({"data": nodes.collect::<Vec<_>>()})
    }

    /// The [profile](messenger_handover::protocol#user-profiles) of a person, as the Page may read it. The names are those of the
    /// world, or assumed; there is no picture.
    pub(crate) fn profile(&self, page: &PageId, id: &str, fields: &Fields) -> Option<Value> {
        let user = UserId::new(id).ok()?;
        let page = self.pages.get(&self.account_of(page, Some(&user)))?;
        let name = page.people.get(&user)?.as_deref().unwrap_or("Somebody");
        let (first, last) = name.split_once(' ').unwrap_or((name, ""));
        if page.kind == Kind::Instagram {
            let node = json!({"id": user, "name": name, "username": username(name)});
            return Some(fields.select(&node, &["id", "name", "username"]));
        }
        let node = json!({"id": user, "name": name, "first_name": first, "last_name": last});
        Some(fields.select(&node, &["id", "first_name", "last_name"]))
    }

    /// All [conversations](messenger_handover::protocol#conversations-api) of a Page, or of its Instagram account, the last
    /// written first (inferred).
    pub(crate) fn conversations(
        &self,
        app: &AppId,
        page: &PageId,
        instagram: bool,
        fields: &Fields,
        limit: Option<usize>,
        now: Timestamp,
    ) -> Value {
        let linked = self.pages.get(page).and_then(|page| page.instagram.as_ref());
        let account = linked.filter(|_| instagram).unwrap_or(page);
        let mut keys: Vec<_> = self.threads.keys().filter(|key| key.page == *account).collect();
        keys.sort_by_key(|key| std::cmp::Reverse(self.updated(key)));
        let nodes =
            keys.into_iter().take(limited(limit)).map(|key| self.conversation_node(app, key, fields, now));
        json!({"data": nodes.collect::<Vec<_>>()})
    }

    /// Reads the [conversation](messenger_handover::protocol#conversations-api) of one person, as a list.
    pub(super) fn conversation_of(
        &self,
        app: &AppId,
        key: &ThreadKey,
        fields: &Fields,
        now: Timestamp,
    ) -> ApiAnswer {
        let found = self.threads.contains_key(key).then(|| self.conversation_node(app, key, fields, now));
        ApiAnswer::Other(json!({"data": found.into_iter().collect::<Vec<_>>()}))
    }

    /// `GET /t_{id}`: a conversation by its own id.
    pub(super) fn thread(
        &self,
        app: &AppId,
        key: &ThreadKey,
        fields: &Fields,
        now: Timestamp,
    ) -> Result<ApiAnswer, GraphError> {
        self.exists(key)?;
        Ok(ApiAnswer::Other(self.conversation_node(app, key, fields, now)))
    }

    /// `GET /t_{id}/messages`.
    pub(super) fn thread_messages(
        &self,
        key: &ThreadKey,
        fields: &Fields,
        limit: Option<usize>,
    ) -> Result<ApiAnswer, GraphError> {
        self.exists(key)?;
        Ok(ApiAnswer::Other(fields.select(&self.messages_edge(key, limited(limit)), &USUAL_OF_MESSAGE)))
    }

    fn exists(&self, key: &ThreadKey) -> Result<(), GraphError> {
        if self.threads.contains_key(key) {
            Ok(())
        } else {
            Err(GraphError::unsupported("get", &conversation_id(key)))
        }
    }

    /// `GET /{message id}`.
    pub(super) fn message_node(
        &self,
        page: &PageId,
        mid: &MessageId,
        fields: &Fields,
    ) -> Result<ApiAnswer, GraphError> {
        let linked = self.pages.get(page).and_then(|page| page.instagram.as_ref());
        let of_page = |key: &ThreadKey| key.page == *page || linked == Some(&key.page);
        let mut threads = self.threads.iter().filter(|(key, _)| of_page(key));
        let found = threads.find_map(|(key, thread)| {
            let said = thread.said.iter().find(|said| said.mid == *mid && !said.unsent)?;
            Some(fields.select(&self.whole_message(key, said), &USUAL_OF_MESSAGE))
        });
        found.map(ApiAnswer::Other).ok_or_else(|| GraphError::unsupported("get", &mid.to_string()))
    }

    fn updated(&self, key: &ThreadKey) -> Option<Timestamp> {
        let thread = self.threads.get(key)?;
        thread.said.last().map(|said| said.at).or(thread.last_customer)
    }

    /// A conversation; only Conversation Routing gives it `is_owner`. Its form beyond `id`, `updated_time`, `participants` and
    /// `messages` is general knowledge.
    fn conversation_node(&self, app: &AppId, key: &ThreadKey, fields: &Fields, now: Timestamp) -> Value {
        let thread = self.threads.get(key);
        let said = thread.map(|thread| thread.said.as_slice()).unwrap_or_default();
        let in_window = self.window_closes(&key.page, &key.user).is_some_and(|end| now < end);
        let participants = json!({"data": [self.party(key, false), self.party(key, true)]});
        let mut node = json!({
            "id": conversation_id(key), "can_reply": in_window, "participants": participants,
            "senders": participants, "message_count": said.len(),
            "snippet": said.last().and_then(Said::text).unwrap_or_default(),
        });
        if let Some(updated) = self.updated(key) {
            node["updated_time"] = json!(iso(updated));
        }
        if matches!(self.rules(&key.page), Rules::Routing { default_app: Some(_) }) {
            node["is_owner"] = json!(self.holder(key).as_ref() == Some(app));
        }
        if fields.asks("messages") {
            node["messages"] = self.messages_edge(key, fields.limit_of("messages"));
        }
        fields.select(&node, &USUAL_OF_CONVERSATION)
    }

    /// The messages of a conversation, the last one first. Inferred: an unsent message is not among them.
    fn messages_edge(&self, key: &ThreadKey, limit: usize) -> Value {
        let said = self.threads.get(key).map(|thread| thread.said.as_slice()).unwrap_or_default();
        let shown = said.iter().rev().filter(|said| !said.unsent).take(limit);
        json!({"data": shown.map(|said| self.whole_message(key, said)).collect::<Vec<_>>()})
    }

    /// A message; the form of `attachments` is general knowledge.
    fn whole_message(&self, key: &ThreadKey, said: &Said) -> Value {
        let by_page = matches!(said.from, Speaker::App(_));
        let mut node = json!({
            "id": said.mid, "created_time": iso(said.at), "message": said.text().unwrap_or_default(),
            "from": self.party(key, by_page), "to": {"data": [self.party(key, !by_page)]},
        });
        let sent = super::limits::sent_attachments(&said.message);
        let attachments: Vec<Value> =
            sent.iter().enumerate().map(|(number, sent)| self.attachment_node(said, number, sent)).collect();
        if !attachments.is_empty() {
            node["attachments"] = json!({"data": attachments});
        }
        if let Some(reaction) = &said.reaction {
            let by = json!({"data": [{"id": key.user}]});
            node["reactions"] = json!({"data": [{"reaction": reaction, "users": by}]});
        }
        node
    }

    fn attachment_node(&self, said: &Said, number: usize, sent: &Value) -> Value {
        let (kind, payload) = (sent["type"].as_str().unwrap_or_default(), &sent["payload"]);
        let id =
            payload.get("attachment_id").cloned().unwrap_or_else(|| json!(format!("{}_{number}", said.mid)));
        let mut node = json!({"id": id});
        if kind == "template" {
            node["generic_template"] = json!({"title": payload["elements"][0]["title"]});
            return node;
        }
        if let Some(file) = self.uploads.file_of(payload) {
            (node["name"], node["mime_type"], node["size"]) =
                (file["name"].clone(), file["type"].clone(), file["size"].clone());
        }
        let url = self.uploads.url_of(payload);
        match kind {
            "image" => node["image_data"] = json!({"url": url}),
            "video" => node["video_data"] = json!({"url": url}),
            _ => node["file_url"] = url,
        }
        node
    }

    /// The Page or the person of a conversation. Instagram names people by `username`.
    fn party(&self, key: &ThreadKey, is_page: bool) -> Value {
        let page = self.pages.get(&key.page);
        let (id, name) = if is_page {
            (key.page.to_string(), page.map_or_else(String::new, |page| page.name.clone()))
        } else {
            let name = page.and_then(|page| page.people.get(&key.user)?.clone());
            (key.user.to_string(), name.unwrap_or_else(|| "Somebody".to_owned()))
        };
        if self.is_instagram(&key.page) {
            return json!({"id": id, "username": username(&name)});
        }
        json!({"id": id, "name": name, "email": format!("{id}@facebook.com")})
    }
}

fn conversation_id(key: &ThreadKey) -> String {
    format!("t_{}", key.user)
}

fn username(name: &str) -> String {
    name.to_lowercase().replace(' ', "_")
}

/// A time as Graph writes it, such as `2026-11-29T21:00:00+0000`.
fn iso(at: Timestamp) -> String {
    let seconds = at.as_millis() / 1000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    // Years that begin in March, counted from 0000-03-01 in eras of 400 years, so that the leap day is the last of a year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year, if month < 10 { month + 3 } else { month - 9 });
    let year = year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}+0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_graph_does() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00+0000"),
            (951_782_399_999, "2000-02-28T23:59:59+0000"),
            (951_782_400_000, "2000-02-29T00:00:00+0000"),
            (1_796_000_461_000, "2026-11-30T01:01:01+0000"),
            (4_107_542_400_000, "2100-03-01T00:00:00+0000"),
        ] {
            assert_eq!(iso(Timestamp::from_millis(millis)), text);
        }
    }
}
