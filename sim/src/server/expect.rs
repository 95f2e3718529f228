//! Expectations: what a test waits for in a conversation, with a diagram of what happened instead.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::diagram;
use super::state::Shared;
use crate::platform::Speaker;
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

/// The pause between two looks at the platform, by the real clock.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The longest wait, by the real clock.
const LONGEST: Duration = Duration::from_secs(60);

/// An expectation of a conversation. Conditions that are not set hold.
///
/// ```
/// # use messenger_sim::Expectation;
/// let answered = Expectation::of(987_654_321_098_765, 1_234_567_890_123_456).read("How can I help you?").by(888).owner(888);
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Expectation {
    /// The Page or account.
    pub page: PageId,
    /// The customer.
    pub user: UserId,
    /// A text that the customer has read, whole.
    #[serde(default)]
    pub read: Option<String>,
    /// The app that wrote it; any if not set.
    #[serde(default)]
    pub by: Option<AppId>,
    /// The number of messages with that text, exactly; at least one if not set.
    #[serde(default)]
    pub times: Option<usize>,
    /// The owner of the thread.
    #[serde(default)]
    pub owner: ExpectedOwner,
    /// The milliseconds of the platform's clock for which nothing may happen once the other conditions hold: no message, no call
    /// and no change of owner in this conversation.
    #[serde(default)]
    pub nothing_for_ms: Option<u64>,
    /// The milliseconds of the real clock after which the expectation fails, up to 60,000. Default: 5,000.
    #[serde(default = "soon")]
    pub within_ms: u64,
}

fn soon() -> u64 {
    5_000
}

/// The owner that is expected. In JSON: an app's id, null for nobody, or no such field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectedOwner {
    /// Any app, or nobody.
    #[default]
    Any,
    /// The thread is idle.
    Nobody,
    /// This app.
    App(AppId),
}

impl<'de> Deserialize<'de> for ExpectedOwner {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(from)?.map_or(Self::Nobody, Self::App))
    }
}

impl ExpectedOwner {
    fn is_met_by(&self, owner: Option<&AppId>) -> bool {
        match self {
            Self::Any => true,
            Self::Nobody => owner.is_none(),
            Self::App(app) => owner == Some(app),
        }
    }
}

impl Expectation {
    /// An expectation that holds at once.
    pub fn of(page: impl Into<PageId>, user: impl Into<UserId>) -> Self {
        let (page, user, within_ms) = (page.into(), user.into(), soon());
        Self {
            page,
            user,
            read: None,
            by: None,
            times: None,
            owner: ExpectedOwner::Any,
            nothing_for_ms: None,
            within_ms,
        }
    }

    /// The customer has read this text.
    #[must_use]
    pub fn read(mut self, text: impl Into<String>) -> Self {
        self.read = Some(text.into());
        self
    }

    /// This app wrote the text.
    #[must_use]
    pub fn by(mut self, app: impl Into<AppId>) -> Self {
        self.by = Some(app.into());
        self
    }

    /// The customer has read the text exactly so often.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// This app has control.
    #[must_use]
    pub fn owner(mut self, app: impl Into<AppId>) -> Self {
        self.owner = ExpectedOwner::App(app.into());
        self
    }

    /// The thread is idle.
    #[must_use]
    pub fn idle(mut self) -> Self {
        self.owner = ExpectedOwner::Nobody;
        self
    }

    /// Nothing happens in the conversation for this time of the platform's clock, once the other conditions hold.
    #[must_use]
    pub fn nothing_for(mut self, time: Duration) -> Self {
        self.nothing_for_ms = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Fails after this time of the real clock, up to 60 s.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self
    }

    fn key(&self) -> ThreadKey {
        ThreadKey::new(self.page.clone(), self.user.clone())
    }
}

/// An expectation that was not met: the reason, and a diagram of what happened in the conversation. `Debug` shows them as they are,
/// so that a test can `unwrap`.
#[derive(Clone, PartialEq, Eq)]
pub struct Unmet {
    pub(super) why: String,
    pub(super) diagram: String,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.why, self.diagram)
    }
}

impl fmt::Debug for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Unmet {}

