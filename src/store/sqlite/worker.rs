use std::sync::Arc;
use std::{iter, slice, thread};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::file::{End, Failed, File};
use crate::store::StoreError;

/// So many pieces of work wait for the thread; whoever brings more waits with it.
const QUEUE: usize = 1024;
/// So many share a transaction at most.
const GROUP: usize = 256;

/// A thread that works on a file. What waits for it at the same time shares a transaction, and hears how it went when that
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
        // Whoever waited may be gone.
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

    /// Runs work in a transaction; answers when that is committed. It may be run again, in a new transaction, whether the one
    /// before was committed or not.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (waits, answer) = oneshot::channel();
        self.ask(Job::Run(Box::new(Piece { work, done: None, waits })), answer).await
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

fn work(file: &File, end: End, mut queue: mpsc::Receiver<Job>) {
    let mut left = None;
    while let Some(job) = left.take().or_else(|| queue.blocking_recv()) {
        let mut group = Vec::new();
        // All of it waits before the transaction begins, so that it sees whatever was committed before it was asked.
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

/// Runs all in one transaction. If that fails, each piece gets one of its own, so that one that fails is no other's failure;
/// unless all would fail alike. Damage is given one more try, with a new connection.
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
