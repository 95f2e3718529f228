//! Parses a request's [parameters](messenger_handover::protocol#call-parameters) into a call. Graph reads them from the query, a
//! form or a JSON body, and ids as numbers and strings.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{loose, multipart};
use crate::platform::{ApiCall, Fields, GraphError, InlineControl, Moderation};
use messenger_handover::id::{MessageId, UserId};

pub(super) type Params = Map<String, Value>;

/// Adds percent-encoded parameters, such as `a=b&c=d`.
pub(super) fn add_form(params: &mut Params, form: &[u8]) {
    for (name, value) in url::form_urlencoded::parse(form) {
        params.insert(name.into_owned(), Value::String(value.into_owned()));
    }
}

/// Adds the parameters of a body, which take precedence over the query.
pub(super) fn add_body(params: &mut Params, content_type: &str, body: &[u8]) -> Result<(), GraphError> {
    if body.is_empty() {
        return Ok(());
    }
    if content_type.to_lowercase().starts_with("application/x-www-form-urlencoded") {
        add_form(params, body);
        return Ok(());
    }
    if content_type.to_lowercase().starts_with("multipart/") {
        let added =
            multipart::boundary(content_type).and_then(|boundary| multipart::add(params, boundary, body));
        return added
            .ok_or_else(|| GraphError::invalid("body", "must be multipart/form-data with a boundary"));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => {
            params.extend(fields);
            Ok(())
        }
        // The parser's own message would quote the body.
        _ => Err(GraphError::invalid("body", "must be a JSON object")),
    }
}

/// Parses the call of an edge; `None` if there is no such edge.
pub(super) fn read(method: &str, edge: &str, params: &Params) -> Result<Option<ApiCall>, GraphError> {
    Ok(Some(match (method, edge) {
        ("POST", "pass_thread_control") => ApiCall::Pass {
            user: recipient(params)?,
            target: optional(params, "target_app_id")?,
            metadata: optional(params, "metadata")?,
        },
        ("POST", "take_thread_control") => {
            ApiCall::Take { user: recipient(params)?, metadata: optional(params, "metadata")? }
        }
        ("POST", "request_thread_control") => {
            ApiCall::Request { user: recipient(params)?, metadata: optional(params, "metadata")? }
        }
        // No source says what becomes of metadata here, so it is ignored (docs/protocol.md#release).
        ("POST", "release_thread_control") => ApiCall::Release { user: recipient(params)? },
        ("POST", "extend_thread_control") => {
            ApiCall::Extend { user: recipient(params)?, duration: duration(params)? }
        }
        ("GET", "thread_owner") => ApiCall::ThreadOwner { user: bare_recipient(params)? },
        ("GET", "secondary_receivers") => ApiCall::SecondaryReceivers,
        ("POST", "messages") => message(params)?,
        ("POST", "message_attachments") => {
            ApiCall::Upload { message: with_file(params, message_of(params)?) }
        }
        ("POST", "moderate_conversations") => moderation(params)?,
        ("GET", "") => {
            let fields = fields(params)?;
            if fields.asks_only("messaging_feature_status") {
                ApiCall::FeatureStatus
            } else {
                ApiCall::Node { fields }
            }
        }
        ("GET", "subscribed_apps") => ApiCall::SubscribedApps,
        ("POST", "subscribed_apps") => ApiCall::Subscribe { fields: subscribed(params)? },
        ("GET", "conversations") => ApiCall::Conversation {
            user: optional(params, "user_id")?.ok_or_else(|| GraphError::missing("user_id"))?,
            fields: fields(params)?,
        },
        _ => return Ok(None),
    }))
}

/// Parses the read of a conversation or a message by its own id; `None` if the node has no such edge.
pub(super) fn read_node(node: &str, edge: &str, params: &Params) -> Result<Option<ApiCall>, GraphError> {
    if let Some(person) = node.strip_prefix("t_") {
        let Ok(user) = UserId::new(person) else { return Ok(None) };
        return Ok(match edge {
            "" => Some(ApiCall::Thread { user, fields: fields(params)? }),
            "messages" => {
                Some(ApiCall::ThreadMessages { user, fields: fields(params)?, limit: limit(params)? })
            }
            _ => None,
        });
    }
    match MessageId::new(node) {
        Ok(mid) if edge.is_empty() && node.starts_with("m_") => {
            Ok(Some(ApiCall::Message { mid, fields: fields(params)? }))
        }
        _ => Ok(None),
    }
}

/// `fields`, as text or as a list, which some clients write as JSON text.
pub(super) fn fields(params: &Params) -> Result<Fields, GraphError> {
    let wrong = || GraphError::invalid("fields", "must be a list of fields");
    let text = match structured(params, "fields") {
        None => return Ok(Fields::default()),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(Fields::default()),
        Some(Value::String(text)) => text,
        Some(Value::Array(list)) => {
            let list: Option<Vec<_>> = list.iter().map(Value::as_str).collect();
            list.ok_or_else(wrong)?.join(",")
        }
        Some(_) => return Err(wrong()),
    };
    Fields::parse(&text)
}

/// `limit`, the number of items of an edge.
pub(super) fn limit(params: &Params) -> Result<Option<usize>, GraphError> {
    let limit = match params.get("limit") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(limit)) => limit.as_u64(),
        Some(Value::String(limit)) => limit.trim().parse().ok(),
        Some(_) => None,
    };
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.map(Some).ok_or_else(|| GraphError::invalid("limit", "must be an unsigned integer"))
}