/// Waits until the expectation holds.
pub(super) async fn wait(shared: &Shared, expected: &Expectation) -> Result<(), Unmet> {
    let within = Duration::from_millis(expected.within_ms).min(LONGEST);
    let unmet = |why: String| Unmet { why, diagram: drawn(shared, &expected.key()) };
    let holds = async {
        while missing(shared, expected).is_some() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let waited = tokio::time::timeout(within, async {
        holds.await;
        match expected.nothing_for_ms {
            Some(ms) => nothing(shared, &expected.key(), Duration::from_millis(ms)).await,
            None => Ok(()),
        }
    });
    match (waited.await, missing(shared, expected)) {
        (Ok(outcome), None) => outcome.map_err(unmet),
        (_, Some(missing)) => Err(unmet(missing)),
        (Err(_), None) => {
            Err(unmet(format!("the platform's clock did not pass {:?} ms in time", expected.nothing_for_ms)))
        }
    }
}

/// The first condition that does not hold, in words.
fn missing(shared: &Shared, expected: &Expectation) -> Option<String> {
    let mut state = shared.lock();
    let now = state.tick();
    let said = state.platform.conversation(&expected.page, &expected.user);
    if let Some(text) = &expected.read {
        let by = |from: &Speaker| match (from, &expected.by) {
            (Speaker::App(app), Some(by)) => app == by,
            (Speaker::App(_), None) => true,
            (Speaker::Customer, _) => false,
        };
        let found = said.iter().filter(|said| said.text() == Some(text) && by(&said.from)).count();
        if expected.times.map_or(found == 0, |times| found != times) {
            let by = expected.by.as_ref().map_or_else(|| "any app".to_owned(), |app| format!("app {app}"));
            let times =
                expected.times.map_or_else(|| "at least once".to_owned(), |times| format!("{times} times"));
            return Some(format!(
                "expected {text:?} of {by} {times}, the customer has read it {found} times"
            ));
        }
    }
    let owner = state.platform.owner(&expected.page, &expected.user, now);
    if expected.owner.is_met_by(owner.as_ref()) {
        return None;
    }
    let wanted = match &expected.owner {
        ExpectedOwner::App(app) => format!("app {app}"),
        _ => "nobody".to_owned(),
    };
    let owner = owner.map_or_else(|| "nobody".to_owned(), |app| format!("app {app}"));
    Some(format!("expected {wanted} to have control, {owner} has it"))
}

/// Waits until the platform's clock has passed this time and nothing has happened in the conversation.
async fn nothing(shared: &Shared, key: &ThreadKey, time: Duration) -> Result<(), String> {
    let (begun, seen): (Timestamp, u64) = {
        let mut state = shared.lock();
        (state.tick(), state.transcript.written())
    };
    loop {
        let (now, lines) = {
            let mut state = shared.lock();
            (state.tick(), state.transcript.after(seen))
        };
        let happened = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut happened = happened.filter(|line| is_of(line, key));
        let counts =
            |line: &Value| matches!(line["kind"].as_str(), Some("customer" | "reached" | "call" | "owner"));
        if let Some(line) = happened.find(counts) {
            let passed = now.since(begun).as_millis();
            return Err(format!(
                "expected nothing for {} ms, after {passed} ms came {line}",
                time.as_millis()
            ));
        }
        if now.since(begun) >= time {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_of(line: &Value, key: &ThreadKey) -> bool {
    line["user"] == json!(key.user) && line["page"] == json!(key.page)
}

fn drawn(shared: &Shared, key: &ThreadKey) -> String {
    let state = shared.lock();
    let lines: Vec<Value> =
        state.transcript.after(0).iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let apps = state.platform.apps_of(&key.page);
    // Answers to webhooks name the webhook, not the person.
    let webhooks: Vec<&Value> = lines
        .iter()
        .filter(|line| is_of(line, key) && line["kind"] == "webhook")
        .map(|line| &line["seq"])
        .collect();
    let of_answer = |line: &Value| line["kind"] == "webhook_answer" && webhooks.contains(&&line["of"]);
    let lines: Vec<&Value> = lines.iter().filter(|line| is_of(line, key) || of_answer(line)).collect();
    let acts =
        |(id, _): &(String, String)| lines.iter().any(|line| line["app"] == *id || line["owner"] == *id);
    let apps: Vec<_> = apps.into_iter().filter(acts).collect();
    diagram::draw(lines.iter().copied(), &apps)
}
