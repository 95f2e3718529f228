//! What can be seen on the wire.

use std::sync::Arc;

use serde_json::Value;

use crate::platform::{Channel, GraphError};
use messenger_handover::id::{AppId, PageId, UserId};

/// Who is told what happens. It is called under the platform's lock, so that the order is the one in
/// which the platform acted: it must be quick and must not call the server.
pub type Observer = Arc<dyn Fn(Wire) + Send + Sync>;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Wire {
    /// A customer wrote, or pressed a button with this title.
    CustomerWrote {
        /// To which Page.
        page: PageId,
        /// Who.
        user: UserId,
        /// What.
        text: String,
    },
    /// An app called the Graph API. Calls without a good token or without sense are not told.
    Call {
        /// Which app.
        app: AppId,
        /// On which Page.
        page: PageId,
        /// About whom.
        user: Option<UserId>,
        /// The edge, such as `request_thread_control`, `messages` or `thread_owner`.
        edge: String,
        /// `POST` or `GET`.
        method: &'static str,
        /// The target of a pass, the text of a message.
        detail: Option<String>,
        /// How it ended.
        outcome: Result<(), GraphError>,
        /// The HTTP status of the answer.
        status: u16,
    },
    /// A message was shown to the customer.
    Reached {
        /// Of which Page.
        page: PageId,
        /// To whom.
        user: UserId,
        /// Its text, or the whole message where it has none.
        text: String,
        /// Which app sent it.
        app: AppId,
    },
    /// A thread has another owner, or none. Told right after what changed it; an expiry is told when
    /// it is noticed, before anything else happens in the thread.
    OwnerChanged {
        /// Of which Page.
        page: PageId,
        /// Whose thread.
        user: UserId,
        /// The new owner.
        owner: Option<AppId>,
    },
    /// A webhook is about to be sent.
    Webhook {
        /// To which app.
        app: AppId,
        /// What it is, such as `message` or `pass_thread_control`.
        label: &'static str,
        /// In which array.
        channel: Channel,
        /// The item of the array.
        item: Value,
        /// The first try is 1.
        attempt: u32,
    },
}
