//! Faults on purpose: by rule, by count, and by a seed that repeats them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::platform::GraphError;
use messenger_handover::id::AppId;

/// A fault. As JSON:
/// `{"on": "call:take_thread_control", "do": "timeout_after", "times": 1, "app": "999"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Fault {
    /// The target: `call`, `call:EDGE` (such as `call:messages`), `webhook` or `webhook:LABEL` (such as `webhook:echo`).
    pub on: String,
    /// The effect.
    #[serde(rename = "do")]
    pub action: FaultAction,
    /// The only app that it strikes. Default: every app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppId>,
    /// The number of strikes. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// The probability of a strike, from 0 to 1. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// The duration of a delay or a timeout, in milliseconds. Default: 1 s for a delay, 60 s for a timeout. For a
    /// reorder, the longest wait for the next webhook; default 1 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// The error of a refusal, as in Graph's bodies: `code`, and optionally `error_subcode`, `message` and `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
}

/// The effect of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultAction {
    /// The call is refused with [`Fault::error`]. Default: code 2.
    Refuse,
    /// The call is refused with code 613, and the usage headers say when to call again.
    RateLimit,
    /// The call gets HTTP status 500 without a body of Graph's.
    #[serde(rename = "status_500")]
    Status500,
    /// The call gets an HTML body, as from a proxy.
    Html,
    /// The call gets status 200 and an empty body.
    Empty,
    /// The call is not made, and gets status 504 after the timeout.
    TimeoutBefore,
    /// The call is made, but gets status 504 after the timeout.
    TimeoutAfter,
    /// The call or the webhook is delayed.
    Delay,
    /// The webhook is delivered twice.
    Duplicate,
    /// The next webhook to that app overtakes this one, if it comes in time.
    Reorder,
    /// The webhook is not delivered.
    Lose,
}

/// The reason why a fault is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidFault {
    /// The target is neither calls nor webhooks.
    #[error("`on` must be call, call:EDGE, webhook or webhook:LABEL")]
    On,
    /// The edge or the label does not exist.
    #[error("there is no {0}")]
    Unknown(String),
    /// The action does not fit: calls cannot be lost, and webhooks cannot be refused.
    #[error("that cannot be done to {0}")]
    Action(&'static str),
    /// `times` is 0.
    #[error("`times` must be at least 1")]
    Times,
    /// `chance` is not a probability.
    #[error("`chance` must be from 0 to 1")]
    Chance,
}

/// The edges that a fault can name.
const EDGES: [&str; 19] = [
    "pass_thread_control",
    "take_thread_control",
    "request_thread_control",
    "release_thread_control",
    "extend_thread_control",
    "thread_owner",
    "secondary_receivers",
    "messages",
    "messaging_feature_status",
    "subscribed_apps",
    "conversations",
    "node",
    "debug_token",
    "messenger_profile",
    "subscriptions",
    "message_attachments",
    "moderate_conversations",
    "accounts",
    "access_token",
];
const LABELS: [&str; 14] = [
    "message",
    "postback",
    "echo",
    "delivery",
    "read",
    "reaction",
    "edit",
    "referral",
    "optin",
    "pass_thread_control",
    "take_thread_control",
    "request_thread_control",
    "app_roles",
    "policy_enforcement",
];

impl Fault {
    /// A fault that always strikes. Set further fields on the value.
    pub fn new(on: impl Into<String>, action: FaultAction) -> Self {
        Self { on: on.into(), action, app: None, times: None, chance: None, ms: None, error: None }
    }

    /// Limits the number of strikes.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    pub(super) fn check(&self) -> Result<(), InvalidFault> {
        use FaultAction::{Delay, Duplicate, Lose, Reorder};
        let (what, name) = match self.on.split_once(':') {
            Some((what, name)) => (what, Some(name)),
            None => (self.on.as_str(), None),
        };
        let of_webhooks = matches!(self.action, Delay | Duplicate | Lose | Reorder);
        let (names, fits, what) = match what {
            "call" => (&EDGES[..], !of_webhooks || self.action == Delay, "calls"),
            "webhook" => (&LABELS[..], of_webhooks, "webhooks"),
            _ => return Err(InvalidFault::On),
        };
        if name.is_some_and(|name| !names.contains(&name)) {
            return Err(InvalidFault::Unknown(self.on.clone()));
        }
        if !fits {
            return Err(InvalidFault::Action(what));
        }
        if self.times == Some(0) {
            return Err(InvalidFault::Times);
        }
        if self.chance.is_some_and(|chance| !(0.0..=1.0).contains(&chance)) {
            return Err(InvalidFault::Chance);
        }
        Ok(())
    }

    /// The duration of the fault, or this default.
    pub(super) fn wait(&self, otherwise: Duration) -> Duration {
        self.ms.map_or(otherwise, Duration::from_millis)
    }

    /// The refusal of a struck call.
    pub(super) fn refusal(&self) -> GraphError {
        let error = self.error.as_ref();
        let number = |name| error.and_then(|error| error.get(name)).and_then(Value::as_i64);
        let message = error.and_then(|error| error.get("message")).and_then(Value::as_str);
        let code = number("code").unwrap_or(2);
        let message =
            message.map_or_else(|| format!("(#{code}) Service temporarily unavailable"), str::to_owned);
        let status = number("status").and_then(|status| u16::try_from(status).ok());
        let status = status.filter(|status| (200..600).contains(status)).unwrap_or(400);
        GraphError { status, ..GraphError::new(code, number("error_subcode"), message) }
    }
}

