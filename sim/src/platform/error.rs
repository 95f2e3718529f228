//! The refusals, with the bodies that Graph sends ([refusals](messenger_handover::protocol#refusals),
//! [error codes](messenger_handover::protocol#error-codes)).

use std::fmt;

use serde_json::{Value, json};

use messenger_handover::id::AppId;

/// The code of a refused `request_thread_control` where a default application is set. Inferred: no source shows the real one, so
/// this code is in none of Meta's lists ([request](messenger_handover::protocol#request)).
pub const REQUEST_REFUSED: i64 = 36_100;

/// An error response of the Graph API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphError {
    /// The HTTP status.
    pub status: u16,
    /// `type`: `OAuthException`, `GraphMethodException`, or `IGApiException` under Instagram Login.
    pub kind: &'static str,
    /// `code`.
    pub code: i64,
    /// `error_subcode`.
    pub subcode: Option<i64>,
    /// `message`.
    pub message: String,
    /// `fbtrace_id`.
    pub fbtrace_id: String,
}

impl GraphError {
    pub(crate) fn new(code: i64, subcode: Option<i64>, message: impl Into<String>) -> Self {
        let (kind, fbtrace_id) = ("OAuthException", String::new());
        Self { status: 400, kind, code, subcode, message: message.into(), fbtrace_id }
    }

