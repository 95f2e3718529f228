use async_trait::async_trait;

use crate::id::ThreadKey;
use crate::thread::{Notice, NoticeId};

use super::Handover;

/// Any error of a host's handler.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a host does when it is told something.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Deals with one notice. It comes again, with the same id, until this returns `Ok`, and at most
    /// [`Limits::attempts`](crate::thread::Limits::attempts) times; those behind it, of the same conversation, wait. So it may come
    /// more than once, also after a restart, and must not be done twice: what it sends has an
    /// [`AnswerKey`](crate::call::AnswerKey) for that. Send with the `handover` that is given: what is sent with another one
    /// may be refused while many notices wait.
    ///
    /// What ends without waiting for anything, such as passing it on to a channel, is done before the platform is answered;
    /// everything else goes on in a task of its own. So it must not block its thread.
    ///
    /// It is dropped, and comes again, if it takes longer than
    /// [`Timeouts::notice_lease`](crate::thread::Timeouts::notice_lease).
    ///
    /// # Errors
    /// Any error means: not now, tell me again later. After too many attempts the notice is set aside
    /// ([`SetAside`](crate::thread::SetAside), logged as an error) and the next one is told.
    async fn told(&self, handover: &Handover, told: &Told) -> Result<(), BoxError>;
}

/// A notice with its conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Told {
    /// Which conversation.
    pub thread: ThreadKey,
    /// The notice's number within it: the same when it comes again.
    pub id: NoticeId,
    /// How often it was told, this time counted: 1 for the first.
    pub attempt: u32,
    /// What there is to know.
    pub notice: Notice,
}

impl Told {
    /// A notice of a conversation; for tests of a handler.
    #[must_use]
    pub fn new(thread: ThreadKey, id: NoticeId, attempt: u32, notice: Notice) -> Self {
        Self { thread, id, attempt, notice }
    }
}
