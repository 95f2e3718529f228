//! Failures of calls: their kind, by the platform's [error codes](crate::protocol#error-codes), and the remedy.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The failure of a call, in a form that can be stored. It never carries a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// Graph's `code`. It [may be negative](crate::protocol#error-envelope).
    pub code: Option<i64>,
    /// Graph's `error_subcode`.
    pub subcode: Option<i64>,
    /// The platform's text, for people. It is localised, so never match on it.
    pub message: String,
    /// The wait that the platform asks for.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure of this kind with a text.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, code: None, subcode: None, message: message.into(), retry_after: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        match (self.code, self.subcode) {
            (Some(code), Some(subcode)) => write!(f, " [{code}/{subcode}]")?,
            (Some(code), None) => write!(f, " [{code}]")?,
            _ => {}
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

/// The problem with an access token, by [Graph's subcode](crate::protocol#tokens).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenProblem {
    /// 458: the person or the Page removed the app.
    AppNotInstalled,
    /// 459: the person must log in at facebook.com and pass a check.
    Checkpoint,
    /// 460: the person changed their password.
    PasswordChanged,
    /// 463, or code 102 without a subcode: the token has expired.
    Expired,
    /// 464: the person's account is not confirmed.
    UnconfirmedUser,
    /// 467: invalid for another reason.
    Invalid,
    /// 492: the person no longer has a role on the Page.
    NoRole,
    /// The platform gave no subcode.
    Unspecified,
}

impl Failure {
    /// The problem with the token. `None` unless the kind is [`FailureKind::Token`].
    #[must_use]
    pub fn token_problem(&self) -> Option<TokenProblem> {
        use TokenProblem::{
            AppNotInstalled, Checkpoint, Expired, Invalid, NoRole, PasswordChanged, UnconfirmedUser,
            Unspecified,
        };
        (self.kind == FailureKind::Token).then_some(match (self.code, self.subcode) {
            (_, Some(458)) => AppNotInstalled,
            (_, Some(459)) => Checkpoint,
            (_, Some(460)) => PasswordChanged,
            (_, Some(463)) | (Some(102), None) => Expired,
            (_, Some(464)) => UnconfirmedUser,
            (_, Some(467)) => Invalid,
            (_, Some(492)) => NoRole,
            _ => Unspecified,
        })
    }

    /// Whether the failure is certainly about the Page's configuration, and so applies to everyone who writes to the
    /// Page.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        self.kind == FailureKind::NotAvailable && !self.may_be_the_owner()
    }

    /// Whether a refused take or request may mean that the app has control already. An owner's take gets [code
    /// 27](crate::protocol#take), the same as a take without Conversation Routing, and only the sentence tells them
    /// apart. An owner may not [request](crate::protocol#request) either; that this is a plain code 100 is inferred. Read
    /// `thread_owner`.
    #[must_use]
    pub fn may_be_the_owner(&self) -> bool {
        match self.code {
            Some(27) => !self.message.to_lowercase().contains("conversation routing"),
            Some(100) => self.kind == FailureKind::Invalid && self.subcode.is_none(),
            _ => false,
        }
    }

    /// The remedy in one sentence: the action, and the person who can take it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match (self.kind, self.code, self.subcode) {
            (FailureKind::NotAvailable, Some(27), _) => {
                "take_thread_control needs a default application: a Page admin sets one under Page settings, \
                 Conversation routing, and lets this app take control there"
            }
            (FailureKind::NotAvailable, _, Some(2_018_171)) => {
                "this app has no role on the Page: a Page admin connects it under Page settings, Advanced \
                 messaging"
            }
            (FailureKind::Token, ..) => match self.token_problem() {
                Some(TokenProblem::AppNotInstalled) => {
                    "somebody removed the app: log in and connect the Page again"
                }
                Some(TokenProblem::Checkpoint) => {
                    "log in at facebook.com, do what it asks, then renew the token"
                }
                Some(TokenProblem::PasswordChanged) => {
                    "the password changed: log in again and renew the token"
                }
                Some(TokenProblem::Expired) => "the token has expired: renew it from a long-lived user token",
                Some(TokenProblem::UnconfirmedUser) => "the account must be confirmed at facebook.com first",
                Some(TokenProblem::NoRole) => {
                    "give the person a role on the Page again, then renew the token"
                }
                _ => "replace the Page's access token",
            },
            (kind, ..) => kind.remedy(),
        }
    }
}

