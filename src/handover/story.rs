//! The log at `info`: every change of control and the end of every message, so that a handover reads like a story.

use crate::id::ThreadKey;
use crate::thread::Notice;

/// Logs a notice when it is put out for the first time. Texts of people are never logged.
pub(super) fn log(thread: &ThreadKey, notice: &Notice) {
    match notice {
        Notice::ControlGained { from, unanswered, .. } => {
            tracing::info!(%thread, from = from.as_ref().map(tracing::field::display), unanswered = unanswered.len(), "control gained");
        }
        Notice::ControlLost { to, .. } => {
            tracing::info!(%thread, to = to.as_ref().map(tracing::field::display), "control lost");
        }
        Notice::Transferred { to } => {
            tracing::info!(%thread, to = to.as_ref().map(tracing::field::display), "control given away");
        }
        Notice::ControlRequested { by, granted, .. } => {
            tracing::info!(%thread, by = by.as_ref().map(tracing::field::display), granted, "control requested");
        }
        Notice::ControlNotGranted { report, .. } => tracing::warn!(%thread, %report, "control not granted"),
        Notice::TransferFailed { reason, .. } => {
            tracing::warn!(%thread, %reason, "control could not be given away");
        }
        Notice::MessageSent { key, maybe_doubled, .. } => {
            tracing::info!(%thread, %key, maybe_doubled, "message sent");
        }
        Notice::MessageFailed { key, reason } => tracing::warn!(%thread, %key, %reason, "message failed"),
        Notice::MessageUnknown { key, cause, echo } => {
            tracing::warn!(%thread, %key, %cause, ?echo, "message may or may not have been sent");
        }
        Notice::ActionRefused { why, .. } => {
            tracing::warn!(%thread, %why, "an action of the handler was refused");
        }
        _ => {}
    }
}
