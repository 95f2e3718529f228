//! The parts that both example hosts share: the log, and an HTTP server for untrusted clients.

pub mod serve;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Logs as `RUST_LOG` says, by default warnings, so that refused deliveries are visible.
pub fn log() {
    let filter = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse::<Targets>().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    tracing_subscriber::registry().with(fmt::layer()).with(filter).init();
}