/// The kinds of failure, by the caller's [reaction](crate::protocol#error-codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// Another app controls the thread (10/2018300, 100/2534037).
    NotThreadOwner,
    /// The platform's own flow holds the thread and will end by itself (2018321).
    PlatformFlow,
    /// The call does not exist in this Page's configuration (27, 2018171).
    NotAvailable,
    /// The messaging window is closed until the customer writes again (10/2018278, 10/2534022).
    OutsideWindow,
    /// This person cannot be reached (551, 100/2018001, 10/2018108).
    RecipientUnavailable,
    /// The access token is not valid any more (190, 102).
    Token,
    /// The app lacks a permission (10, 200–299, 3).
    Permission,
    /// The request itself is invalid (100 and others).
    Invalid,
    /// Too many calls (4, 17, 32, 341, 613, 80001, …, HTTP 429).
    RateLimited,
    /// The Page or app is temporarily restricted (10/1893063, 368).
    Restricted,
    /// A passing fault at the platform (-1, 1, 2, 1200, HTTP 5xx).
    Transient,
    /// The other side was not reached.
    Transport,
    /// The response was not understood.
    Protocol,
    /// The desk refuses (HTTP 409): people are busy with this customer, or another app owns the thread.
    Conflict,
}

/// The caller's reaction to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// The call is in order: repeat it later.
    RetryLater,
    /// Get control of the thread first.
    AskForControl,
    /// Replace the access token.
    FixToken,
    /// An admin of the Page (or of the app) must change a setting.
    AskPageAdmin,
    /// Give up: this call cannot succeed as it is.
    GiveUp,
}

impl FailureKind {
    /// The caller's reaction.
    #[must_use]
    pub fn advice(self) -> Advice {
        match self {
            Self::PlatformFlow | Self::RateLimited | Self::Restricted | Self::Transient | Self::Transport => {
                Advice::RetryLater
            }
            Self::NotThreadOwner => Advice::AskForControl,
            Self::Token => Advice::FixToken,
            Self::NotAvailable | Self::Permission => Advice::AskPageAdmin,
            Self::OutsideWindow
            | Self::RecipientUnavailable
            | Self::Invalid
            | Self::Protocol
            | Self::Conflict => Advice::GiveUp,
        }
    }

