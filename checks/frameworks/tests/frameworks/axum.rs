//! The bot behind axum: `Routes` has the routes and the limits on bodies.

use std::net::SocketAddr;

use messenger_handover::prelude::*;
use messenger_handover::routes::{Bodies, BodyLimits};
use tokio::net::TcpListener;

use super::MAX_BODY;

pub async fn serve(endpoint: webhook::Endpoint) -> Result<SocketAddr, BoxError> {
    let mut limits = BodyLimits::default();
    limits.longest = MAX_BODY;
    let router = Routes::new().webhook(endpoint).bodies(Bodies::new(limits)).into_router();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(address)
}
