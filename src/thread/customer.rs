//! Customer events other than messages: unsent and edited messages, receipts, reactions, referrals.

use crate::event::{Channel, EventKind, Inbound, PrivateText};
use crate::id::MessageId;
use crate::time::{Span, Timestamp};

use super::Thread;
use super::config::Context;
use super::duplicates::Horizon;
use super::notice::Notice;
use super::output::Reply;

impl Thread {
    /// Notifies the host once of an event that needs no answer.
    pub(super) fn something_else(
        &mut self,
        cx: &Context<'_>,
        channel: Channel,
        kind: EventKind,
        at: Span,
        arrived: Timestamp,
        now: Timestamp,
    ) -> Reply {
        if kind.is_receipt() && !cx.config.receipts {
            return Reply::Done;
        }
        if self.inbox.has_seen(at, &kind, Horizon::new(cx.config, now)) {
            return Reply::Ignored;
        }
        let by_customer = match &kind {
            EventKind::Other(other) => other.by_customer,
            kind => !kind.is_receipt(),
        };
        if by_customer {
            self.inbox.active(at, arrived);
        }
        let notice = match kind {
            EventKind::Unsent(mid) => {
                self.inbox.forget_message(&mid, Horizon::new(cx.config, now));
                self.notices.change(|inbound| (inbound.mid.as_ref() != Some(&mid)).then_some(inbound));
                Notice::Unsent { mid }
            }
            EventKind::Edited { mid, text, number } => {
                let edit = |inbound: Inbound| Some(edited(inbound, &mid, text.as_deref(), number));
                self.inbox.change(edit);
                self.notices.change(edit);
                Notice::Edited { mid, text: text.map(PrivateText::from), number }
            }
            EventKind::Read { watermark, mid } => Notice::Read { watermark, mid },
            EventKind::Delivery { mids, watermark } => Notice::Delivered { mids, watermark },
            EventKind::Other(other) => Notice::Other { other, channel },
            _ => return Reply::Done,
        };
        self.notices.push(notice);
        Reply::Done
    }
}

/// The message after this edit, unless a later one came before.
fn edited(mut inbound: Inbound, mid: &MessageId, text: Option<&str>, number: u32) -> Inbound {
    if inbound.mid.as_ref() == Some(mid) && number >= inbound.edit {
        inbound.edit = number;
        inbound.text = text.map(str::to_owned);
        inbound.must_be_fetched = text.is_none();
        // The raw JSON holds the old text.
        inbound.raw = None;
    }
    inbound
}
