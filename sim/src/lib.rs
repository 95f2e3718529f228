//! A simulator of the Messenger platform, which tests run against and which judges the apps under test.
//!
//! [`platform`] holds Meta's rules as a pure function without clock, socket or async. [`server`] serves them over HTTP: a Graph
//! API for clients in any language, and signed webhooks.
//!
//! The rules are written from Meta's documentation and from observations in production. Each links to its section of the
//! [platform rules](messenger_handover::protocol), which names the source and its certainty. A rule that is marked as inferred
//! must not be the only thing a test rests on. No code is shared with the client, the webhook parser, the policy or the thread
//! machine of `messenger-handover`, because the judge must not share the mistakes of the judged.
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

pub mod page;
pub mod platform;
pub mod program;
pub mod server;

pub use platform::{
    ApiAnswer, ApiCall, App, Attachment, Availability, Channel, CustomerMessage, Delivery, Echoes,
    EntryPoint, Fields, GraphError, InlineControl, InvalidAct, Moderation, OptIn, Page, Platform,
    PolicyAction, Referral, RequestUnderDefaultApp, Restriction, Rules, Said, Speaker, Switches, ZeroConfig,
};
pub use server::{Config, Expectation, Fault, FaultAction, Server, Unmet, Wire};
