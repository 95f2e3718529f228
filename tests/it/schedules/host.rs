//! One host: replicas that may crash and restart at any moment, a store that survives them, and a record of all notifications.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::bots_api;
use messenger_handover::call::{Advice, MessageKey, OutgoingMessage};
use messenger_handover::event::Inbound;
use messenger_handover::handover::{BoxError, Handler, HandlerError, Handover, HandoverError, Notification};
use messenger_handover::id::{AppId, ThreadKey};
use messenger_handover::store::MemoryStore;
use messenger_handover::thread::{Actions, MessageStatus, Notice, NoticeId, Thread};
use messenger_handover::webhook;
use tokio::sync::Notify;

use super::ground::Ground;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Bot,
    Desk,
}

/// Whether a process is alive. A dead process stops at its next interaction with the world.
#[derive(Debug, Clone, Default)]
pub struct Life(Arc<Ended>);

/// Not a `tokio::sync::watch`, because that wakes its receivers in random order.
#[derive(Debug, Default)]
struct Ended {
    is: AtomicBool,
    told: Notify,
}

impl Life {
    pub fn end(&self) {
        self.0.is.store(true, Ordering::SeqCst);
        self.0.told.notify_waiters();
    }

    pub async fn goes_on(&self) {
        if self.0.is.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    /// Runs the future. Returns `None` if the process dies first.
    pub async fn during<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let ended = self.0.told.notified();
        if self.0.is.load(Ordering::SeqCst) {
            return None;
        }
        tokio::select! {
            biased;
            () = ended => None,
            result = future => Some(result),
        }
    }
}

/// One running process: the service with its endpoints.
pub struct Process {
    pub life: Life,
    pub handover: Handover,
    pub webhook: webhook::Endpoint,
    pub bots_api: bots_api::Endpoint,
}

/// A conversation as seen from outside the processes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Page {
    /// Keys of requested sends, accepted or not.
    pub asked: Vec<MessageKey>,
    /// Keys of stored messages, in the order in which they were stored.
    pub accepted: Vec<MessageKey>,
    /// Keys of messages that the service confirmed as accepted.
    pub promised: Vec<MessageKey>,
    /// Keys of failed messages; sending one again starts a new attempt.
    pub failed: Vec<MessageKey>,
    /// Distinct notifications, in order.
    pub told: Vec<(NoticeId, Notice)>,
}

#[derive(Debug, Default)]
pub struct Book(Mutex<BTreeMap<ThreadKey, Page>>);

impl Book {
    pub fn page(&self, thread: &ThreadKey) -> Page {
        self.pages().get(thread).cloned().unwrap_or_default()
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<ThreadKey, Page>> {
        self.0.lock().unwrap()
    }

    pub fn asks(&self, thread: &ThreadKey, key: &MessageKey) {
        let mut pages = self.pages();
        let page = pages.entry(thread.clone()).or_default();
        if !page.accepted.contains(key) || page.failed.contains(key) {
            page.asked.retain(|asked| asked != key);
            page.asked.push(key.clone());
        }
    }

    fn promise(&self, thread: &ThreadKey, key: MessageKey) {
        self.pages().entry(thread.clone()).or_default().promised.push(key);
    }

    pub fn saved(&self, key: &ThreadKey, thread: &Thread) {
        let mut pages = self.pages();
        let page = pages.entry(key.clone()).or_default();
        // Of messages that are stored together the thread decides the order: their requests ran side by side.
        let place = |key: &MessageKey| thread.waiting_messages().position(|waiting| waiting.key == key);
        page.asked.sort_by_key(place);
        for asked in &page.asked {
            match thread.message_status(asked) {
                None => continue,
                Some(MessageStatus::Failed(_)) if page.failed.contains(asked) => {}
                Some(MessageStatus::Failed(_)) => {
                    page.failed.push(asked.clone());
                }
                Some(_) if page.failed.contains(asked) => {
                    page.failed.retain(|failed| failed != asked);
                    page.accepted.retain(|accepted| accepted != asked);
                }
                Some(_) => {}
            }
            if !page.accepted.contains(asked) {
                page.accepted.push(asked.clone());
            }
        }
    }

    /// Records a notification, and checks it. An error is a violation.
    fn hears(&self, told: &Notification) -> Result<(), String> {
        let mut pages = self.pages();
        let page = pages.entry(told.thread.clone()).or_default();
        match page.told.last() {
            Some((last, notice)) if *last == told.id => {
                if *notice != told.notice {
                    return Err(format!("{:?} was {notice:?} and is {:?}", told.id, told.notice));
                }
                return Ok(());
            }
            Some((last, _)) if *last > told.id => return Err(format!("{:?} after {last:?}", told.id)),
            _ => page.told.push((told.id, told.notice.clone())),
        }
        Ok(())
    }
}

pub struct Host {
    pub side: Side,
    pub app: AppId,
    pub secret: &'static str,
    pub ground: Arc<Ground>,
    pub book: Arc<Book>,
    pub kept: Arc<MemoryStore>,
    /// The live processes, which share one store.
    replicas: Mutex<Vec<Arc<Process>>>,
}

impl Host {
    pub fn new(side: Side, app: AppId, secret: &'static str, ground: Arc<Ground>) -> Self {
        let (book, kept, replicas) = (Arc::default(), Arc::default(), Mutex::default());
        Self { side, app, secret, ground, book, kept, replicas }
    }

