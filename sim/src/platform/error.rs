//! The refusals, with Graph's bodies (facts §5).

use std::fmt;

use serde_json::{Value, json};

use messenger_handover::id::AppId;

/// The code of a refused `request_thread_control` where a default application is set. INF: no source
/// shows the real one, so it is one that no list of Meta's has (facts §5.2).
pub const REQUEST_REFUSED: i64 = 36_100;

/// An error answer of the Graph API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphError {
    /// The HTTP status.
    pub status: u16,
    /// `type`: `OAuthException` or `GraphMethodException`.
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

    /// The body, as Graph writes it (facts §5.1).
    #[must_use]
    pub fn body(&self) -> Value {
        let mut error = json!({"message": self.message, "type": self.kind, "code": self.code});
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = json!(subcode);
        }
        error["fbtrace_id"] = json!(self.fbtrace_id);
        json!({"error": error})
    }

    /// Send by an app that may not (facts §5.2, OBS).
    pub(super) fn controlled_by_another_app() -> Self {
        let message = "(#10) Message failed to send because another app is controlling this thread now.";
        Self::new(10, Some(2_018_300), message)
    }

    /// While a lead ad asks (facts §5.3: 2018321; that it comes under code 100, and the wording, are INF).
    pub(super) fn asked_by_meta() -> Self {
        let message = "(#100) Messenger's automated questions control this conversation.";
        Self::new(100, Some(2_018_321), message)
    }

    /// Send outside the window (facts §5.3; the wording is BG).
    pub(super) fn outside_window() -> Self {
        Self::new(10, Some(2_018_278), "(#10) This message is sent outside of allowed window.")
    }

    /// Facts §2.8, OBS.
    pub(super) fn no_human_agent() -> Self {
        Self::new(100, None, "(#100) Cannot tag messages with 'HUMAN_AGENT' without prior approval.")
    }

    /// Facts §5.3: 100/2018001 (the wording is BG).
    pub(super) fn no_such_person() -> Self {
        Self::new(100, Some(2_018_001), "(#100) No matching user found")
    }

    /// Facts §5.3: 100/2018164 (the wording is INF).
    pub(super) fn no_such_target(app: &AppId) -> Self {
        Self::new(100, Some(2_018_164), format!("(#100) Incorrect app id: {app}"))
    }

    /// Facts §5.3: 2018171; that it comes under code 100 is INF.
    pub(super) fn no_role() -> Self {
        let message = "(#100) This action is only available to primary and secondary receivers.";
        Self::new(100, Some(2_018_171), message)
    }

    /// Facts §5.3: 2018234; that it comes under code 100 is INF.
    pub(super) fn secondary_may_not_see() -> Self {
        let message = "(#100) A secondary receiver can not get the list of secondary receivers.";
        Self::new(100, Some(2_018_234), message)
    }

    /// Facts §5.2, 3P.
    pub(super) fn permission_denied() -> Self {
        Self::new(10, None, "(#10) Permission denied")
    }

    /// Facts §5.2, OBS.
    pub(super) fn take_without_routing() -> Self {
        let message = "(#27) Take thread control is not supported when Conversation Routing is not enabled.";
        Self::new(27, None, message)
    }

    /// INF, see [`REQUEST_REFUSED`].
    pub(super) fn request_under_default_app() -> Self {
        let message = "Request thread control is not supported when Conversation Routing is enabled.";
        Self::new(REQUEST_REFUSED, None, format!("(#{REQUEST_REFUSED}) {message}"))
    }

    /// Facts §5.2, OBS.
    pub(super) fn pass_by_stranger() -> Self {
        Self::new(100, None, "(#100) calling app is not the thread owner")
    }

    /// Facts §5.2, OBS.
    pub(super) fn release_by_stranger() -> Self {
        Self::new(100, None, "(#100) Only the current thread owner can release")
    }

    /// The rule is DOC (facts §2.4), the body INF after the one of release.
    pub(super) fn extend_by_stranger() -> Self {
        Self::new(100, None, "(#100) Only the current thread owner can extend")
    }

    /// Request, take or pass-to-itself by the owner: DOC that it is not allowed (facts §2.4), the body
    /// is INF.
    pub(super) fn already_owner() -> Self {
        Self::new(100, None, "(#100) calling app is already the thread owner")
    }

    /// Graph's usual words for a missing parameter (BG).
    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(100, None, format!("(#100) The parameter {parameter} is required"))
    }

    /// A parameter that does not say anything useful (the wording is BG).
    pub(crate) fn invalid(parameter: &str, why: &str) -> Self {
        Self::new(100, None, format!("(#100) Invalid parameter {parameter}: {why}"))
    }

    /// A token that nobody has (facts §5.3).
    pub(crate) fn bad_token() -> Self {
        Self::new(190, None, "Invalid OAuth access token - Cannot parse access token")
    }

    /// A token that was good once (facts §5.3). The wording is BG.
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

    /// A permission that the token lacks (facts §5.3: 230, and the family of 200). The wording is BG.
    pub(super) fn scope_missing(scope: &str) -> Self {
        let code = if scope == "pages_messaging" { 230 } else { 200 };
        Self::new(code, None, format!("(#{code}) Requires {scope} permission to manage the object"))
    }

    /// An object or edge that is not there (facts §5.3: 100/33).
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
