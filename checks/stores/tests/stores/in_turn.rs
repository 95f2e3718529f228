//! Two stores over the same data, used in turn as two processes would.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use messenger_handover::store::ThreadStore;

use crate::forwarding::{Forward, Forwarding};

/// Calls one store and then the other.
#[derive(Debug)]
pub struct InTurn {
    stores: [Arc<dyn ThreadStore>; 2],
    turn: AtomicUsize,
}

impl InTurn {
    pub fn new(stores: [Arc<dyn ThreadStore>; 2]) -> Arc<Forwarding<Self>> {
        Arc::new(Forwarding(Self { stores, turn: AtomicUsize::new(0) }))
    }

    fn next(&self) -> &dyn ThreadStore {
        &*self.stores[self.turn.fetch_add(1, Ordering::SeqCst) % 2]
    }
}

#[async_trait]
impl Forward for InTurn {
    fn inner(&self) -> &dyn ThreadStore {
        self.next()
    }
}