pub(super) struct Faults {
    /// The active faults, each with a number that stays when others end.
    all: Vec<(u64, Fault)>,
    initial: Vec<Fault>,
    added: u64,
    seed: u64,
    /// The attempts of each fault on each kind of call or webhook of each app. Each of these is a random sequence of its own, so
    /// that concurrent traffic does not change it.
    tried: HashMap<(u64, String, AppId), u64>,
}

impl Faults {
    pub(super) fn new(faults: Vec<Fault>, seed: u64) -> Self {
        let initial = faults.clone();
        let mut new = Self { all: Vec::new(), initial, added: 0, seed, tried: HashMap::new() };
        new.add(faults);
        new
    }

    pub(super) fn add(&mut self, faults: Vec<Fault>) {
        for fault in faults {
            self.added += 1;
            self.all.push((self.added, fault));
        }
    }

    /// Ends all faults, and restarts the random sequences.
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.tried.clear();
        self.added = 0;
    }

    /// Restores the faults from the start.
    pub(super) fn reset(&mut self) {
        self.clear();
        self.add(self.initial.clone());
    }

    pub(super) fn all(&self) -> Vec<&Fault> {
        self.all.iter().map(|(_, fault)| fault).collect()
    }

    /// Returns the first fault that strikes. `what` is `call` or `webhook`.
    pub(super) fn strike(&mut self, what: &str, name: &str, app: &AppId) -> Option<Fault> {
        let (seed, tried) = (self.seed, &mut self.tried);
        let at = self.all.iter().position(|(number, fault)| {
            let on = fault.on == what || fault.on.strip_prefix(what) == Some(&format!(":{name}"));
            if !on || fault.app.as_ref().is_some_and(|only| only != app) {
                return false;
            }
            let Some(chance) = fault.chance else { return true };
            let times = tried.entry((*number, format!("{what}:{name}"), app.clone())).or_default();
            *times += 1;
            let mut hasher = DefaultHasher::new();
            (seed, number, what, name, app, *times).hash(&mut hasher);
            fastrand::Rng::with_seed(hasher.finish()).f64() < chance
        })?;
        let fault = self.all[at].1.clone();
        if let Some(times) = &mut self.all[at].1.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.all.remove(at);
            }
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn strikes(faults: &mut Faults) -> Vec<bool> {
        (0..50).map(|_| faults.strike("call", "messages", &AppId::from(1)).is_some()).collect()
    }

    #[test]
    fn the_same_seed_goes_wrong_the_same_way() {
        let fault = Fault { chance: Some(0.3), ..Fault::new("call", FaultAction::Html) };
        let faults = |seed| Faults::new(vec![fault.clone()], seed);
        let once = strikes(&mut faults(7));
        assert_eq!(once, strikes(&mut faults(7)));
        assert_ne!(once, strikes(&mut faults(8)));
        let struck = once.iter().filter(|struck| **struck).count();
        assert!((5..30).contains(&struck), "{struck}");
        let mut beside = faults(7);
        let beside: Vec<_> = (0..50)
            .map(|_| {
                beside.strike("call", "messages", &AppId::from(2));
                beside.strike("call", "messages", &AppId::from(1)).is_some()
            })
            .collect();
        assert_eq!(once, beside, "another app's calls change nothing");
        let mut again = faults(7);
        strikes(&mut again);
        again.clear();
        again.add(vec![fault.clone()]);
        assert_eq!(once, strikes(&mut again));
    }

    #[test]
    fn a_fault_strikes_what_it_is_for_and_so_often() {
        let one = Fault { app: Some(AppId::from(1)), ..Fault::new("call:messages", FaultAction::Empty) };
        let mut faults = Faults::new(vec![one.times(2)], 0);
        assert!(faults.strike("webhook", "messages", &AppId::from(1)).is_none());
        assert!(faults.strike("call", "thread_owner", &AppId::from(1)).is_none());
        assert!(faults.strike("call", "messages", &AppId::from(2)).is_none());
        assert_eq!(strikes(&mut faults).iter().filter(|struck| **struck).count(), 2);
        assert!(faults.all().is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let read = |json: Value| serde_json::from_value::<Fault>(json).map(|fault| fault.check());
        assert_eq!(read(json!({"on": "call:messages", "do": "timeout_after"})).unwrap(), Ok(()));
        assert_eq!(read(json!({"on": "webhook", "do": "delay", "ms": 5})).unwrap(), Ok(()));
        assert_eq!(read(json!({"on": "post", "do": "lose"})).unwrap(), Err(InvalidFault::On));
        let unknown = read(json!({"on": "call:mesages", "do": "html"})).unwrap();
        assert_eq!(unknown, Err(InvalidFault::Unknown("call:mesages".to_owned())));
        assert_eq!(read(json!({"on": "call", "do": "lose"})).unwrap(), Err(InvalidFault::Action("calls")));
        let refused = read(json!({"on": "webhook:echo", "do": "refuse"})).unwrap();
        assert_eq!(refused, Err(InvalidFault::Action("webhooks")));
        assert_eq!(read(json!({"on": "call", "do": "html", "times": 0})).unwrap(), Err(InvalidFault::Times));
        let chance = read(json!({"on": "call", "do": "html", "chance": 1.5})).unwrap();
        assert_eq!(chance, Err(InvalidFault::Chance));
        for wrong in [
            json!({"on": "call"}),
            json!({"on": "call", "do": "x"}),
            json!({"on": "call", "do": "html", "t": 1}),
        ] {
            assert!(read(wrong).is_err());
        }
    }
}