/// `subscribed_fields`, as a list or separated by commas.
fn subscribed(params: &Params) -> Result<Vec<String>, GraphError> {
    let wrong = || GraphError::invalid("subscribed_fields", "must be a list of webhook fields");
    match structured(params, "subscribed_fields") {
        None => Err(GraphError::missing("subscribed_fields")),
        Some(Value::Array(fields)) => {
            fields.iter().map(|field| field.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(Value::String(text)) => {
            let fields = text.split(',').map(str::trim).filter(|field| !field.is_empty());
            Ok(fields.map(str::to_owned).collect())
        }
        Some(_) => Err(wrong()),
    }
}

/// The people and actions of `moderate_conversations`. Meta's page has people as objects with an id; bare ids are accepted, too.
fn moderation(params: &Params) -> Result<ApiCall, GraphError> {
    let list = |name: &str, why: &str| match structured(params, name) {
        None => Err(GraphError::missing(name)),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(GraphError::invalid(name, why)),
    };
    let user = |value: &Value| {
        let id = value.get("id").unwrap_or(value).clone();
        serde_json::from_value(id)
            .map_err(|_| GraphError::invalid("user_ids", "must be a list of people's ids"))
    };
    let action = |value: &Value| Moderation::from_name(value.as_str().unwrap_or_default());
    let users = list("user_ids", "must be a list")?.iter().map(user).collect::<Result<Vec<UserId>, _>>()?;
    let actions = list("actions", "must be a list")?.iter().map(action).collect::<Result<Vec<_>, _>>()?;
    Ok(ApiCall::Moderate { users, actions })
}

/// The message object.
fn message_of(params: &Params) -> Result<Value, GraphError> {
    structured(params, "message").ok_or_else(|| GraphError::missing("message"))
}

/// Writes name, type and size of an uploaded file into the payload of the attachment.
fn with_file(params: &Params, mut message: Value) -> Value {
    let Some(file) = params.get("filedata").filter(|file| file.is_object()) else { return message };
    if let Some(Value::Object(attachment)) = message.get_mut("attachment") {
        let payload = attachment.entry("payload").or_insert_with(|| Value::Object(Map::new()));
        if !payload.is_object() {
            *payload = Value::Object(Map::new());
        }
        payload["filedata"] = file.clone();
    }
    message
}

fn message(params: &Params) -> Result<ApiCall, GraphError> {
    let user = recipient(params)?;
    let Some(message) = structured(params, "message") else {
        let action = optional(params, "sender_action")?.ok_or_else(|| GraphError::missing("message"))?;
        return Ok(ApiCall::SenderAction { user, action });
    };
    Ok(ApiCall::Send {
        user,
        message: with_file(params, message),
        messaging_type: optional(params, "messaging_type")?,
        tag: optional(params, "tag")?,
        thread_control: inline_control(params)?,
    })
}

/// `thread_control`. Without a `control_type` it [releases](messenger_handover::protocol#send-with-control) control.
fn inline_control(params: &Params) -> Result<Option<InlineControl>, GraphError> {
    let Some(control) = structured(params, "thread_control") else { return Ok(None) };
    let Value::Object(control) = control else {
        return Err(GraphError::invalid("thread_control", "must be an object"));
    };
    match control.get("control_type").and_then(Value::as_str) {
        Some("pass") => Ok(Some(InlineControl::Pass(optional(&control, "app_id")?))),
        Some("release") | None => Ok(Some(InlineControl::Release)),
        Some(_) => Err(GraphError::invalid("thread_control[control_type]", "must be pass or release")),
    }
}

/// The recipient of a POST: an object with the id. A bare id is [refused](messenger_handover::protocol#call-parameters).
fn recipient(params: &Params) -> Result<UserId, GraphError> {
    let wrong = || GraphError::invalid("recipient", "must be an object with an id");
    match structured(params, "recipient").ok_or_else(|| GraphError::missing("recipient"))? {
        Value::Object(fields) => optional(&fields, "id")?.ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

/// The recipient of `thread_owner`: the [bare id](messenger_handover::protocol#call-parameters), not an object.
fn bare_recipient(params: &Params) -> Result<UserId, GraphError> {
    let user: UserId = optional(params, "recipient")?.ok_or_else(|| GraphError::missing("recipient"))?;
    if user.to_string().starts_with('{') {
        return Err(GraphError::invalid("recipient", "must be an id"));
    }
    Ok(user)
}

fn duration(params: &Params) -> Result<Duration, GraphError> {
    let seconds = match params.get("duration") {
        Some(Value::Number(seconds)) => seconds.as_u64(),
        Some(Value::String(seconds)) => seconds.parse().ok(),
        Some(_) => None,
        None => return Err(GraphError::missing("duration")),
    };
    let seconds = seconds.ok_or_else(|| GraphError::invalid("duration", "must be an unsigned integer"))?;
    Ok(Duration::from_secs(seconds))
}

/// An object or a list; in a query or form it is text, [JSON or looser](loose::read).
pub(super) fn structured(params: &Params, name: &str) -> Option<Value> {
    match params.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(loose::read(text).unwrap_or_else(|| Value::String(text.clone()))),
        value => Some(value.clone()),
    }
}

/// An optional parameter; `null` counts as missing.
fn optional<T: DeserializeOwned>(params: &Params, name: &str) -> Result<Option<T>, GraphError> {
    match params.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|_| GraphError::invalid(name, "has the wrong type")),
    }
}
