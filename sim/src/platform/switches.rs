//! The choices where no source, or more than one, states the platform's behaviour.

use serde::{Deserialize, Serialize};

/// The effect of `request_thread_control` where a default application is set. No source shows the response, so both are inferred
/// ([request](messenger_handover::protocol#request)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RequestUnderDefaultApp {
    /// The call is refused with [`REQUEST_REFUSED`](super::REQUEST_REFUSED).
    #[default]
    Refused,
    /// The call returns `{"success":true}` without effect.
    SilentSuccess,
}

/// The rights of apps that do not own a thread, on a Page without a default application
/// ([zero-config](messenger_handover::protocol#zero-config)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ZeroConfig {
    /// As observed in production: once an app owns the thread, the others read on standby and may not send.
    #[default]
    Observed,
    /// As Meta documents it: every app reads on `messaging` and may send.
    Documented,
}

/// The choices where no source, or more than one, states the platform's behaviour. Test both values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Switches {
    /// `refused` (the default) or `silent_success`.
    pub request_under_default_app: RequestUnderDefaultApp,
    /// `observed` (the default) or `documented`.
    pub zero_config: ZeroConfig,
    /// `always` (the default) or `lost_when_control_leaves`.
    pub echoes: Echoes,
    /// `code_100` (the default), `code_27` or `code_27_no_routing`.
    pub take_by_owner: TakeByOwner,
    /// `repeated` (the default) or `missing_on_instagram`.
    pub echo_metadata: EchoMetadata,
    /// `boolean` (the default) or `text`.
    pub is_deleted: DeletedFlag,
    /// `underscore` (the default) or `hyphen`.
    pub policy_key: PolicyKey,
    /// The most events that [share a delivery](messenger_handover::protocol#redelivery), up to 1,000; by default each has one
    /// of its own. With more than 1, an app gets one delivery at a time, with events of several people.
    pub events_per_delivery: u16,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            request_under_default_app: RequestUnderDefaultApp::default(),
            zero_config: ZeroConfig::default(),
            echoes: Echoes::default(),
            take_by_owner: TakeByOwner::default(),
            echo_metadata: EchoMetadata::default(),
            is_deleted: DeletedFlag::default(),
            policy_key: PolicyKey::default(),
            events_per_delivery: 1,
        }
    }
}

/// The fate of the [echo](messenger_handover::protocol#echoes) of a message whose sender gives control away at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Echoes {
    /// The echo arrives.
    #[default]
    Always,
    /// An echo that is still pending when its sender passes or releases the thread is not delivered to that sender, as was
    /// observed.
    LostWhenControlLeaves,
}

/// The refusal of a [take](messenger_handover::protocol#take) by the owner under Conversation Routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TakeByOwner {
    /// Code 100, like a request by the owner (inferred).
    #[default]
    #[serde(rename = "code_100")]
    Code100,
    /// Code 27 with a sentence of its own. One source observed the code, none the sentence.
    #[serde(rename = "code_27")]
    Code27,
    /// Code 27 with the sentence of a Page without a default application, so that only
    /// [`thread_owner`](messenger_handover::protocol#thread-owner) tells the two apart (inferred).
    #[serde(rename = "code_27_no_routing")]
    Code27NoRouting,
}

/// The `metadata` of an app's message in its [echoes](messenger_handover::protocol#echoes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EchoMetadata {
    /// The echo repeats it, as documented for Messenger.
    #[default]
    Repeated,
    /// Echoes of Instagram accounts do not have it (inferred: a recorded one has neither `metadata` nor `app_id`).
    MissingOnInstagram,
}

/// The value of `is_deleted` in the webhook of an [unsent message](messenger_handover::protocol#unsent-and-edited).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeletedFlag {
    /// `true`.
    #[default]
    Boolean,
    /// `"true"`, as some reports have it.
    Text,
}

/// The key of a policy enforcement in its webhook, which Meta's pages spell in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PolicyKey {
    /// `policy_enforcement`.
    #[default]
    Underscore,
    /// `policy-enforcement`.
    Hyphen,
}
