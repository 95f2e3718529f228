//! Saved attachments, by their ids. Files are not stored, only their type, name and size.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::limits::{MEDIA, check_url, sent_attachments};
use super::{ApiAnswer, GraphError, Platform};
use messenger_handover::id::PageId;

/// The number of attachments that are stored; older ones are forgotten, as Meta forgets them after 90 days.
const KEPT: usize = 10_000;
/// The longest stored name of a file, in characters.
const MAX_NAME: usize = 255;
/// The number that the ids count from, so that they look like Meta's.
const FIRST: u64 = 1_000_000_000_000_000;

/// The saved attachments.
#[derive(Debug, Clone, Default)]
pub(super) struct Uploads {
    saved: BTreeMap<u64, Upload>,
}

#[derive(Debug, Clone)]
struct Upload {
    page: PageId,
    /// `type` of the attachment, such as `image`.
    kind: String,
    url: Option<String>,
    /// `name`, `type` and `size` of an uploaded file.
    file: Option<Value>,
}

impl Uploads {
    /// The address of an attachment's content: its `url`, or that of the saved attachment. Inferred: Meta's are on a host of its
    /// own; the simulator invents one that cannot be reached, because it stores no files.
    pub(super) fn url_of(&self, payload: &Value) -> Value {
        if payload["url"].is_string() {
            return payload["url"].clone();
        }
        let Some(id) = id_of(payload) else { return Value::Null };
        match self.saved.get(&id).and_then(|upload| upload.url.as_ref()) {
            Some(url) => json!(url),
            None => json!(format!("https://attachments.invalid/{id}")),
        }
    }

    /// Type, name and size of the uploaded file, if the payload names one.
    pub(super) fn file_of(&self, payload: &Value) -> Option<&Value> {
        self.saved.get(&id_of(payload)?)?.file.as_ref()
    }

    /// Whether the payload names an attachment that was saved for this Page.
    fn knows(&self, page: &PageId, payload: &Value, kind: &Value) -> bool {
        let saved = id_of(payload).and_then(|id| self.saved.get(&id));
        saved.is_some_and(|saved| saved.page == *page && *kind == saved.kind)
    }

    fn save(&mut self, id: u64, upload: Upload) {
        self.saved.insert(id, upload);
        if self.saved.len() > KEPT {
            self.saved.pop_first();
        }
    }
}

/// The `attachment_id` of a payload, a number or its text.
fn id_of(payload: &Value) -> Option<u64> {
    let id = &payload["attachment_id"];
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}

impl Platform {
    /// `message_attachments`: saves an attachment for later sends ([uploads](messenger_handover::protocol#call-answers)).
    pub(super) fn upload(&mut self, page: &PageId, message: &Value) -> Result<ApiAnswer, GraphError> {
        let attachment = &message["attachment"];
        let kind = attachment["type"].as_str().unwrap_or_default();
        if !MEDIA.contains(&kind) {
            let why = "must be image, audio, video or file";
            return Err(GraphError::invalid("message[attachment][type]", why));
        }
        let payload = &attachment["payload"];
        check_url(payload)?;
        if !payload["url"].is_string() && !payload["filedata"].is_object() {
            return Err(GraphError::invalid("message[attachment][payload]", "must have a url or a file"));
        }
        let id = self.save(page, kind, payload);
        Ok(ApiAnswer::Other(json!({"attachment_id": id})))
    }

    /// Saves the attachment of a send that wants an id for it, and writes the id into the message. Meta documents the id for
    /// `is_reusable` only; that every uploaded file gets one is inferred.
    ///
    /// # Errors
    /// [`GraphError`] if the message names an attachment that is not saved for this Page.
    pub(super) fn save_attachment(
        &mut self,
        page: &PageId,
        message: &mut Value,
    ) -> Result<Option<String>, GraphError> {
        for sent in sent_attachments(message) {
            let payload = &sent["payload"];
            if payload.get("attachment_id").is_some() && !self.uploads.knows(page, payload, &sent["type"]) {
                return Err(GraphError::invalid(
                    "attachment_id",
                    "names no attachment of this Page and type",
                ));
            }
        }
        let attachment = &message["attachment"];
        let payload = &attachment["payload"];
        let wanted = payload["filedata"].is_object()
            || (payload["url"].is_string()
                && (payload["is_reusable"] == true || payload["is_reusable"] == "true"));
        let Some(kind) = attachment["type"].as_str().filter(|_| wanted).map(str::to_owned) else {
            return Ok(None);
        };
        let id = self.save(page, &kind, &payload.clone());
        message["attachment"]["payload"]["attachment_id"] = json!(id);
        Ok(Some(id))
    }

    fn save(&mut self, page: &PageId, kind: &str, payload: &Value) -> String {
        // Shares the counter of messages, so that a reset does not give an id twice.
        self.messages += 1;
        let id = FIRST + self.messages;
        let upload = Upload {
            page: page.clone(),
            kind: kind.to_owned(),
            url: payload["url"].as_str().map(str::to_owned),
            file: payload.get("filedata").filter(|file| file.is_object()).map(described),
        };
        self.uploads.save(id, upload);
        id.to_string()
    }
}

/// The stored part of a file's description, short whatever a client wrote.
fn described(file: &Value) -> Value {
    let short = |name: &str| file[name].as_str().map(|text| text.chars().take(MAX_NAME).collect::<String>());
    json!({"name": short("name"), "type": short("type"), "size": file["size"].as_u64()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_that_are_old_are_forgotten() {
        let mut uploads = Uploads::default();
        let upload = Upload { page: PageId::from(7), kind: "image".to_owned(), url: None, file: None };
        for id in 0..=KEPT as u64 {
            uploads.save(id, upload.clone());
        }
        let knows = |page: u64, id: u64, kind: &str| {
            uploads.knows(&PageId::from(page), &json!({"attachment_id": id.to_string()}), &json!(kind))
        };
        assert!(!knows(7, 0, "image") && knows(7, 1, "image"));
        assert!(!knows(8, 1, "image") && !knows(7, 1, "video"));
    }

    #[test]
    fn uploads_describe_files_in_short() {
        let file = described(&json!({"name": "x".repeat(1000), "size": 5, "more": "y".repeat(1000)}));
        assert_eq!(file, json!({"name": "x".repeat(MAX_NAME), "type": null, "size": 5}));
    }
}
