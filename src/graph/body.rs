//! The JSON bodies of calls, serialised from borrowed values.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::call::{InlineControl, MessagingType, OutgoingMessage};
use crate::id::AppId;

/// The parameters of the thread-control edges.
#[derive(Default, Serialize)]
pub(super) struct Control<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target_app_id: Option<&'a AppId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<&'a str>,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Sending<'a> {
    messaging_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'static str>,
    message: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_control: Option<ThreadControl<'a>>,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(flatten)]
    body: Cow<'a, Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "control_type", rename_all = "snake_case")]
enum ThreadControl<'a> {
    Pass { app_id: &'a AppId },
    Release,
}

impl<'a> Sending<'a> {
    pub(super) fn new(message: &'a OutgoingMessage, metadata: Option<&'a str>) -> Self {
        let (messaging_type, tag) = match message.messaging_type() {
            MessagingType::Response => ("RESPONSE", None),
            MessagingType::Update => ("UPDATE", None),
            MessagingType::HumanAgent => ("MESSAGE_TAG", Some("HUMAN_AGENT")),
        };
        let thread_control = message.control().map(|control| match control {
            InlineControl::PassTo(app) => ThreadControl::Pass { app_id: app },
            InlineControl::Release => ThreadControl::Release,
        });
        let mut body = Cow::Borrowed(message.body());
        // A duplicate key would leave the choice to the platform.
        if metadata.is_some() && body.contains_key("metadata") {
            body.to_mut().remove("metadata");
        }
        Self { messaging_type, tag, message: Content { body, metadata }, thread_control }
    }
}
