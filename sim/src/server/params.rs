//! Parses a request's [parameters](messenger_handover::protocol#call-parameters) into a call. Graph reads them from the query, a
//! form or a JSON body, and ids as numbers and strings.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::platform::{ApiCall, GraphError, InlineControl};
use messenger_handover::id::UserId;

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
        ("GET", "") if asks_for(params, "messaging_feature_status") => ApiCall::FeatureStatus,
        ("GET", "") => ApiCall::Node,
        ("GET", "subscribed_apps") => ApiCall::SubscribedApps,
        ("POST", "subscribed_apps") => ApiCall::Subscribe { fields: fields(params)? },
        ("GET", "conversations") => ApiCall::Conversation {
            user: optional(params, "user_id")?.ok_or_else(|| GraphError::missing("user_id"))?,
        },
        _ => return Ok(None),
    }))
}

fn asks_for(params: &Params, field: &str) -> bool {
    match params.get("fields") {
        Some(Value::Array(fields)) => fields.iter().any(|asked| asked == field),
        // Some clients write a list as JSON text.
        Some(Value::String(text)) => {
            text.split(',').any(|asked| asked.trim_matches([' ', '[', ']', '"']) == field)
        }
        _ => false,
    }
}

/// `subscribed_fields`, as a list or separated by commas.
fn fields(params: &Params) -> Result<Vec<String>, GraphError> {
    let wrong = || GraphError::invalid("subscribed_fields", "must be a list of webhook fields");
    match params.get("subscribed_fields") {
        None | Some(Value::Null) => Err(GraphError::missing("subscribed_fields")),
        Some(Value::Array(fields)) => {
            fields.iter().map(|field| field.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(Value::String(text)) => Ok(serde_json::from_str(text).unwrap_or_else(|_| {
            let fields = text.split(',').map(str::trim).filter(|field| !field.is_empty());
            fields.map(str::to_owned).collect()
        })),
        Some(_) => Err(wrong()),
    }
}

fn message(params: &Params) -> Result<ApiCall, GraphError> {
    let user = recipient(params)?;
    let Some(message) = structured(params, "message") else {
        let action = optional(params, "sender_action")?.ok_or_else(|| GraphError::missing("message"))?;
        return Ok(ApiCall::SenderAction { user, action });
    };
    Ok(ApiCall::Send {
        user,
        message,
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

/// The recipient of a POST: an object with the id, in a query also as text, with or without quotes around the name, as in Meta's
/// samples. A bare id is [refused](messenger_handover::protocol#call-parameters).
fn recipient(params: &Params) -> Result<UserId, GraphError> {
    let wrong = || GraphError::invalid("recipient", "must be an object with an id");
    match structured(params, "recipient").ok_or_else(|| GraphError::missing("recipient"))? {
        Value::Object(fields) => optional(&fields, "id")?.ok_or_else(wrong),
        Value::String(text) => {
            let inner = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
            let (name, id) = inner.and_then(|inner| inner.split_once(':')).ok_or_else(wrong)?;
            if unquoted(name) != "id" {
                return Err(wrong());
            }
            UserId::new(unquoted(id)).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
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

/// An object parameter; in a query or form it is JSON text.
fn structured(params: &Params, name: &str) -> Option<Value> {
    match params.get(name)? {
        Value::Null => None,
        Value::String(text) => {
            let parsed = serde_json::from_str(text).ok().filter(Value::is_object);
            Some(parsed.unwrap_or_else(|| Value::String(text.clone())))
        }
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
