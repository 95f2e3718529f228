//! Schedules calls so that they stay below the platform's limits (docs/protocol.md#rate-limits).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::hold::{Hold, LONGEST_WAIT};
use super::usage::{self, BLOCKED, Usage};
use crate::call::{Failure, FailureKind};
use crate::id::PageId;

pub(super) use super::usage::regain;

/// The first pause of a restricted Page, if the platform names no time. It doubles each time that the Page is still
/// restricted.
const RESTRICTED: Duration = Duration::from_secs(60);
/// The longest such pause.
const RESTRICTED_AT_MOST: Duration = Duration::from_secs(15 * 60);

/// The limits and restrictions of all Pages of a client.
#[derive(Debug, Default)]
pub(super) struct Pace {
    lanes: Mutex<Lanes>,
    /// The usage in the last response, in percent.
    percent: AtomicU64,
}

#[derive(Debug, Default)]
struct Lanes {
    app: Lane,
    pages: HashMap<PageId, PageLanes>,
}

#[derive(Debug, Default)]
struct PageLanes {
    all: Lane,
    /// Indexed by [`Kind`].
    restricted: [Option<Restriction>; 3],
}

/// The calls that share one limit.
#[derive(Debug, Default, Clone, Copy)]
struct Lane {
    /// The pause while the platform allows no calls.
    blocked: Option<Hold>,
    /// The earliest start of the next call.
    next: Option<Instant>,
    /// The least time between two calls.
    distance: Duration,
}

/// The kind of a call. A restriction pauses only calls of its own kind, because the platform does not document whether a
/// Page that may not send may still pass and take control (inferred: it may).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Control,
    Read,
}

#[derive(Debug, Clone, Copy)]
struct Restriction {
    hold: Hold,
    /// The last pause that was chosen here, because the platform named none.
    pause: Duration,
    because: Because,
}

/// The platform's earlier refusal that keeps a call from being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Because {
    pub(super) kind: FailureKind,
    pub(super) code: Option<i64>,
    pub(super) subcode: Option<i64>,
}

impl Because {
    const LIMIT: Self = Self { kind: FailureKind::RateLimited, code: None, subcode: None };
}

/// The decision about one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Make the call after this time; the turn is taken.
    After(Duration, Probe),
    /// Do not make the call; retry after this time.
    Refused(Duration, Because),
}

/// The start time of a call that is a probe, which identifies it; `None` for all other calls.
pub(super) type Probe = Option<Instant>;

impl Lane {
    /// The time until the next call, or as an error the time after which to retry.
    fn wait(&self, now: Instant) -> Result<Duration, Duration> {
        let wait = self.next.map(|next| next.saturating_duration_since(now)).unwrap_or_default();
        let blocked = self.blocked.map_or(Ok(Duration::ZERO), |hold| hold.wait(now));
        match (blocked, wait > LONGEST_WAIT) {
            (Err(blocked), _) => Err(blocked.max(wait)),
            (Ok(blocked), true) => Err(wait.max(blocked)),
            (Ok(blocked), false) => Ok(wait.max(blocked)),
        }
    }

    /// Takes the turn. Returns whether the call is a probe.
    fn take(&mut self, at: Instant) -> bool {
        self.next = (!self.distance.is_zero()).then(|| at + self.distance);
        self.blocked.as_mut().map(|hold| hold.try_at(at)).is_some()
    }

    /// Updates the lane after a call: with the usage in its headers, with the pause that a refusal asks for, and with
    /// whether the call shows that calls are possible.
    fn learnt(
        &mut self,
        usage: Usage,
        refused: Option<Duration>,
        possible: bool,
        probe: Probe,
        now: Instant,
    ) {
        self.distance = usage.distance();
        let next = now + self.distance;
        self.next = (next > now).then(|| self.next.map_or(next, |before| before.max(next)));
        match (refused.max(usage.block()), &mut self.blocked) {
            (Some(wait), Some(hold)) => hold.extend(wait, now),
            (Some(wait), blocked @ None) => *blocked = Some(Hold::new(wait, now)),
            // Only the probe's outcome ends a block: other calls were under way before it.
            (None, Some(hold)) if hold.is_tried_by(probe) && possible => self.blocked = None,
            (None, Some(hold)) if hold.is_tried_by(probe) => hold.try_again(),
            (None, _) => {}
        }
    }

    fn is_free(&self) -> bool {
        self.next.is_none() && self.blocked.is_none()
    }
}

impl PageLanes {
    fn is_free(&self) -> bool {
        self.all.is_free() && self.restricted.iter().all(Option::is_none)
    }

