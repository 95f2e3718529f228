//! Keeping below the platform's limits: when the next call may be made (facts §6).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::hold::{Hold, LONGEST_WAIT};
use super::usage::{self, BLOCKED, Usage};
use crate::call::{Failure, FailureKind};
use crate::id::PageId;

pub(super) use super::usage::regain;

/// How long a restricted Page is left alone at first, where the platform does not say for how long. It doubles each time
/// that the Page is still restricted.
const RESTRICTED: Duration = Duration::from_mins(1);
/// The longest of these pauses.
const RESTRICTED_AT_MOST: Duration = Duration::from_mins(15);

/// When calls may be made.
#[derive(Debug, Default)]
pub(super) struct Pace {
    lanes: Mutex<Lanes>,
}

#[derive(Debug, Default)]
struct Lanes {
    app: Lane,
    pages: HashMap<PageId, PageLanes>,
}

#[derive(Debug, Default)]
struct PageLanes {
    all: Lane,
    /// By [`Kind`].
    restricted: [Option<Restriction>; 3],
}

/// The calls that share one limit.
#[derive(Debug, Default, Clone, Copy)]
struct Lane {
    /// The platform allows no calls.
    blocked: Option<Hold>,
    /// The next call is not made before then.
    next: Option<Instant>,
    /// The distance that calls keep.
    distance: Duration,
}

/// What a call does. A restriction holds the calls of the kind that it was seen on: the platform does not say whether
/// a Page that may not send may still pass and take control (INF: it may).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Control,
    Read,
}

#[derive(Debug, Clone, Copy)]
struct Restriction {
    hold: Hold,
    /// The pause after the last failure, where the platform named none.
    pause: Duration,
    because: Because,
}

/// The platform's failure that a call is not made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Because {
    pub(super) kind: FailureKind,
    pub(super) code: Option<i64>,
    pub(super) subcode: Option<i64>,
}

impl Because {
    const LIMIT: Self = Self { kind: FailureKind::RateLimited, code: None, subcode: None };
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// After so long; the turn is taken.
    After(Duration, Probe),
    /// Not now: come back after so long.
    Refused(Duration, Because),
}

/// Names the one call that tries whether a hold is over, by when it begins; none for all others.
pub(super) type Probe = Option<Instant>;

impl Lane {
    /// How long until the next call.
    fn wait(&self, now: Instant) -> Result<Duration, Duration> {
        let wait = self.next.map(|next| next.saturating_duration_since(now)).unwrap_or_default();
        let blocked = self.blocked.map_or(Ok(Duration::ZERO), |hold| hold.wait(now));
        match (blocked, wait > LONGEST_WAIT) {
            (Err(blocked), _) => Err(blocked.max(wait)),
            (Ok(blocked), true) => Err(wait.max(blocked)),
            (Ok(blocked), false) => Ok(wait.max(blocked)),
        }
    }

    /// Takes the turn. Whether the call is to find out if the block is over.
    fn take(&mut self, at: Instant) -> bool {
        self.next = (!self.distance.is_zero()).then(|| at + self.distance);
        self.blocked.as_mut().map(|hold| hold.try_at(at)).is_some()
    }

    /// An answer tells how much is used up, that nothing may be called for so long, or that calls are possible.
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
            // A block ends by the clock and then by an answer: one that was under way before it tells nothing.
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

    /// How a call ended tells whether the Page is restricted. A success lifts it, and nothing else does.
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
            // It was under way when the restriction became known.
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
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next turn of a Page.
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

    /// How a call ended, and what the headers of its answer tell. Code 4 is about the whole app (facts §5.3).
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
        let mut lanes = self.lanes();
        // A call that is refused for its Page's limit has passed the app's.
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

    /// A call that got no answer has found out nothing.
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
