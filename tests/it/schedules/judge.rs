//! Invariants of every conversation, checked when both hosts are at rest.

use messenger_handover::call::MessageKey;
use messenger_handover::id::ThreadKey;
use messenger_handover::thread::{MessageStatus, Notice, Owner};

use super::host::{Host, Page};
use super::world::World;

/// Checks a conversation. An error describes the violation.
pub async fn judge(world: &World, thread: &ThreadKey) -> Result<(), String> {
    let read = world.conversation(thread);
    let mut answers = 0;
    for host in [&world.bot, &world.desk] {
        let page = host.book.page(thread);
        answers += page.accepted.len();
        if let Some(lost) = page.promised.iter().find(|key| !page.accepted.contains(key)) {
            return Err(format!("{lost} was promised and is not kept"));
        }
        for key in &page.accepted {
            ends(host, thread, &page, key, &read).await?;
        }
        in_order(&page, &read)?;
        let unknown = page.asked.iter().filter(|key| !page.accepted.contains(key));
        for key in unknown {
            if read.iter().any(|text| text == key.as_str()) {
                return Err(format!("{key} was read and never accepted"));
            }
        }
        // All webhooks have arrived.
        let service = &host.process().handover;
        let owner = service.thread(thread).await.map_err(|error| error.to_string())?.owner().clone();
        let has_control = world.owner(thread);
        if owner == Owner::Us && has_control.as_ref().is_some_and(|has_control| *has_control != host.app) {
            return Err(format!("{:?} believes to have control, {has_control:?} has it", host.side));
        }
    }
    // Neither side fights for control: each obtains it or gives up within a bounded number of calls.
    let calls = world.ground.calls(thread);
    if calls > 40 + 12 * answers {
        return Err(format!("{calls} calls for {answers} answers after the faults ended"));
    }
    Ok(())
}

/// Checks that each accepted message has exactly one final status, and that it is true.
async fn ends(
    host: &Host,
    thread: &ThreadKey,
    page: &Page,
    key: &MessageKey,
    read: &[String],
) -> Result<(), String> {
    let times = read.iter().filter(|text| *text == key.as_str()).count();
    let told: Vec<_> = page.told.iter().filter_map(|(_, notice)| end(notice, key)).collect();
    let status =
        host.process().handover.message_status(thread, key).await.map_err(|error| error.to_string())?;
    // All attempts before the last one failed.
    let last = told.iter().position(|end| *end != "failed").unwrap_or(told.len().saturating_sub(1));
    let told = &told[last..];
    let may = match &status {
        Some(MessageStatus::Sent { maybe_doubled: false, .. }) => {
            times == 1 && matches!(told, ["delivered"] | ["unknown", "delivered"])
        }
        Some(MessageStatus::Failed(_)) => times == 0 && told == ["failed"],
        Some(MessageStatus::Unknown(_)) => times <= 1 && told == ["unknown"],
        _ => false,
    };
    if may {
        Ok(())
    } else {
        Err(format!("{key} is {status:?}, was told as {told:?} and read {times} times"))
    }
}

fn end(notice: &Notice, of: &MessageKey) -> Option<&'static str> {
    match notice {
        Notice::MessageSent { key, .. } if key == of => Some("delivered"),
        Notice::MessageFailed { key, .. } if key == of => Some("failed"),
        Notice::MessageUnknown { key, .. } if key == of => Some("unknown"),
        _ => None,
    }
}

/// Checks that messages arrive in the order in which they were accepted.
fn in_order(page: &Page, read: &[String]) -> Result<(), String> {
    let place = |text: &String| page.accepted.iter().position(|key| key.as_str() == text);
    let places: Vec<_> = read.iter().filter_map(place).collect();
    if places.is_sorted() { Ok(()) } else { Err(format!("accepted {:?}, read {read:?}", page.accepted)) }
}
