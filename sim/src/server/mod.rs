//! The simulator over HTTP: a Graph API on a port of this machine, and signed webhooks.
//!
//! A host under test only needs another base URL ([`Server::url`]). The test plays the customer and the people in the Page
//! inbox, and moves the clock.

mod access;
mod acts;
mod batch;
mod builder;
mod clock;
mod config;
mod deliver;
mod diagram;
mod expect;
mod faults;
mod graph;
mod handshake;
mod loose;
mod multipart;
mod outgoing;
mod params;
mod reply;
mod state;
mod steer;
#[cfg(test)]
mod tests;
mod tls;
mod transcript;
mod usage;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

pub use self::builder::Builder;
pub use self::config::{
    AppConfig, ClockConfig, Config, ConfigError, InstagramAccount, InstagramConfig, Limits, PageConfig,
    Person, RouteConfig, RuleSet, Tls,
};
pub use self::expect::{Expectation, ExpectedOwner, Unmet};
pub use self::faults::{Fault, FaultAction, InvalidFault};
pub use self::handshake::HandshakeError;
use self::state::{Seen, Shared};
pub use self::transcript::TranscriptSink;
pub use self::wire::{Observer, Wire};
use super::platform::{GraphError, Platform, Rules, Said};
use messenger_handover::id::{AppId, MessageId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 1 << 20;
/// The timeout of an app's response to a webhook ([redelivery](messenger_handover::protocol#redelivery)).
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The reason why the server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A port of 127.0.0.1 could not be bound: choose another one.
    #[error("no port of 127.0.0.1 could be had")]
    Bind(#[source] std::io::Error),
    /// The certificate or its key is invalid, or they do not match.
    #[error("the certificate or its key is no good")]
    Tls(#[source] std::io::Error),
    /// The HTTP client that delivers webhooks could not be made.
    #[error("the client that delivers webhooks could not be made")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn client() -> Result<reqwest::Client, std::io::Error> {
    let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy();
    // reqwest is built without a TLS provider and asks for the process's, even for plain HTTP.
    let client = client.tls_backend_preconfigured(tls::client_config().map_err(std::io::Error::other)?);
    client.redirect(reqwest::redirect::Policy::none()).build().map_err(std::io::Error::other)
}

/// A running simulator. Dropping it ends its workers and closes its port.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    encrypted: bool,
    _stop: oneshot::Sender<()>,
}

impl Server {
    /// Returns a builder for this platform.
    pub fn builder(platform: Platform) -> Builder {
        Builder::new(platform)
    }

    /// Starts with the default settings; see [`Builder::start`].
    ///
    /// # Errors
    /// [`StartError`], each kind with its cause.
    pub async fn start(platform: Platform) -> Result<Self, StartError> {
        Self::builder(platform).start().await
    }

    /// The base URL of the Graph API, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.encrypted { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Sets the callback of an app. Webhooks for an app without a callback are dropped.
    pub fn set_callback(&self, app: &AppId, url: impl Into<String>) {
        self.shared.lock().platform.set_callback(app, Some(url.into()));
    }

    /// Verifies a callback as Meta does when it is registered
    /// ([handshake](messenger_handover::protocol#webhook-handshake)).
    ///
    /// # Errors
    /// [`HandshakeError`] if Meta would not accept the callback.
    pub async fn verify_webhook(&self, app: &AppId) -> Result<(), HandshakeError> {
        handshake::verify(&self.shared, app).await
    }

    /// A person replies in the Page inbox: [`Platform::inbox_replies`].
    ///
    /// # Errors
    /// [`GraphError`] if the inbox cannot take control or the message cannot be sent.
    pub fn inbox_replies(&self, page: &PageId, user: &UserId, text: &str) -> Result<MessageId, GraphError> {
        inbox_replies(&self.shared, &key(page, user), text)
    }

    /// A person moves the conversation to the inbox: [`Platform::inbox_move`].
    ///
    /// # Errors
    /// [`GraphError`] if the Page or the person does not exist.
    pub fn inbox_move(&self, page: &PageId, user: &UserId) -> Result<(), GraphError> {
        let act = |platform: &mut Platform, now| platform.inbox_move(page, user, now);
        self.shared.act(Some(&key(page, user)), act, |_| Seen::default())
    }

    /// An admin changes the rules of a Page: [`Platform::set_rules`].
    pub fn set_rules(&self, page: &PageId, rules: Rules) {
        self.with_platform(|platform, now| platform.set_rules(page, rules, now));
    }

    /// An admin sets an app's switch *take control of conversations*: [`Platform::set_may_take`].
    pub fn set_may_take(&self, app: &AppId, may: bool) {
        self.with_platform(|platform, _| platform.set_may_take(app, may));
    }

    /// Moves the platform's clock forward. Otherwise it runs with the real one.
    pub fn advance(&self, by: Duration) {
        self.shared.advance(by);
    }

    /// The time of the platform's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.lock().tick()
    }

    /// The owner of a thread.
    #[must_use]
    pub fn owner(&self, page: &PageId, user: &UserId) -> Option<AppId> {
        let mut state = self.shared.lock();
        let now = state.tick();
        state.platform.owner(page, user, now)
    }

    /// The messages of a conversation in order, as the customer sees them.
    #[must_use]
    pub fn conversation(&self, page: &PageId, user: &UserId) -> Vec<Said> {
        self.shared.lock().platform.conversation(page, user).to_vec()
    }

    /// Sets the speed of the platform's clock relative to the real one, from 0 to 1,000,000.
    pub fn set_speed(&self, speed: f64) {
        self.shared.lock().clock.set_speed(speed.clamp(0.0, config::MAX_SPEED));
    }

    /// Adds a fault.
    ///
    /// # Errors
    /// [`InvalidFault`] if the fault is invalid.
    pub fn add_fault(&self, fault: Fault) -> Result<(), InvalidFault> {
        fault.check()?;
        self.shared.lock().faults.add(vec![fault]);
        Ok(())
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// The stored lines of the transcript with a number above `after`, as JSON.
    #[must_use]
    pub fn transcript(&self, after: u64) -> Vec<String> {
        let lines = self.shared.lock().transcript.after(after);
        lines.iter().map(ToString::to_string).collect()
    }

    /// Restores the state from the start, except the clock, the transcript and the callbacks. Pending webhooks are dropped.
    pub fn reset(&self) {
        self.shared.reset(false);
    }

    /// Runs `act` on the platform at its current time, then delivers the webhooks that this makes.
    pub fn with_platform<R>(&self, act: impl FnOnce(&mut Platform, Timestamp) -> R) -> R {
        self.shared.act(None, act, |_| Seen::default())
    }

    /// The number of webhooks given up because their app did not answer 200.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.lock().outgoing.dropped
    }

    /// Waits until an expectation holds.
    ///
    /// # Errors
    /// [`Unmet`] says which condition does not hold, and draws the conversation.
    pub async fn expect(&self, expected: Expectation) -> Result<(), Unmet> {
        expect::wait(&self.shared, &expected).await
    }

    /// Waits until no webhook is queued or in flight. The apps may still be processing what they received.
    pub async fn idle(&self) {
        self.shared.idle().await;
    }

    /// Waits like [`idle`](Self::idle), with a timeout; returns whether the server became idle.
    pub async fn settled(&self, within: Duration) -> bool {
        tokio::time::timeout(within, self.idle()).await.is_ok()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.close();
    }
}

fn key(page: &PageId, user: &UserId) -> ThreadKey {
    ThreadKey::new(page.clone(), user.clone())
}

fn inbox_replies(shared: &Arc<Shared>, key: &ThreadKey, text: &str) -> Result<MessageId, GraphError> {
    let act = |platform: &mut Platform, now| platform.inbox_replies(&key.page, &key.user, text, now);
    let app = shared.lock().platform.inbox_of(&key.page);
    shared.act(Some(key), act, |outcome| {
        let (page, user, text) = (key.page.clone(), key.user.clone(), text.to_owned());
        let reached = Wire::Reached { page, user, text, app };
        Seen { before: None, after: outcome.is_ok().then_some(reached) }
    })
}
