//! The outputs of a thread: the work it wants done, and the reply to each input.

use crate::call::{Call, CallId, Failure};

use super::note::Note;
use super::notice::Notice;
use super::outcome::MessageStatus;
use super::page::PageCall;
use super::terms::{CommandRefused, NoticeId};

/// The reply to an input. Inputs other than commands get [`Reply::Done`] or [`Reply::Ignored`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Done, or stored.
    Done,
    /// Nothing to do: a duplicate, or the outcome of a call that was never made.
    Ignored,
    /// The message is accepted and will end exactly once, as sent, failed or unknown.
    Accepted,
    /// A message with this key was accepted before; nothing was added.
    Duplicate(MessageStatus),
    /// Control is being claimed. The number identifies the claim for
    /// [`Thread::claim_progress`](super::Thread::claim_progress).
    Claiming(u64),
    /// Control is ours already.
    AlreadyOurs,
    /// Control is being given away. Follow it with [`Thread::transfer_progress`](super::Thread::transfer_progress).
    Transferring {
        /// The number of this transfer.
        id: u64,
        /// Whether messages must be settled first.
        waits: bool,
    },
    /// The target already has control.
    AlreadyThere,
    /// The command is not possible now; nothing changed.
    Refused(CommandRefused),
}

/// Work for the host. All of it can be derived from the saved state again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Make this call, then step the thread with [`Input::CallEnded`](super::Input::CallEnded).
    Call {
        /// The number of the call.
        id: CallId,
        /// The call.
        call: Call,
        /// Whether calls of this thread failed just before. The host may hold such a call back while many calls fail.
        retry: bool,
        /// The note that goes with the call.
        note: Option<Note>,
    },
    /// Notify the host, then step the thread with [`Input::NoticeHandled`](super::Input::NoticeHandled).
    Notice {
        /// The number of the notice, the same for each attempt.
        id: NoticeId,
        /// The number of this attempt, from 1.
        attempt: u32,
        /// The notice.
        notice: Notice,
    },
    /// The handler failed on a notice too often, so it is set aside and can be read with
    /// [`Thread::set_aside`](super::Thread::set_aside). Log it.
    SetAside {
        /// The number of the notice.
        id: NoticeId,
        /// The number of attempts.
        attempts: u32,
        /// The oldest notice set aside, if it was dropped to make room.
        dropped: Option<NoticeId>,
    },
    /// The Page refused this call, perhaps for all its threads. Give it to
    /// [`PageRefusals::refused`](super::PageRefusals::refused).
    PageRefuses {
        /// The refused call.
        call: PageCall,
        /// The failure.
        failure: Failure,
        /// Whether the failure is certainly about the Page's configuration, not about this person.
        certain: bool,
    },
}
