//! The doctor's report: checks, verdicts and findings.

use std::fmt;

use serde::Serialize;

use crate::call::{Advice, FailureKind};
use crate::control::CallError;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The check found no fault.
    Ok,
    /// The check could not find out.
    Unknown,
    /// The check found a reason why handovers fail or will fail.
    Problem,
}

/// The subject of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Check {
    /// Whether the token is valid and belongs to our app and the Page.
    Token,
    /// Whether the token belongs to the configured Page or account.
    Account,
    /// Whether the token has the needed permissions.
    Scopes,
    /// Whether our clock agrees with the platform's.
    Clock,
    /// The webhook fields that the app is subscribed to on the Page.
    Subscription,
    /// The flags of `messaging_feature_status`.
    FeatureStatus,
    /// The app's role among the apps of the Page.
    Role,
    /// The thread's owner.
    Owner,
    /// Whether the Page may write to the person.
    Conversation,
    /// The outcome of `request_thread_control` (probe).
    Request,
    /// The outcome of `take_thread_control` (probe).
    Take,
    /// Whether the claim plan of the policy can succeed at all on this Page (probe).
    Policy,
}

/// The result of one check, with its reason and remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The check's subject.
    pub check: Check,
    /// The check's result.
    pub verdict: Verdict,
    /// The finding as a sentence.
    pub says: String,
    /// The remedy as a sentence, if there is one.
    pub remedy: Option<String>,
    /// The platform's own message or values that the finding rests on. It holds no secret.
    pub evidence: Option<String>,
}

/// The findings of an examination, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// All findings.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst verdict of all findings.
    #[must_use]
    pub fn worst(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Unknown)
    }

    /// The finding of a check, if the check was made.
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
            // An admin must change a setting; the setup guide says where.
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

    /// Adds the finding of a failed call: a problem if somebody must act, else unknown.
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
