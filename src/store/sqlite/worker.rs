//! The threads that work on the SQLite file, several jobs in one transaction.
use std::sync::Arc;
use std::{iter, slice, thread};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::file::{End, Failed, File};
use crate::store::StoreError;

/// The most jobs that wait for the thread; further callers wait for room.
const QUEUE: usize = 1024;
/// The most jobs in one transaction.
const GROUP: usize = 256;

/// A thread that works on a file. Jobs that wait at the same time share a transaction, and get their results when it is
/// committed.
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
}

enum Job {
    Run(Box<dyn Run>),
    EmptyLog(oneshot::Sender<Result<(), StoreError>>),
}

/// A job that reports its result to its caller.
trait Run: Send {
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()>;
    fn tell(self: Box<Self>, ended: Result<(), StoreError>);
}

struct Piece<T, F> {
    work: F,
    done: Option<T>,
    waits: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: Fn(&Connection) -> rusqlite::Result<T> + Send> Run for Piece<T, F> {
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.done = Some((self.work)(db)?);
        Ok(())
    }

    fn tell(self: Box<Self>, ended: Result<(), StoreError>) {
        let done = self.done.ok_or_else(|| StoreError::new("it was not tried"));
        // The caller may have been dropped.
        let _ = self.waits.send(ended.and(done));
    }
}

impl Worker {
    pub(super) fn start(name: &str, file: Arc<File>, end: End) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name(name.to_owned());
        let started = thread.spawn(move || work(&file, end, queue));
        started.map_err(|error| StoreError::new("no thread for the database").with_source(error))?;
        Ok(Self { jobs })
    }

    /// Runs work in a transaction and returns after the commit. The work may run again in a new transaction, whether or not the
    /// one before was committed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (waits, answer) = oneshot::channel();
        self.ask(Job::Run(Box::new(Piece { work, done: None, waits })), answer).await
    }

    /// Moves the whole write-ahead log into the file. Fails if a reader prevents it.
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

fn work(file: &File, end: End, mut queue: mpsc::Receiver<Job>) {
    let mut left = None;
    while let Some(job) = left.take().or_else(|| queue.blocking_recv()) {
        let mut group = Vec::new();
        // All jobs are taken before the transaction begins, so that each sees everything committed before it was submitted.
        for job in iter::once(job).chain(iter::from_fn(|| queue.try_recv().ok())).take(GROUP) {
            match job {
                Job::Run(piece) => group.push(piece),
                Job::EmptyLog(waits) if group.is_empty() => {
                    let _ = waits.send(empty_log(file, end));
                    break;
                }
                emptying @ Job::EmptyLog(_) => {
                    left = Some(emptying);
                    break;
                }
            }
        }
        if !group.is_empty() {
            run_group(file, end, group);
        }
    }
}

/// Runs all jobs in one transaction. If that fails, each job gets its own, so that one bad job does not fail the others, unless
/// all would fail in the same way. After damage the transaction is retried once with a new connection.
fn run_group(file: &File, end: End, mut group: Vec<Box<dyn Run>>) {
    let mut ended = run_all(file, end, &mut group);
    if ended.as_ref().is_err_and(Failed::is_damage) {
        ended = run_all(file, end, &mut group);
    }
    let mut stopped = match ended {
        Ok(()) => Some(Ok(())),
        Err(error) if error.is_for_all() || group.len() == 1 => Some(Err(error.told())),
        Err(_) => None,
    };
    for mut piece in group {
        let ended = stopped.clone().unwrap_or_else(|| {
            let ended = run_all(file, end, slice::from_mut(&mut piece));
            if let Err(error) = &ended
                && error.is_for_all()
            {
                stopped = Some(Err(error.told()));
            }
            ended.map_err(|error| error.told())
        });
        piece.tell(ended);
    }
}

fn run_all(file: &File, end: End, group: &mut [Box<dyn Run>]) -> Result<(), Failed> {
    let behavior = match end {
        End::Reader => TransactionBehavior::Deferred,
        End::Writer => TransactionBehavior::Immediate,
    };
    file.with(end, |db| {
        let transaction = db.transaction_with_behavior(behavior)?;
        for piece in group {
            piece.run(&transaction)?;
        }
        transaction.commit()
    })
}

fn empty_log(file: &File, end: End) -> Result<(), StoreError> {
    let emptied = |db: &mut Connection| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    let busy: bool = file.with(end, emptied).map_err(|error| error.told())?;
    if busy {
        Err(StoreError::new("what was forgotten is still in the log, which others read: forget it again"))
    } else {
        Ok(())
    }
}