    /// The [body](messenger_handover::protocol#error-envelope) as Graph writes it.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut error = json!({"message": self.message, "type": self.kind, "code": self.code});
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = json!(subcode);
        }
        error["fbtrace_id"] = json!(self.fbtrace_id);
        json!({"error": error})
    }

    /// The [body](messenger_handover::protocol#error-envelope) with its keys in Graph's order, for clients that show it as it is.
    #[must_use]
    pub fn text(&self) -> String {
        let text = |text: &str| Value::from(text).to_string();
        let (message, kind) = (text(&self.message), text(self.kind));
        let subcode =
            self.subcode.map(|subcode| format!(r#""error_subcode":{subcode},"#)).unwrap_or_default();
        let (code, trace) = (self.code, text(&self.fbtrace_id));
        format!(
            r#"{{"error":{{"message":{message},"type":{kind},"code":{code},{subcode}"fbtrace_id":{trace}}}}}"#
        )
    }

    /// A send by an app that does not own the thread ([observed](messenger_handover::protocol#refusals)).
    pub(super) fn controlled_by_another_app() -> Self {
        let message = "(#10) Message failed to send because another app is controlling this thread now.";
        Self::new(10, Some(2_018_300), message)
    }

    /// A call while a [lead ad](messenger_handover::protocol#lead-ads) asks its questions: subcode 2018321. Code and wording
    /// inferred.
    pub(super) fn asked_by_meta() -> Self {
        let message = "(#100) Messenger's automated questions control this conversation.";
        Self::new(100, Some(2_018_321), message)
    }

    /// A send outside the window: [10/2018278](messenger_handover::protocol#windows). The wording is assumed.
    pub(super) fn outside_window() -> Self {
        Self::new(10, Some(2_018_278), "(#10) This message is sent outside of allowed window.")
    }

    /// A `HUMAN_AGENT` send without approval ([observed](messenger_handover::protocol#human-agent)).
    pub(super) fn no_human_agent() -> Self {
        Self::new(100, None, "(#100) Cannot tag messages with 'HUMAN_AGENT' without prior approval.")
    }

    /// A message to a person whom the Page blocked. Meta documents that neither side can write; that the refusal is that of a
    /// [person who is not available](messenger_handover::protocol#error-codes) is inferred.
    pub(super) fn person_not_available() -> Self {
        Self::new(551, Some(1_545_041), "(#551) This person isn't available right now.")
    }

    /// An unknown person of `moderate_conversations` (observed by one vendor).
    pub(super) fn not_a_person() -> Self {
        Self::new(100, None, "(#100) The user ID is not a valid PSID nor IGSID")
    }

    /// A parameter `fields` that cannot be read. The wording is assumed.
    pub(super) fn bad_fields(at: usize) -> Self {
        Self::new(2500, None, format!("Syntax error \"Expected name.\" at character {at} of fields"))
    }

    /// An unknown app id, for `oauth/access_token` (general knowledge).
    pub(crate) fn no_such_app() -> Self {
        Self::new(
            101,
            None,
            "Error validating application. Cannot get application info due to a system error.",
        )
    }

    /// A wrong secret of an app, for `oauth/access_token` (general knowledge).
    pub(crate) fn wrong_secret() -> Self {
        Self::new(1, None, "Error validating client secret.")
    }

    /// An unknown person: [100/2018001](messenger_handover::protocol#error-codes). The wording is assumed.
    pub(super) fn no_such_person() -> Self {
        Self::new(100, Some(2_018_001), "(#100) No matching user found")
    }

    /// A pass to an app that is not connected: [100/2018164](messenger_handover::protocol#error-codes). The wording is inferred.
    pub(super) fn no_such_target(app: &AppId) -> Self {
        Self::new(100, Some(2_018_164), format!("(#100) Incorrect app id: {app}"))
    }

    /// A call by an app without a role: subcode [2018171](messenger_handover::protocol#error-codes). The code is inferred.
    pub(super) fn no_role() -> Self {
        let message = "(#100) This action is only available to primary and secondary receivers.";
        Self::new(100, Some(2_018_171), message)
    }

    /// `secondary_receivers` by a secondary receiver: subcode [2018234](messenger_handover::protocol#error-codes). The code is
    /// inferred.
    pub(super) fn secondary_may_not_see() -> Self {
        let message = "(#100) A secondary receiver can not get the list of secondary receivers.";
        Self::new(100, Some(2_018_234), message)
    }

    /// A take without role or switch ([inferred](messenger_handover::protocol#refusals) from a test's wording).
    pub(super) fn permission_denied() -> Self {
        Self::new(10, None, "(#10) Permission denied")
    }

    /// A take without a default application ([observed](messenger_handover::protocol#refusals)).
    pub(super) fn take_without_routing() -> Self {
        let message = "(#27) Take thread control is not supported when Conversation Routing is not enabled.";
        Self::new(27, None, message)
    }

    /// A request with a default application; inferred, see [`REQUEST_REFUSED`].
    pub(super) fn request_under_default_app() -> Self {
        let message = "Request thread control is not supported when Conversation Routing is enabled.";
        Self::new(REQUEST_REFUSED, None, format!("(#{REQUEST_REFUSED}) {message}"))
    }

    /// A pass by another app than the owner ([observed](messenger_handover::protocol#refusals)).
    pub(super) fn pass_by_stranger() -> Self {
        Self::new(100, None, "(#100) calling app is not the thread owner")
    }

    /// A release by another app than the owner ([observed](messenger_handover::protocol#refusals)).
    pub(super) fn release_by_stranger() -> Self {
        Self::new(100, None, "(#100) Only the current thread owner can release")
    }

    /// An extension by another app than the owner. The rule is [documented](messenger_handover::protocol#extend); the body is
    /// inferred from that of a release.
    pub(super) fn extend_by_stranger() -> Self {
        Self::new(100, None, "(#100) Only the current thread owner can extend")
    }

    /// A request, a take or a pass to itself by the owner. [Documented](messenger_handover::protocol#refusals) as not allowed;
    /// the body is inferred.
    pub(super) fn already_owner() -> Self {
        Self::new(100, None, "(#100) calling app is already the thread owner")
    }

    /// A missing parameter, in Graph's usual words (assumed).
    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(100, None, format!("(#100) The parameter {parameter} is required"))
    }

    /// An invalid parameter. The wording is assumed.
    pub(crate) fn invalid(parameter: &str, why: &str) -> Self {
        Self::new(100, None, format!("(#100) Invalid parameter {parameter}: {why}"))
    }

    /// An unknown [token](messenger_handover::protocol#tokens).
    pub(crate) fn bad_token() -> Self {
        Self::new(190, None, "Invalid OAuth access token - Cannot parse access token")
    }

    /// A [token](messenger_handover::protocol#tokens) that has ended. The wording is assumed.
    pub(crate) fn token_ended(subcode: i64) -> Self {
        let message = match subcode {
            458 => "Error validating access token: The user has not authorized application",
            460 => {
                "Error validating access token: The session has been invalidated because the user changed their password"
            }
            463 => "Error validating access token: Session has expired",
            _ => "Error validating access token",
        };
        Self::new(190, Some(subcode), message)
    }

    /// A permission that the token lacks: [230 or 200](messenger_handover::protocol#error-codes). The wording is assumed.
    pub(super) fn scope_missing(scope: &str) -> Self {
        let code = if scope == "pages_messaging" { 230 } else { 200 };
        Self::new(code, None, format!("(#{code}) Requires {scope} permission to manage the object"))
    }

    /// An object or edge that does not exist: [100/33](messenger_handover::protocol#error-codes).
    pub(crate) fn unsupported(method: &str, node: &str) -> Self {
        let message = format!(
            "Unsupported {method} request. Object with ID '{node}' does not exist, cannot be loaded due to \
             missing permissions, or does not support this operation"
        );
        Self { kind: "GraphMethodException", ..Self::new(100, Some(33), message) }
    }
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subcode {
            Some(subcode) => write!(f, "[{}/{subcode}] {}", self.code, self.message),
            None => write!(f, "[{}] {}", self.code, self.message),
        }
    }
}

impl std::error::Error for GraphError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_keys_in_the_order_of_graph() {
        let refusal = GraphError { fbtrace_id: "T".to_owned(), ..GraphError::new(10, Some(7), "a \"b\"\n") };
        let text = concat!(
            r#"{"error":{"message":"a \"b\"\n","type":"OAuthException","code":10,"error_subcode":7,"#,
            r#""fbtrace_id":"T"}}"#
        );
        assert_eq!(refusal.text(), text);
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), refusal.body());
        let plain = GraphError::missing("recipient");
        assert_eq!(serde_json::from_str::<Value>(&plain.text()).unwrap(), plain.body());
    }
}
