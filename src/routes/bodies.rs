//! Bodies of clients that have not proved who they are: bounded in size, in time, and in memory together.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;
use http::{Response, StatusCode};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::webhook::DEFAULT_MAX_BODY;

/// Limits on the bodies of unauthenticated clients.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BodyLimits {
    /// The time for a whole body. 10 s.
    pub within: Duration,
    /// The longest body in bytes. [`DEFAULT_MAX_BODY`].
    pub longest: usize,
    /// The most bytes of all bodies in memory. Beyond it the body that has been read for longest is dropped, because the platform
    /// sends a delivery at once. Four times [`DEFAULT_MAX_BODY`].
    pub in_memory: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { within: Duration::from_secs(10), longest: DEFAULT_MAX_BODY, in_memory: 4 * DEFAULT_MAX_BODY }
    }
}

impl BodyLimits {
    /// Sets the time for a whole body.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Sets the most bytes of all bodies in memory.
    #[must_use]
    pub fn in_memory(mut self, bytes: usize) -> Self {
        self.in_memory = bytes;
        self
    }
}

/// Reads request bodies within a time limit and within a shared memory limit.
#[derive(Debug, Clone)]
pub struct Bodies {
    limits: BodyLimits,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of all bodies in memory.
    held: usize,
    next: u64,
    /// The bodies that are being read, oldest first.
    reading: BTreeMap<u64, Reading>,
}

#[derive(Debug)]
struct Reading {
    bytes: usize,
    evict: oneshot::Sender<()>,
}

/// A body in memory. It counts towards the limit until it is dropped.
#[derive(Debug)]
pub struct Held {
    bodies: Bodies,
    id: u64,
    bytes: Vec<u8>,
    complete: bool,
}

impl Bodies {
    /// Bodies within these limits.
    #[must_use]
    pub fn new(limits: BodyLimits) -> Self {
        Self { limits, state: Arc::default() }
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// The response to send: the body is too long, too slow, broken, or was dropped to make room.
    pub async fn read(&self, body: Body) -> Result<Held, Response<String>> {
        let (evict, evicted) = oneshot::channel();
        let id = {
            let mut state = self.state();
            let id = state.next;
            state.next += 1;
            state.reading.insert(id, Reading { bytes: 0, evict });
            id
        };
        let mut held = Held { bodies: self.clone(), id, bytes: Vec::new(), complete: false };
        let read = tokio::select! {
            read = self.fill(&mut held, body) => read,
            _ = evicted => Err(StatusCode::SERVICE_UNAVAILABLE),
            () = sleep(self.limits.within) => Err(StatusCode::REQUEST_TIMEOUT),
        };
        read.map(|()| held).map_err(refused)
    }

    async fn fill(&self, held: &mut Held, body: Body) -> Result<(), StatusCode> {
        let mut body = body.into_data_stream();
        while let Some(data) = body.next().await {
            let data = data.map_err(|_| StatusCode::BAD_REQUEST)?;
            if held.bytes.len() + data.len() > self.limits.longest {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            if !self.make_room(held.id, data.len()) {
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            }
            held.bytes.extend_from_slice(&data);
        }
        // A complete body is verified at once, so it is no longer dropped to make room.
        held.complete = self.state().reading.remove(&held.id).is_some();
        if held.complete { Ok(()) } else { Err(StatusCode::SERVICE_UNAVAILABLE) }
    }

    /// Counts more bytes of a body; returns false if this body must be dropped. The platform sends a delivery at once, so
    /// the body that has been read for longest is the least likely to be a delivery.
    fn make_room(&self, id: u64, more: usize) -> bool {
        let mut state = self.state();
        let Some(own) = state.reading.get_mut(&id) else { return false };
        own.bytes += more;
        state.held += more;
        while state.held > self.limits.in_memory
            && let Some((_, oldest)) = state.reading.pop_first()
        {
            state.held -= oldest.bytes;
            // Its reader may have finished meanwhile.
            let _ = oldest.evict.send(());
        }
        state.reading.contains_key(&id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.bodies.state();
        let bytes = match state.reading.remove(&self.id) {
            Some(reading) => reading.bytes,
            None if self.complete => self.bytes.len(),
            None => 0,
        };
        state.held -= bytes;
    }
}

/// A response that closes the connection, because the rest of the body is not read.
fn refused(status: StatusCode) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    response
}
