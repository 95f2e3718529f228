//! A platform in memory and a clock in virtual time, for the tests of a host.
//!
//! The platform is small: it keeps one owner for each conversation, follows the rules of Conversation Routing with an app that may
//! take control, and sends no webhooks by itself. For all rules, webhooks over HTTP, and programs in other languages, use the
//! package `messenger-sim`.
//!
//! ```
//! use std::time::Duration;
//! use messenger_handover::prelude::*;
//! use messenger_handover::testing::{FakeClient, VirtualClock};
//!
//! struct Echo;
//!
//! #[async_trait]
//! impl Handler for Echo {
//!     async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
//!         let mut actions = Actions::none();
//!         for message in notification.to_answer() {
//!             let text = message.text.clone().unwrap_or_default();
//!             actions = actions.and_reply_to(message, OutgoingMessage::text(text)?);
//!         }
//!         Ok(actions)
//!     }
//! }
//!
//! // Needs tokio with the feature `test-util`.
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let platform = FakeClient::new(1);
//! let bot = Handover::builder(1, Role::Bot, ThreadControlPolicy::BotPrimary, platform.clone(), Echo)
//!     .clock(VirtualClock::new())
//!     .start()?;
//! let customer = ThreadKey::new(PageId::from(10), UserId::from(4711));
//!
//! bot.events(vec![platform.customer_writes(&customer, "hello")]).await?;
//! assert!(bot.settled(Duration::from_secs(5)).await);
//! assert_eq!(platform.sent(&customer), [OutgoingMessage::text("hello")?]);
//!
//! // Another app takes control: the bot is silent.
//! bot.events(vec![platform.taken_by(&customer, 2)]).await?;
//! bot.events(vec![platform.customer_writes(&customer, "are you there?")]).await?;
//! assert!(bot.settled(Duration::from_secs(5)).await);
//! assert_eq!(platform.sent(&customer).len(), 1);
//! # Ok(())
//! # }
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::call::{Failure, FailureKind, InlineControl, OutgoingMessage, SenderAction, ThreadOwner};
use crate::control::{CallError, Forwarded, HandoverClient, Sent};
use crate::event::{Channel, ControlChange, Event, EventKind, Inbound};
use crate::handover::Clock;
use crate::id::{AppId, MessageId, ThreadKey};
use crate::time::{Span, Timestamp};

/// A clock that follows tokio's time. In a test with paused time, hours pass at once, and every timer of the service fires on time.
#[derive(Debug, Clone, Copy)]
pub struct VirtualClock {
    begun: Instant,
}

impl VirtualClock {
    /// A clock that begins on 2023-11-14.
    #[must_use]
    pub fn new() -> Self {
        Self { begun: Instant::now() }
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000).plus(self.begun.elapsed())
    }
}

/// A [`HandoverClient`] that calls nothing: it keeps the owner of each conversation and the calls that were made. Clones share
/// one platform.
#[derive(Debug, Clone)]
pub struct FakeClient {
    app: AppId,
    default_app: AppId,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    owners: HashMap<ThreadKey, AppId>,
    calls: Vec<(ThreadKey, FakeCall)>,
    sent: Vec<(ThreadKey, OutgoingMessage)>,
    errors: VecDeque<CallError>,
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FakeCall {
    /// A message to the customer.
    SendMessage(OutgoingMessage),
    /// A sign to the customer, such as a typing indicator.
    SenderAction(SenderAction),
    /// `pass_thread_control`, to this app.
    PassThreadControl(Option<AppId>),
    /// `take_thread_control`
    TakeThreadControl,
    /// `request_thread_control`
    RequestThreadControl,
    /// `release_thread_control`
    ReleaseThreadControl,
    /// `GET thread_owner`
    ThreadOwner,
}

impl FakeClient {
    /// A platform without conversations, as this app calls it. The app is also the Page's default application.
    #[must_use]
    pub fn new(app: impl Into<AppId>) -> Self {
        let app = app.into();
        Self { default_app: app.clone(), app, state: Arc::default() }
    }

    /// Makes another app the Page's [default application](crate::protocol#routing): idle conversations are that app's, and only
    /// it may send in them.
    #[must_use]
    pub fn default_app(mut self, app: impl Into<AppId>) -> Self {
        self.default_app = app.into();
        self
    }

