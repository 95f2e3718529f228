//! The Messenger platform, simulated: what tests run against, and what judges them.
//!
//! [`platform`] holds Meta's rules as a pure function: no clock, no socket, no async. [`server`]
//! puts HTTP around it: a Graph API that clients in any language can be
//! pointed at, and signed webhooks.
//!
//! The rules are written from what Meta documents and what others saw in production, and each names
//! its source: "facts §…" is the project's sheet of protocol facts, with its tags `DOC` (Meta says so),
//! `OBS` (seen live), `3P` (a third party says so), `BG` (general knowledge) and `INF` (inferred; a
//! test should not hang on it alone). Nothing here shares code with the client, the webhook parser,
//! the policy or the thread machine of this crate: the judge must not be the judged.
//!
//! ```
//! use messenger_sim::{ApiCall, App, Page, Platform, Rules};
//! use messenger_handover::id::{AppId, PageId, UserId};
//! use messenger_handover::time::Timestamp;
//!
//! let (bot, desk) = (AppId::from(1), AppId::from(2));
//! let (page, user, now) = (PageId::from(7), UserId::from(9), Timestamp::from_millis(1_700_000_000_000));
//! let mut platform = Platform::new()
//!     .with_app(App::new(1, "Bot", "secret", "verify"))
//!     .with_app(App::new(2, "Desk", "secret", "verify"))
//!     .with_page(Page::new(7, Rules::primary(1)).app(1, "token-1").app(2, "token-2"));
//!
//! platform.customer_writes(&page, &user, "Hello?", now);
//! assert_eq!(platform.owner(&page, &user, now), Some(bot.clone()));
//!
//! let request = ApiCall::Request { user, metadata: None };
//! platform.call(&desk, &page, &request, now)?;
//! let last = platform.take_outgoing().pop().expect("the bot is asked");
//! assert_eq!((last.app, last.label), (bot, "request_thread_control"));
//! # Ok::<(), messenger_sim::GraphError>(())
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

pub mod platform;
pub mod program;
pub mod server;

pub use platform::{
    ApiAnswer, ApiCall, App, Channel, Delivery, Echoes, EntryPoint, GraphError, InlineControl, Page,
    Platform, RequestUnderDefaultApp, Rules, Said, Speaker, ZeroConfig,
};
pub use server::{Config, Fault, FaultAction, Server, Wire};
