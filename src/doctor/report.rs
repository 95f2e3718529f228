use std::fmt;

use serde::Serialize;

use crate::call::{Advice, FailureKind};
use crate::control::CallError;

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It cannot be known from here.
    Unknown,
    /// This is why handovers fail, or will.
    Problem,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Check {
    /// Whether the token is good, ours and the Page's.
    Token,
    /// Whether the token speaks for the Page or account that is configured.
    Account,
    /// Whether the token carries the permissions.
    Scopes,
    /// Our clock against the platform's.
    Clock,
    /// The webhook fields that the app is subscribed to on the Page.
    Subscription,
    /// `messaging_feature_status`.
    FeatureStatus,
    /// The app's role among the apps of the Page.
    Role,
    /// Who owns the conversation.
    Owner,
    /// Whether the Page may write to the person.
    Conversation,
    /// What `request_thread_control` answers (probe).
    Request,
    /// What `take_thread_control` answers (probe).
    Take,
    /// Whether the claim plan of the policy can succeed at all on this Page (probe).
    Policy,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What.
    pub check: Check,
    /// How it was found.
    pub verdict: Verdict,
    /// What was found, in a sentence.
    pub says: String,
    /// What to do about it, in a sentence.
    pub remedy: Option<String>,
    /// What it rests on: the platform's own words or values. It holds no secret.
    pub evidence: Option<String>,
}

/// What the doctor found, in the order in which it looked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// All findings.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst verdict.
    #[must_use]
    pub fn worst(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Unknown)
    }

    /// The finding of a check, if it was looked at.
    #[must_use]
    pub fn of(&self, check: Check) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.check == check)
    }

    fn push(
        &mut self,
        check: Check,
        verdict: Verdict,
        says: String,
        remedy: Option<&str>,
        evidence: Option<String>,
    ) {
        let remedy = remedy.map(|remedy| match check {
            // What an admin sets somewhere, with where that is.
            Check::Scopes | Check::Subscription | Check::Role | Check::Owner | Check::Policy => {
                format!("{remedy}; see docs/setup.md")
            }
            _ => remedy.to_owned(),
        });
        self.findings.push(Finding { check, verdict, says, remedy, evidence });
    }

    pub(super) fn ok(&mut self, check: Check, says: impl Into<String>, evidence: Option<String>) {
        self.push(check, Verdict::Ok, says.into(), None, evidence);
    }

    pub(super) fn unknown(&mut self, check: Check, says: impl Into<String>, evidence: Option<String>) {
        self.push(check, Verdict::Unknown, says.into(), None, evidence);
    }

    pub(super) fn problem(
        &mut self,
        check: Check,
        says: impl Into<String>,
        remedy: &str,
        evidence: Option<String>,
    ) {
        self.push(check, Verdict::Problem, says.into(), Some(remedy), evidence);
    }

    /// A call failed: a problem where something has to be done about it, else nothing can be known now.
    pub(super) fn failed(&mut self, check: Check, what: &str, error: &CallError) {
        let verdict = match error.advice() {
            _ if error.kind() == FailureKind::Permission => Verdict::Problem,
            Advice::FixToken | Advice::AskPageAdmin => Verdict::Problem,
            _ => Verdict::Unknown,
        };
        let remedy = error.failure().remedy();
        self.push(check, verdict, format!("{what} could not be read"), Some(remedy), Some(error.to_string()));
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Unknown => "cannot be known",
            Self::Problem => "PROBLEM",
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Token => "token",
            Self::Account => "account",
            Self::Scopes => "permissions",
            Self::Clock => "clock",
            Self::Subscription => "webhooks",
            Self::FeatureStatus => "features",
            Self::Role => "role",
            Self::Owner => "thread owner",
            Self::Conversation => "conversation",
            Self::Request => "request",
            Self::Take => "take",
            Self::Policy => "policy",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{:<12}  {:<15}  {}", finding.check, finding.verdict, finding.says)?;
            if let Some(evidence) = &finding.evidence {
                writeln!(f, "{:<31}because: {evidence}", "")?;
            }
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "{:<31}remedy: {remedy}", "")?;
            }
        }
        Ok(())
    }
}