    /// The event of a customer's text. An idle conversation becomes the default application's. The event comes on standby while
    /// another app has control.
    #[must_use]
    pub fn customer_writes(&self, thread: &ThreadKey, text: &str) -> (ThreadKey, Event) {
        let mut state = self.state();
        let owner = state.owners.entry(thread.clone()).or_insert_with(|| self.default_app.clone());
        let channel = if *owner == self.app { Channel::Messaging } else { Channel::Standby };
        let inbound = Inbound { text: Some(text.to_owned()), ..Inbound::new(new_mid(), Span::UNKNOWN) };
        (thread.clone(), Event::new(channel, Span::UNKNOWN, EventKind::Inbound(inbound)))
    }

    /// Gives control to our app, and returns the event of it, which Meta sends to the new owner.
    #[must_use]
    pub fn passed_to_us(&self, thread: &ThreadKey) -> (ThreadKey, Event) {
        let previous = self.state().give(thread, Some(self.app.clone()));
        let change = EventKind::PassThreadControl(ControlChange::new(previous, Some(self.app.clone())));
        (thread.clone(), Event::new(Channel::Messaging, Span::UNKNOWN, change))
    }

    /// Gives control to an app that takes it, and returns the event of it, which Meta sends to the previous owner.
    #[must_use]
    pub fn taken_by(&self, thread: &ThreadKey, app: impl Into<AppId>) -> (ThreadKey, Event) {
        let app = app.into();
        let previous = self.state().give(thread, Some(app.clone()));
        let change = EventKind::TakeThreadControl(ControlChange::new(previous, Some(app)));
        (thread.clone(), Event::new(Channel::Messaging, Span::UNKNOWN, change))
    }

    /// Gives control to another app, or makes the conversation idle. Meta tells nobody of it but a new owner.
    pub fn set_owner(&self, thread: &ThreadKey, app: Option<AppId>) {
        self.state().give(thread, app);
    }

    /// The app that has control; `None` if nobody has it.
    #[must_use]
    pub fn owner(&self, thread: &ThreadKey) -> Option<AppId> {
        self.state().owners.get(thread).cloned()
    }

    /// Lets the next call fail with this error. Several errors apply to as many calls, in order.
    pub fn fail_next(&self, error: CallError) {
        self.state().errors.push_back(error);
    }

    /// All calls so far, also the refused ones, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<(ThreadKey, FakeCall)> {
        self.state().calls.clone()
    }

    /// The messages that reached this customer, in order.
    #[must_use]
    pub fn sent(&self, thread: &ThreadKey) -> Vec<OutgoingMessage> {
        let state = self.state();
        state.sent.iter().filter(|(key, _)| key == thread).map(|(_, message)| message.clone()).collect()
    }

    /// Records a call, and fails if the test wants that.
    fn call(&self, thread: &ThreadKey, call: FakeCall) -> Result<MutexGuard<'_, State>, CallError> {
        let mut state = self.state();
        state.calls.push((thread.clone(), call));
        match state.errors.pop_front() {
            Some(error) => Err(error),
            None => Ok(state),
        }
    }

    /// A call that only the owner may make, and where `idle` says so, our app while nobody has control.
    fn call_as_owner(
        &self,
        thread: &ThreadKey,
        call: FakeCall,
        idle: bool,
    ) -> Result<MutexGuard<'_, State>, CallError> {
        let state = self.call(thread, call)?;
        if state.owners.get(thread).map_or(idle, |owner| *owner == self.app) {
            return Ok(state);
        }
        let failure = Failure::new(FailureKind::NotThreadOwner, "another app is controlling this thread");
        Err(CallError::refused(failure))
    }

    fn is_default(&self) -> bool {
        self.default_app == self.app
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the previous owner.
    fn give(&mut self, thread: &ThreadKey, to: Option<AppId>) -> Option<AppId> {
        match to {
            Some(to) => self.owners.insert(thread.clone(), to),
            None => self.owners.remove(thread),
        }
    }
}

/// No two are alike, because a store may outlive a platform.
fn new_mid() -> Option<MessageId> {
    MessageId::new(format!("m_{:016x}", fastrand::u64(..))).ok()
}

#[async_trait]
impl HandoverClient for FakeClient {
    async fn pass_thread_control(
        &self,
        thread: &ThreadKey,
        target: Option<&AppId>,
        _metadata: Option<&str>,
    ) -> Result<(), CallError> {
        let mut state = self.call_as_owner(thread, FakeCall::PassThreadControl(target.cloned()), true)?;
        state.give(thread, Some(target.unwrap_or(&self.default_app).clone()));
        Ok(())
    }

