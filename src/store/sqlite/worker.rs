use std::{iter, thread};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::store::StoreError;

/// So many pieces of work wait for the thread; whoever brings more waits with it.
const QUEUE: usize = 1024;
/// So many share a transaction at most.
const GROUP: usize = 256;

/// A thread with a connection. What waits for it at the same time shares a transaction, and hears how it went when that
/// is committed.
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
}

enum Job {
    Run(Box<dyn Run>),
    EmptyLog(oneshot::Sender<Result<(), StoreError>>),
}

/// A piece of work, and afterwards who waits for it.
trait Run: Send {
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()>;
    fn tell(self: Box<Self>, ended: Result<(), StoreError>);
}

struct Piece<T, F> {
    work: Option<F>,
    done: Option<T>,
    waits: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnOnce(&Connection) -> rusqlite::Result<T> + Send> Run for Piece<T, F> {
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.done = Some(work(db)?);
        }
        Ok(())
    }

    fn tell(self: Box<Self>, ended: Result<(), StoreError>) {
        let done = self.done.ok_or_else(|| StoreError::new("it was not tried"));
        // Whoever waited may be gone.
        let _ = self.waits.send(ended.and(done));
    }
}

impl Worker {
    pub(super) fn start(
        name: &str,
        db: Connection,
        behavior: TransactionBehavior,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name(name.to_owned());
        let started = thread.spawn(move || work(db, queue, behavior));
        started.map_err(|error| StoreError::new("no thread for the database").with_source(error))?;
        Ok(Self { jobs })
    }

    /// Runs work in a transaction; answers when that is committed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (waits, answer) = oneshot::channel();
        self.ask(Job::Run(Box::new(Piece { work: Some(work), done: None, waits })), answer).await
    }

    /// Moves all that was written into the file itself. An error if a reader stays in the way.
    pub(super) async fn empty_log(&self) -> Result<(), StoreError> {
        let (waits, answer) = oneshot::channel();
        self.ask(Job::EmptyLog(waits), answer).await
    }

    async fn ask<T>(
        &self,
        job: Job,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let ended = || StoreError::new("the thread of the database has ended");
        self.jobs.send(job).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

fn work(mut db: Connection, mut queue: mpsc::Receiver<Job>, behavior: TransactionBehavior) {
    let mut left = None;
    while let Some(job) = left.take().or_else(|| queue.blocking_recv()) {
        let mut group = Vec::new();
        // All of it waits before the transaction begins, so that it sees whatever was committed before it was asked.
        for job in iter::once(job).chain(iter::from_fn(|| queue.try_recv().ok())).take(GROUP) {
            match job {
                Job::Run(piece) => group.push(piece),
                Job::EmptyLog(waits) if group.is_empty() => {
                    let _ = waits.send(empty_log(&db));
                    break;
                }
                emptying @ Job::EmptyLog(_) => {
                    left = Some(emptying);
                    break;
                }
            }
        }
        if group.is_empty() {
            continue;
        }
        let ended = run_all(&mut db, behavior, &mut group).map_err(failed);
        for piece in group {
            piece.tell(ended.clone());
        }
    }
}

fn run_all(
    db: &mut Connection,
    behavior: TransactionBehavior,
    group: &mut [Box<dyn Run>],
) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(behavior)?;
    for piece in group {
        piece.run(&transaction)?;
    }
    transaction.commit()
}

fn empty_log(db: &Connection) -> Result<(), StoreError> {
    let busy: bool = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(failed)?;
    if busy {
        Err(StoreError::new("what was forgotten is still in the log, which others read: forget it again"))
    } else {
        Ok(())
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::new("SQLite answers an error").with_source(error)
}