    /// Updates the restriction after a call. Only a success lifts it.
    fn learnt(&mut self, page: &PageId, kind: Kind, failure: Option<&Failure>, probe: Probe, now: Instant) {
        let place = &mut self.restricted[kind as usize];
        let refused = failure.filter(|failure| failure.kind == FailureKind::Restricted);
        let hint = refused.and_then(|failure| failure.retry_after).filter(|wait| !wait.is_zero());
        match (refused, place) {
            (Some(failure), place @ None) => {
                let because = Because { kind: failure.kind, code: failure.code, subcode: failure.subcode };
                let wait = hint.unwrap_or(RESTRICTED);
                *place = Some(Restriction { hold: Hold::new(wait, now), pause: RESTRICTED, because });
                let (code, subcode) = (because.code, because.subcode);
                tracing::warn!(%page, calls = ?kind, code, subcode, ?wait, "the platform restricts the Page: one call tries again then");
            }
            (Some(_), Some(restriction)) if restriction.hold.is_tried_by(probe) => {
                restriction.pause = (restriction.pause * 2).min(RESTRICTED_AT_MOST);
                let wait = hint.unwrap_or(restriction.pause);
                restriction.hold.extend(wait, now);
                tracing::debug!(%page, calls = ?kind, ?wait, "the Page is still restricted");
            }
            // This call was under way when the restriction became known.
            (Some(_), Some(restriction)) => {
                if let Some(wait) = hint {
                    restriction.hold.extend(wait, now);
                }
            }
            (None, Some(restriction)) if restriction.hold.is_tried_by(probe) => {
                if failure.is_some() {
                    restriction.hold.try_again();
                } else {
                    self.restricted[kind as usize] = None;
                    tracing::info!(%page, calls = ?kind, "the Page is not restricted any more");
                }
            }
            (None, _) => {}
        }
    }
}

impl Pace {
    /// The share of the fullest limit, in percent, by the last response.
    pub(super) fn usage_percent(&self) -> u64 {
        self.percent.load(Ordering::Relaxed)
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next turn of a Page for a call of this kind.
    pub(super) fn turn(&self, page: &PageId, kind: Kind, now: Instant) -> Turn {
        let mut lanes = self.lanes();
        let Lanes { app, pages } = &mut *lanes;
        let mut own = pages.get_mut(page);
        let limits = [Some(app.wait(now)), own.as_ref().map(|own| own.all.wait(now))];
        let restricted = own.as_ref().and_then(|own| own.restricted[kind as usize]);
        let limits = limits.into_iter().flatten().map(|wait| (wait, Because::LIMIT));
        let all = limits.chain(restricted.map(|it| (it.hold.wait(now), it.because)));
        let (mut wait, mut refused) = (Duration::ZERO, None::<(Duration, Because)>);
        for (turn, because) in all {
            match turn {
                Ok(this) => wait = wait.max(this),
                Err(this) if refused.is_none_or(|(longest, _)| this >= longest) => {
                    refused = Some((this, because));
                }
                Err(_) => {}
            }
        }
        if let Some((wait, because)) = refused {
            return Turn::Refused(wait, because);
        }
        let at = now + wait;
        let mut tries = app.take(at);
        if let Some(own) = &mut own {
            tries |= own.all.take(at);
            if let Some(restriction) = &mut own.restricted[kind as usize] {
                restriction.hold.try_at(at);
                tries = true;
            }
        }
        Turn::After(wait, tries.then_some(at))
    }

    /// Updates the limits after a call with a response. Code 4 is about the whole app (docs/protocol.md#rate-limits).
    pub(super) fn answered(
        &self,
        page: &PageId,
        kind: Kind,
        probe: Probe,
        headers: &HeaderMap,
        failure: Option<&Failure>,
        now: Instant,
    ) {
        use FailureKind::{Protocol, RateLimited, Transient, Transport};
        let refused_as = failure.map(|failure| failure.kind);
        let possible = !matches!(refused_as, Some(RateLimited | Transient | Transport | Protocol));
        let limited = failure.filter(|failure| failure.kind == RateLimited);
        let wait = limited.map(|failure| failure.retry_after.unwrap_or(BLOCKED));
        let of_app = limited.is_some_and(|failure| failure.code == Some(4));
        let (app_wait, own_wait) = if of_app { (wait, None) } else { (None, wait) };
        let (app, own) = (usage::of_app(headers), usage::of_page(headers));
        self.percent.store(app.fuller(own), Ordering::Relaxed);
        let mut lanes = self.lanes();
        // A call that is refused for its Page's limit has passed the app's limit.
        lanes.app.learnt(app, app_wait, possible || own_wait.is_some(), probe, now);
        let is_plain = own.block().is_none()
            && own.distance().is_zero()
            && own_wait.is_none()
            && refused_as != Some(FailureKind::Restricted);
        if is_plain && !lanes.pages.contains_key(page) {
            return;
        }
        let lane = lanes.pages.entry(page.clone()).or_default();
        lane.all.learnt(own, own_wait, possible, probe, now);
        lane.learnt(page, kind, failure, probe, now);
        if lane.is_free() {
            lanes.pages.remove(page);
        }
    }

    /// Frees the probe of a call without a response, because it is inconclusive.
    pub(super) fn unanswered(&self, page: &PageId, kind: Kind, probe: Probe) {
        if probe.is_none() {
            return;
        }
        let mut lanes = self.lanes();
        let Lanes { app, pages } = &mut *lanes;
        let own = pages.get_mut(page);
        let own = own.map(|own| (own.all.blocked.as_mut(), own.restricted[kind as usize].as_mut()));
        let (page, restriction) = own.unwrap_or_default();
        let holds = [app.blocked.as_mut(), page, restriction.map(|restriction| &mut restriction.hold)];
        for hold in holds.into_iter().flatten().filter(|hold| hold.is_tried_by(probe)) {
            hold.try_again();
        }
    }
}

#[cfg(test)]
mod tests;