    pub fn has_process(&self) -> bool {
        !self.replicas.lock().unwrap().is_empty()
    }

    /// A random replica, as a load balancer would choose it.
    pub fn process(&self) -> Arc<Process> {
        let replicas = self.replicas.lock().unwrap();
        match &replicas[..] {
            [only] => Arc::clone(only),
            several => Arc::clone(&several[self.ground.rng().usize(..several.len())]),
        }
    }

    /// Adds a process, or, if there are already `of` replicas, replaces a random one.
    pub fn run(&self, process: Process, of: usize) {
        let mut replicas = self.replicas.lock().unwrap();
        if replicas.len() < of {
            replicas.push(Arc::new(process));
        } else {
            let unlucky = if of == 1 { 0 } else { self.ground.rng().usize(..of) };
            std::mem::replace(&mut replicas[unlucky], Arc::new(process)).life.end();
        }
    }

    /// Calls the service until the call is accepted or refused, across process crashes and store outages.
    pub async fn ask<T, F>(&self, what: impl Fn(Handover) -> F) -> Result<T, HandoverError>
    where
        F: Future<Output = Result<T, HandoverError>>,
    {
        let _under_way = self.ground.begins();
        loop {
            let process = self.process();
            match process.life.during(what(process.handover.clone())).await {
                Some(Err(error)) if error.advice() == Advice::RetryLater => {}
                Some(result) => return result,
                None => {}
            }
            let pause = self.ground.rng().u64(50..2_000);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    pub async fn send(&self, thread: &ThreadKey, key: MessageKey, message: OutgoingMessage) {
        self.book.asks(thread, &key);
        let accepted = self.ask(|service| {
            let (thread, key, message) = (thread.clone(), key.clone(), message.clone());
            async move { service.send(&thread, key, message).await }
        });
        match accepted.await {
            Ok(_) => self.book.promise(thread, key),
            Err(error) => self.ground.note(thread, format_args!("{:?} {key}: {error}", self.side)),
        }
    }
}

/// The host's handler in one process.
pub struct Ear {
    pub side: Side,
    pub ground: Arc<Ground>,
    pub book: Arc<Book>,
    pub life: Life,
    /// Whether the handler reacts to notifications.
    pub lively: bool,
}

#[async_trait]
impl Handler for Ear {
    async fn notify(&self, handover: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
        self.life.goes_on().await;
        self.ground
            .note(&told.thread, format_args!("{:?} is told {:?} {:?}", self.side, told.id, told.notice));
        if let Err(wrong) = self.book.hears(told) {
            self.ground.wrong(&told.thread, format!("{:?} {wrong}", self.side));
        }
        if self.ground.unlucky(0.2) {
            let slow = self.ground.rng().u64(100..80_000);
            tokio::time::sleep(Duration::from_millis(slow)).await;
        }
        if self.ground.unlucky(0.3) {
            return Err("not now".into());
        }
        let mut actions = Actions::none();
        if self.lively {
            self.react(handover, told).await?;
            if self.side == Side::Bot {
                actions = self.answers(&told.thread, told.to_answer())?;
            }
        }
        self.life.goes_on().await;
        if self.ground.unlucky(0.3) { Err("failed at the end".into()) } else { Ok(actions) }
    }

    /// Decides about every second message. Other notices count as told, which a decision that is never saved must not.
    fn decide(&self, thread: &ThreadKey, notice: &Notice) -> Option<Actions> {
        if !self.lively || !matches!(notice, Notice::Message { .. }) || self.ground.rng().bool() {
            return None;
        }
        self.ground.note(thread, format_args!("{:?} decides about {notice:?}", self.side));
        let messages = if self.side == Side::Bot { notice.to_answer() } else { &[] };
        self.answers(thread, messages).ok()
    }
}

impl Ear {
    async fn react(&self, handover: &Handover, told: &Notification) -> Result<(), BoxError> {
        let thread = &told.thread;
        match &told.notice {
            Notice::MessageUnknown { key, .. } if self.ground.rng().bool() => {
                only_refused(handover.resume(thread, key.clone()).await)?;
            }
            Notice::ControlRequested { by: Some(app), granted: false, .. } => {
                let what = self.ground.rng().u8(0..3);
                match what {
                    0 => only_refused(handover.grant(thread, app.clone()).await)?,
                    1 => only_refused(handover.refuse(thread, app.clone()).await)?,
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn answers(&self, to: &ThreadKey, messages: &[Inbound]) -> Result<Actions, BoxError> {
        let mut actions = Actions::none();
        for inbound in messages {
            let key =
                MessageKey::new(format!("re:{}:0", inbound.mid.as_ref().ok_or("a message without id")?))?;
            self.book.asks(to, &key);
            actions = actions.and_reply_to(inbound, OutgoingMessage::text(key.as_str())?);
        }
        Ok(actions)
    }
}

/// Ignores errors that no redelivery would fix, such as a reaction that is too late.
fn only_refused(result: Result<(), HandoverError>) -> Result<(), HandoverError> {
    result.or_else(|error| if error.advice() == Advice::RetryLater { Err(error) } else { Ok(()) })
}
