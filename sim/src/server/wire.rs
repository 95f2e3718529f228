//! The events that an observer sees on the wire.

use std::sync::Arc;

use serde_json::Value;

use crate::platform::{Channel, GraphError};
use messenger_handover::id::{AppId, MessageId, PageId, UserId};

/// A callback for every event. It runs under the platform's lock, so that the order is that of the platform's acts; it must be
/// quick and must not call the server.
pub type Observer = Arc<dyn Fn(Wire) + Send + Sync>;

/// One event.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Wire {
    /// A customer wrote, sent an attachment, or pressed a button.
    CustomerWrote {
        /// The Page or account.
        page: PageId,
        /// The customer.
        user: UserId,
        /// The text, the kind of the attachment in brackets, or the title of the button.
        text: String,
    },
    /// A customer did something with a message that exists.
    CustomerActed {
        /// The Page or account.
        page: PageId,
        /// The customer.
        user: UserId,
        /// The message.
        mid: MessageId,
        /// `edit`, `unsend`, `react` or `unreact`.
        act: &'static str,
    },
    /// A customer came by a link or an ad, or opted in.
    CustomerCame {
        /// The Page or account.
        page: PageId,
        /// The customer.
        user: UserId,
        /// `referral` or `optin`.
        act: &'static str,
        /// The source and the `ref` of a referral, or the kind of an opt-in.
        detail: String,
    },
    /// Meta enforced its policy on a Page.
    PolicyEnforced {
        /// The Page.
        page: PageId,
        /// `warning`, `block` or `unblock`.
        action: &'static str,
        /// The reason, if one was given.
        reason: Option<String>,
    },
    /// An app called the Graph API. Calls without a valid token and invalid calls are left out.
    Call {
        /// The calling app.
        app: AppId,
        /// The Page or account.
        page: PageId,
        /// The person, if the call names one.
        user: Option<UserId>,
        /// The edge, such as `request_thread_control`, `messages` or `thread_owner`.
        edge: String,
        /// `POST` or `GET`.
        method: &'static str,
        /// The target of a pass, the text of a message.
        detail: Option<String>,
        /// The outcome of the call.
        outcome: Result<(), GraphError>,
        /// The HTTP status of the response.
        status: u16,
    },
    /// A message was shown to the customer.
    Reached {
        /// The Page or account.
        page: PageId,
        /// The customer.
        user: UserId,
        /// The text, or the whole message if it has none.
        text: String,
        /// The sending app.
        app: AppId,
    },
    /// A thread has another owner or became idle. Reported right after the cause; an expiry is reported when it is noticed,
    /// before anything else happens in the thread.
    OwnerChanged {
        /// The Page or account.
        page: PageId,
        /// The customer of the thread.
        user: UserId,
        /// The new owner; `None` if the thread is idle.
        owner: Option<AppId>,
    },
    /// A webhook is about to be sent.
    Webhook {
        /// The receiving app.
        app: AppId,
        /// The kind of event, such as `message` or `pass_thread_control`.
        label: &'static str,
        /// The array that holds the item.
        channel: Channel,
        /// The item of the array.
        item: Value,
        /// The number of the attempt, from 1.
        attempt: u32,
    },
}
