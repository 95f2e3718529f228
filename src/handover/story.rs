//! The log at `info`: every change of control and the end of every message, so that a handover reads like a story.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::id::ThreadKey;
use crate::thread::Notice;

/// The names of conversations in the log.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    salt: Option<String>,
}

/// A conversation's name in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a>(&'a ThreadKey, &'a Names);

impl Names {
    /// Names that hide people's ids behind digests, the same for all processes with this salt.
    pub(super) fn hashed(salt: String) -> Self {
        Self { salt: Some(salt) }
    }

    pub(super) fn of<'a>(&'a self, key: &'a ThreadKey) -> Named<'a> {
        Named(key, self)
    }
}

impl Named<'_> {
    /// Words about the conversation, in which a platform may repeat the person's id.
    pub(super) fn hide(self, words: impl fmt::Display) -> String {
        let Self(key, names) = self;
        let words = words.to_string();
        if names.salt.is_some() { words.replace(&key.user.to_string(), "[hidden]") } else { words }
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key, names) = self;
        let Some(salt) = &names.salt else { return key.fmt(f) };
        let mut hasher = SipHasher13::new();
        for part in [salt, &key.page.to_string(), &key.user.to_string()] {
            hasher.write_usize(part.len());
            hasher.write(part.as_bytes());
        }
        write!(f, "{}/#{:016x}", key.page, hasher.finish())
    }
}

#[cfg(feature = "webhook")]
impl super::Handover {
    /// The conversation's name in the log.
    pub(crate) fn named_in_log<'a>(&'a self, key: &'a ThreadKey) -> impl fmt::Display + 'a {
        self.inner.named(key)
    }
}

/// Logs a notice when it is put out for the first time. Texts of people are never logged.
pub(super) fn log(thread: Named<'_>, notice: &Notice) {
    match notice {
        Notice::ControlGained { from, unanswered, .. } => {
            tracing::info!(%thread, from = from.as_ref().map(display), unanswered = unanswered.len(), "control gained");
        }
        Notice::ControlLost { to, .. } => {
            tracing::info!(%thread, to = to.as_ref().map(display), "control lost");
        }
        Notice::Transferred { to } => {
            tracing::info!(%thread, to = to.as_ref().map(display), "control given away");
        }
        Notice::ControlRequested { by, granted, .. } => {
            tracing::info!(%thread, by = by.as_ref().map(display), granted, "control requested");
        }
        Notice::ControlNotGranted { report, .. } => {
            tracing::warn!(%thread, report = thread.hide(report), "control not granted");
        }
        Notice::TransferFailed { reason, .. } => {
            tracing::warn!(%thread, reason = thread.hide(reason), "control could not be given away");
        }
        Notice::MessageSent { key, maybe_doubled, .. } => {
            tracing::info!(%thread, %key, maybe_doubled, "message sent");
        }
        Notice::MessageFailed { key, reason } => {
            tracing::warn!(%thread, %key, reason = thread.hide(reason), "message failed");
        }
        Notice::MessageUnknown { key, cause, echo } => {
            let cause = thread.hide(cause);
            tracing::warn!(%thread, %key, cause, ?echo, "message may or may not have been sent");
        }
        Notice::ActionRefused { why, .. } => {
            tracing::warn!(%thread, %why, "an action of the handler was refused");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PageId, UserId};

    #[test]
    fn names_hide_people_where_the_host_wants_it() {
        let key = ThreadKey::new(PageId::from(10), UserId::from(4711));
        assert_eq!(Names::default().of(&key).to_string(), key.to_string());
        let hashed = |salt: &str| Names::hashed(salt.to_owned()).of(&key).to_string();
        assert!(hashed("a").starts_with("10/#") && !hashed("a").contains("4711"), "{}", hashed("a"));
        assert_eq!(hashed("a"), hashed("a"));
        assert_ne!(hashed("a"), hashed("b"));
        let hide = |names: &Names| names.of(&key).hide("no user 4711 on 10");
        assert_eq!(hide(&Names::default()), "no user 4711 on 10");
        assert_eq!(hide(&Names::hashed("a".to_owned())), "no user [hidden] on 10");
    }
}
