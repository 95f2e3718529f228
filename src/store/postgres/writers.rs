//! The tasks that write to Postgres, several batches in one statement.
use std::collections::HashSet;
use std::slice;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};

use super::db::{Db, Failed};
use crate::store::row::{EncodedWrite, verdict};
use crate::store::{StoreError, WriteOutcome};

/// The most batches that wait for a connection; further callers wait for room.
const QUEUE: usize = 1024;
/// The most batches in one statement.
const GROUP: usize = 64;

/// Tasks that write. Batches that wait at the same time share a statement, and so its commit.
pub(super) struct Writers {
    batches: mpsc::Sender<Batch>,
}

struct Batch {
    writes: Vec<EncodedWrite>,
    waits: oneshot::Sender<Result<Vec<WriteOutcome>, StoreError>>,
}

impl Writers {
    pub(super) fn start(db: &Db, writers: u32) -> Self {
        let (batches, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..writers {
            tokio::spawn(write(db.clone(), Arc::clone(&queue)));
        }
        Self { batches }
    }

    pub(super) async fn compare_and_swap(
        &self,
        writes: Vec<EncodedWrite>,
    ) -> Result<Vec<WriteOutcome>, StoreError> {
        let ended = || StoreError::new("the runtime in which the store was connected has ended");
        let (waits, answer) = oneshot::channel();
        self.batches.send(Batch { writes, waits }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

async fn write(db: Db, queue: Arc<Mutex<mpsc::Receiver<Batch>>>) {
    loop {
        let mut group = Vec::new();
        if queue.lock().await.recv_many(&mut group, GROUP).await == 0 {
            return;
        }
        match write_all(&db, &group).await {
            Ok(written) => {
                let mut written = written.into_iter();
                for Batch { writes, waits } in group {
                    tell(waits, Ok(written.by_ref().take(writes.len()).collect()));
                }
            }
            // A bad row of one batch must not fail the others.
            Err(Failed::Rows(_)) if group.len() > 1 => {
                for batch in group {
                    let ended = write_all(&db, slice::from_ref(&batch)).await;
                    tell(batch.waits, ended.map_err(StoreError::from));
                }
            }
            Err(error) => {
                let error = StoreError::from(error);
                for batch in group {
                    tell(batch.waits, Err(error.clone()));
                }
            }
        }
    }
}

fn tell(waits: oneshot::Sender<Result<Vec<WriteOutcome>, StoreError>>, ended: Result<Vec<bool>, StoreError>) {
    // The caller may have been dropped.
    let _ = waits.send(ended.map(|written| written.into_iter().map(verdict).collect()));
}

/// Returns whether each write was done. A thread that occurs again is written by a further statement.
async fn write_all(db: &Db, group: &[Batch]) -> Result<Vec<bool>, Failed> {
    let mut left: Vec<(usize, &EncodedWrite)> =
        group.iter().flat_map(|batch| &batch.writes).enumerate().collect();
    let mut written = vec![false; left.len()];
    while !left.is_empty() {
        let mut seen = HashSet::new();
        let (mut now, later): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(_, write)| seen.insert(&write.key));
        // In the same order everywhere, so that replicas seldom deadlock.
        now.sort_by(|(_, one), (_, other)| one.key.cmp(&other.key));
        let writes: Vec<_> = now.iter().map(|(_, write)| *write).collect();
        let done = db.compare_and_swap(&writes).await?;
        for ((place, _), done) in now.into_iter().zip(done) {
            written[place] = done;
        }
        left = later;
    }
    Ok(written)
}