    /// The remedy in one sentence: the action, and the person who can take it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NotThreadOwner => {
                "get control first: request it, take it, or wait for its owner to pass it"
            }
            Self::PlatformFlow => {
                "wait: the platform's own flow ends by itself and then passes or releases control"
            }
            Self::NotAvailable => {
                "a Page admin changes it under Page settings, Conversation routing: the default application, and \
                 which apps may take control"
            }
            Self::OutsideWindow => {
                "wait until the customer writes again; a person may answer for 7 days with the HUMAN_AGENT tag, if \
                 the app is approved for it"
            }
            Self::RecipientUnavailable => "this person cannot be written to now: they must write first",
            Self::Token => "replace the Page's access token",
            Self::Permission => {
                "grant the app the missing permission (pages_messaging, on Instagram instagram_manage_messages) or \
                 its approval"
            }
            Self::Invalid => "correct the request: it will not succeed as it is",
            Self::RateLimited => "call less, and not before the time that the platform names",
            Self::Restricted => "wait, and look at the Page's support inbox for why it is restricted",
            Self::Transient => "try again later",
            Self::Transport => "check network, proxy and base URL, then try again",
            Self::Protocol => {
                "something between us and the platform answers in its place: check proxy and base URL"
            }
            Self::Conflict => "wait until the agent is done with the customer",
        }
    }

    /// Whether a refused `request` or `take` means that this Page's configuration does not have the call. Meta
    /// [documents no code](crate::protocol#request) for it, so it is recognised by exclusion: not about rate, a
    /// passing fault, the token, the window, the recipient or ownership.
    #[must_use]
    pub fn means_not_available(self) -> bool {
        matches!(self, Self::NotAvailable | Self::Permission | Self::Invalid)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotThreadOwner => "another app controls the thread",
            Self::PlatformFlow => "the platform's own flow holds the thread",
            Self::NotAvailable => "not available in this Page's configuration",
            Self::OutsideWindow => "outside the messaging window",
            Self::RecipientUnavailable => "the person cannot be reached",
            Self::Token => "the access token is not valid",
            Self::Permission => "permission missing",
            Self::Invalid => "invalid request",
            Self::RateLimited => "rate limited",
            Self::Restricted => "temporarily restricted",
            Self::Transient => "passing fault",
            Self::Transport => "not reached",
            Self::Protocol => "response not understood",
            Self::Conflict => "the desk refuses",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_token() {
        let mut failure = Failure::new(FailureKind::Token, "");
        for (code, subcode, problem) in [
            (190, Some(458), TokenProblem::AppNotInstalled),
            (190, Some(459), TokenProblem::Checkpoint),
            (190, Some(463), TokenProblem::Expired),
            (190, Some(464), TokenProblem::UnconfirmedUser),
            (190, Some(467), TokenProblem::Invalid),
            (190, Some(492), TokenProblem::NoRole),
            (102, None, TokenProblem::Expired),
            (190, Some(460), TokenProblem::PasswordChanged),
            (190, None, TokenProblem::Unspecified),
        ] {
            (failure.code, failure.subcode) = (Some(code), subcode);
            assert_eq!(failure.token_problem(), Some(problem));
        }
        failure.kind = FailureKind::Invalid;
        assert_eq!(failure.token_problem(), None);
    }

    /// People read the remedy, so each one names an action.
    #[test]
    fn a_remedy_says_what_to_do() {
        let of = |kind, code, subcode| {
            let mut failure = Failure::new(kind, "");
            (failure.code, failure.subcode) = (code, subcode);
            failure.remedy()
        };
        let token = |subcode| of(FailureKind::Token, Some(190), subcode);
        for (remedy, word) in [
            (token(Some(458)), "connect the Page again"),
            (token(Some(459)), "facebook.com"),
            (token(Some(460)), "password"),
            (token(Some(463)), "expired"),
            (token(Some(464)), "confirmed"),
            (token(Some(467)), "replace"),
            (token(Some(492)), "role on the Page"),
            (token(None), "replace"),
            (of(FailureKind::NotAvailable, Some(27), None), "default application"),
            (of(FailureKind::NotAvailable, Some(10), Some(2_018_171)), "Advanced messaging"),
            (of(FailureKind::NotAvailable, None, None), "Conversation routing"),
            (of(FailureKind::NotThreadOwner, None, None), "get control first"),
            (of(FailureKind::OutsideWindow, None, None), "HUMAN_AGENT"),
            (of(FailureKind::Permission, None, None), "pages_messaging"),
            (of(FailureKind::RateLimited, None, None), "call less"),
            (of(FailureKind::Restricted, None, None), "support inbox"),
            (of(FailureKind::Transport, None, None), "network"),
            (of(FailureKind::Protocol, None, None), "proxy"),
        ] {
            assert!(remedy.contains(word), "{remedy}");
        }
    }

    #[test]
    fn not_available_is_recognised_by_exclusion() {
        use FailureKind::*;
        for kind in [NotAvailable, Permission, Invalid] {
            assert!(kind.means_not_available(), "{kind}");
        }
        for kind in [
            NotThreadOwner,
            PlatformFlow,
            OutsideWindow,
            RecipientUnavailable,
            Token,
            RateLimited,
            Restricted,
            Transient,
            Transport,
            Protocol,
            Conflict,
        ] {
            assert!(!kind.means_not_available(), "{kind}");
        }
    }
}
