//! A platform in memory, for the tests of a host.
//!
//! It is small: it has one owner for each conversation, follows the rules of Conversation Routing with an app that may take
//! control, and sends no webhooks by itself. For all rules, webhooks over HTTP, and programs in other languages, use the package
//! `messenger-sim`.
//!
//! ```
//! use std::time::Duration;
//! use messenger_handover::prelude::*;
//! use messenger_handover::testing::FakeClient;
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
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let platform = FakeClient::new(1);
//! let bot = Handover::builder(1, Role::Bot, ThreadControlPolicy::BotPrimary, platform.clone(), Echo).start()?;
//! let customer = ThreadKey::new(PageId::from(10), UserId::from(4711));
//!
//! bot.events(vec![platform.customer_writes(&customer, "hello")]).await?;
//! assert!(bot.settled(Duration::from_secs(5)).await);
//! assert_eq!(platform.sent(&customer), [OutgoingMessage::text("hello")?]);
//!
//! // Another app takes control: the bot is silent.
//! bot.events(vec![platform.control_passes(&customer, Some(AppId::from(2)))]).await?;
//! bot.events(vec![platform.customer_writes(&customer, "are you there?")]).await?;
//! assert!(bot.settled(Duration::from_secs(5)).await);
//! assert_eq!(platform.sent(&customer).len(), 1);
//! # Ok(())
//! # }
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::call::{Failure, FailureKind, InlineControl, OutgoingMessage, SenderAction, ThreadOwner};
use crate::control::{CallError, Forwarded, HandoverClient, Sent};
use crate::event::{Channel, ControlChange, Event, EventKind, Inbound};
use crate::id::{AppId, MessageId, ThreadKey};
use crate::time::Span;

/// A [`HandoverClient`] that calls nothing: it keeps the owner of each conversation and the calls that were made. Clones share
/// one platform.
#[derive(Debug, Clone)]
pub struct FakeClient {
    app: AppId,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    owners: HashMap<ThreadKey, AppId>,
    calls: Vec<(ThreadKey, FakeCall)>,
    sent: Vec<(ThreadKey, OutgoingMessage)>,
    errors: VecDeque<CallError>,
    messages: u64,
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
    /// A platform without conversations, as this app calls it.
    #[must_use]
    pub fn new(app: impl Into<AppId>) -> Self {
        Self { app: app.into(), state: Arc::default() }
    }

    /// The event of a customer's text. It comes on standby while another app has control.
    #[must_use]
    pub fn customer_writes(&self, thread: &ThreadKey, text: &str) -> (ThreadKey, Event) {
        let mut state = self.state();
        state.messages += 1;
        let is_ours = state.owners.get(thread).is_none_or(|owner| *owner == self.app);
        let channel = if is_ours { Channel::Messaging } else { Channel::Standby };
        let mid = MessageId::new(format!("m_in_{}", state.messages)).ok();
        let inbound = Inbound { text: Some(text.to_owned()), ..Inbound::new(mid, Span::UNKNOWN) };
        (thread.clone(), Event::new(channel, Span::UNKNOWN, EventKind::Inbound(inbound)))
    }

    /// Gives control to an app, or to nobody, and returns the event of it.
    #[must_use]
    pub fn control_passes(&self, thread: &ThreadKey, to: Option<AppId>) -> (ThreadKey, Event) {
        let previous = self.state().give(thread, to.clone());
        let is_ours = to.as_ref().is_none_or(|to| *to == self.app);
        let channel = if is_ours { Channel::Messaging } else { Channel::Standby };
        let change = EventKind::PassThreadControl(ControlChange::new(previous, to));
        (thread.clone(), Event::new(channel, Span::UNKNOWN, change))
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

    /// A call that only the owner may make, or anybody while nobody has control.
    fn call_as_owner(&self, thread: &ThreadKey, call: FakeCall) -> Result<MutexGuard<'_, State>, CallError> {
        let state = self.call(thread, call)?;
        if state.owners.get(thread).is_some_and(|owner| *owner != self.app) {
            let failure = Failure::new(FailureKind::NotThreadOwner, "another app is controlling this thread");
            return Err(CallError::refused(failure));
        }
        Ok(state)
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

#[async_trait]
impl HandoverClient for FakeClient {
    async fn pass_thread_control(
        &self,
        thread: &ThreadKey,
        target: Option<&AppId>,
        _metadata: Option<&str>,
    ) -> Result<(), CallError> {
        let mut state = self.call_as_owner(thread, FakeCall::PassThreadControl(target.cloned()))?;
        state.give(thread, target.cloned());
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
        self.call(thread, FakeCall::RequestThreadControl).map(|_| Forwarded::new())
    }

    async fn release_thread_control(&self, thread: &ThreadKey) -> Result<(), CallError> {
        let mut state = self.call_as_owner(thread, FakeCall::ReleaseThreadControl)?;
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
        let mut state = self.call_as_owner(thread, FakeCall::SendMessage(message.clone()))?;
        let owner = match message.control() {
            Some(InlineControl::PassTo(app)) => Some(app.clone()),
            Some(InlineControl::Release) => None,
            None => Some(self.app.clone()),
        };
        state.give(thread, owner);
        state.sent.push((thread.clone(), message.clone()));
        state.messages += 1;
        Ok(Sent::new(MessageId::new(format!("m_out_{}", state.messages)).ok()))
    }

    async fn sender_action(&self, thread: &ThreadKey, action: SenderAction) -> Result<(), CallError> {
        self.call_as_owner(thread, FakeCall::SenderAction(action)).map(drop)
    }
}
