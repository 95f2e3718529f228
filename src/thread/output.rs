//! What a thread wants to be done, and how a command was received.

use crate::call::{Call, CallId, Failure};

use super::note::Note;
use super::notice::Notice;
use super::outcome::MessageStatus;
use super::page::PageCall;
use super::terms::{CommandRefused, NoticeId};

/// How a command was received. For inputs that are no commands, [`Reply::Done`] or [`Reply::Ignored`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Done, or noted.
    Done,
    /// Nothing to do: a duplicate, or an answer to a call that was never made.
    Ignored,
    /// The answer is accepted and will have exactly one end.
    Accepted,
    /// This key is known already; nothing was added.
    Duplicate(MessageStatus),
    /// Control is being claimed; the number identifies this claim.
    Claiming(u64),
    /// Control is ours already.
    AlreadyOurs,
    /// Control is being given away; the number identifies this attempt. `waits` says that answers
    /// must be settled first.
    Transferring {
        /// Identifies the attempt.
        id: u64,
        /// Unsettled answers come first.
        waits: bool,
    },
    /// The target has control already.
    AlreadyThere,
    /// Not possible now; nothing changed.
    Refused(CommandRefused),
}

/// What a thread wants to be done. Everything here can be derived from the saved state again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Make this call and answer with [`Input::CallEnded`].
    Call {
        /// Its number.
        id: CallId,
        /// The call.
        call: Call,
        /// Calls of this thread failed just before: it may be held back where many fail.
        retry: bool,
        /// What travels with it.
        note: Option<Note>,
    },
    /// Tell the host, then answer with [`Input::NoticeHandled`].
    Notice {
        /// Its number: the same when it comes again.
        id: NoticeId,
        /// How often it was told, this time counted.
        attempt: u32,
        /// What to tell.
        notice: Notice,
    },
    /// The handler failed on a notice too often: it is not told any more, and can be read
    /// ([`Thread::set_aside`](super::Thread::set_aside)). Log it.
    SetAside {
        /// Its number.
        id: NoticeId,
        /// How often it was told.
        attempts: u32,
        /// The oldest that was set aside, which had to be dropped for it.
        dropped: Option<NoticeId>,
    },
    /// The Page refused this call, perhaps for all its threads: give it to [`PageRefusals::refused`](super::PageRefusals).
    PageRefuses {
        /// The call.
        call: PageCall,
        /// How it was refused.
        failure: Failure,
        /// Whether it is known to be the Page's configuration, and not about this person.
        certain: bool,
    },
}