    async fn take_thread_control(&self, thread: &ThreadKey, _: Option<&str>) -> Result<(), CallError> {
        let mut state = self.call(thread, FakeCall::TakeThreadControl)?;
        state.give(thread, Some(self.app.clone()));
        Ok(())
    }

    async fn request_thread_control(
        &self,
        thread: &ThreadKey,
        _metadata: Option<&str>,
    ) -> Result<Forwarded, CallError> {
        drop(self.call(thread, FakeCall::RequestThreadControl)?);
        let why = "request thread control is not available where a default application is set";
        Err(CallError::refused(Failure::new(FailureKind::NotAvailable, why)))
    }

    async fn release_thread_control(&self, thread: &ThreadKey) -> Result<(), CallError> {
        let mut state = self.call_as_owner(thread, FakeCall::ReleaseThreadControl, false)?;
        state.give(thread, None);
        Ok(())
    }

    async fn thread_owner(&self, thread: &ThreadKey) -> Result<ThreadOwner, CallError> {
        let state = self.call(thread, FakeCall::ThreadOwner)?;
        let owner = state.owners.get(thread).cloned();
        Ok(owner.map_or(ThreadOwner::Idle, |app| ThreadOwner::App { app, expires: None }))
    }

    async fn send_message(
        &self,
        thread: &ThreadKey,
        message: &OutgoingMessage,
        _metadata: Option<&str>,
    ) -> Result<Sent, CallError> {
        let sends = FakeCall::SendMessage(message.clone());
        let mut state = self.call_as_owner(thread, sends, self.is_default())?;
        match message.control() {
            Some(InlineControl::PassTo(app)) => drop(state.give(thread, Some(app.clone()))),
            Some(InlineControl::Release) => drop(state.give(thread, None)),
            None => {}
        }
        state.sent.push((thread.clone(), message.clone()));
        Ok(Sent::new(new_mid()))
    }

    async fn sender_action(&self, thread: &ThreadKey, action: SenderAction) -> Result<(), CallError> {
        self.call_as_owner(thread, FakeCall::SenderAction(action), self.is_default()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::{PageId, UserId};
    use crate::prelude::*;

    fn thread() -> ThreadKey {
        ThreadKey::new(PageId::from(10), UserId::from(4711))
    }

    struct Silent;

    #[async_trait]
    impl Handler for Silent {
        async fn notify(&self, _: &Handover, _: &Notification) -> Result<Actions, HandlerError> {
            Ok(Actions::none())
        }
    }

    /// A desk beside a bot that is the default application takes control for its agent.
    #[tokio::test(start_paused = true)]
    async fn fake_platform_lets_a_desk_take_what_it_cannot_request() {
        let platform = FakeClient::new(2).default_app(1);
        let builder =
            Handover::builder(2, Role::Desk, ThreadControlPolicy::BotPrimary, platform.clone(), Silent);
        let desk = builder.clock(VirtualClock::new()).start().unwrap();
        let (_, event) = platform.customer_writes(&thread(), "hello");
        assert_eq!(event.channel, Channel::Standby);
        let message = OutgoingMessage::text("How can I help you?").unwrap();
        assert!(platform.send_message(&thread(), &message, None).await.is_err());
        desk.send(&thread(), MessageKey::new("1").unwrap(), message.clone()).await.unwrap();
        assert!(desk.settled(Duration::from_secs(5)).await);
        assert_eq!(platform.sent(&thread()), [message]);
        assert_eq!(platform.owner(&thread()), Some(AppId::from(2)));
        desk.close_intervention(&thread()).await.unwrap();
        assert!(desk.settled(Duration::from_secs(5)).await);
        assert_eq!(platform.owner(&thread()), None);
        assert!(platform.release_thread_control(&thread()).await.is_err(), "nobody has control");
        platform.pass_thread_control(&thread(), None, None).await.unwrap();
        assert_eq!(platform.owner(&thread()), Some(AppId::from(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn virtual_clock_follows_tokio() {
        let clock = VirtualClock::default();
        let begun = clock.now();
        tokio::time::sleep(Duration::from_hours(25)).await;
        assert_eq!(clock.now().since(begun), Duration::from_hours(25));
    }
}
