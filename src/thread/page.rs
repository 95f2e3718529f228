//! Refused calls of a Page: refusals about the Page's configuration are kept apart from those about one person.

use serde::{Deserialize, Serialize};

use crate::call::Failure;
use crate::id::UserId;
use crate::time::Timestamp;

use super::is_default;

/// A call that may be unavailable in a Page's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PageCall {
    /// `request_thread_control`
    Request,
    /// `take_thread_control`
    Take,
    /// A message with `thread_control` in the same call.
    InlineControl,
}

/// The refusals of a Page that count now, collected from all its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PageMemory {
    /// The last time the Page refused `request` as not available.
    #[serde(skip_serializing_if = "is_default")]
    pub request_refused: Option<Timestamp>,
    /// The last time the Page refused `take` as not available.
    #[serde(skip_serializing_if = "is_default")]
    pub take_refused: Option<Timestamp>,
    /// The last time the Page refused control inside a send.
    #[serde(skip_serializing_if = "is_default")]
    pub inline_refused: Option<Timestamp>,
    /// The last change of roles (`app_roles`): earlier refusals no longer count.
    #[serde(skip_serializing_if = "is_default")]
    pub forgotten: Option<Timestamp>,
}

impl PageMemory {
    /// Stores that the Page refused a call as not available.
    pub fn refuses(&mut self, call: PageCall, at: Timestamp) {
        match call {
            PageCall::Request => self.request_refused = Some(at),
            PageCall::Take => self.take_refused = Some(at),
            PageCall::InlineControl => self.inline_refused = Some(at),
        }
    }
}

/// The refusals that all threads of a Page have seen.
///
/// A failure may be about one person only: someone who blocked the Page, or an invalid id. It counts for the whole
/// Page if it is certainly about the configuration, or if two people got the same failure.
#[derive(Debug, Clone, Default)]
pub struct PageRefusals {
    memory: PageMemory,
    /// The last failure of each call that may have been about its person.
    suspected: Vec<Suspected>,
}

#[derive(Debug, Clone)]
struct Suspected {
    call: PageCall,
    by: UserId,
    code: Option<i64>,
    subcode: Option<i64>,
}

impl PageRefusals {
    /// Stores a refused call ([`Output::PageRefuses`](super::Output::PageRefuses)).
    pub fn refused(
        &mut self,
        call: PageCall,
        user: &UserId,
        failure: &Failure,
        certain: bool,
        at: Timestamp,
    ) {
        let alike = |suspected: &Suspected| {
            suspected.call == call
                && suspected.by != *user
                && (suspected.code, suspected.subcode) == (failure.code, failure.subcode)
        };
        if certain || self.suspected.iter().any(alike) {
            self.memory.refuses(call, at);
        }
        self.suspected.retain(|suspected| suspected.call != call);
        if !certain {
            let (code, subcode) = (failure.code, failure.subcode);
            self.suspected.push(Suspected { call, by: user.clone(), code, subcode });
        }
    }

    /// The roles of the Page's apps changed, so that refused calls are tried again.
    pub fn forget(&mut self, at: Timestamp) {
        self.suspected.clear();
        self.memory.forgotten = Some(at);
    }

    /// The refusals that count for every thread of the Page.
    #[must_use]
    pub fn memory(&self) -> PageMemory {
        self.memory
    }
}

#[cfg(test)]
mod tests {
    use PageCall::{Request, Take};

    use super::*;
    use crate::call::FailureKind;

    #[test]
    fn page_refusal_counts_when_certain_or_for_two_people_alike() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let (one, other) = (UserId::from(1), UserId::from(2));
        let failure = |code| Failure { code: Some(code), ..Failure::new(FailureKind::Invalid, "no") };
        let counts = |steps: &[(PageCall, &UserId, i64, bool)]| {
            let mut page = PageRefusals::default();
            for (call, user, code, certain) in steps {
                page.refused(*call, user, &failure(*code), *certain, at);
            }
            let PageMemory { request_refused, take_refused, .. } = page.memory();
            (request_refused.is_some(), take_refused.is_some())
        };
        assert_eq!(counts(&[(Request, &one, 100, true)]), (true, false));
        assert_eq!(counts(&[(Request, &one, 100, false)]), (false, false));
        assert_eq!(counts(&[(Request, &one, 100, false), (Request, &one, 100, false)]), (false, false));
        assert_eq!(counts(&[(Request, &one, 100, false), (Request, &other, 100, false)]), (true, false));
        assert_eq!(counts(&[(Request, &one, 100, false), (Request, &other, 10, false)]), (false, false));
        assert_eq!(counts(&[(Request, &one, 100, false), (Take, &other, 100, false)]), (false, false));
        let mut page = PageRefusals::default();
        page.refused(Request, &one, &failure(100), false, at);
        page.forget(at);
        page.refused(Request, &other, &failure(100), false, at);
        assert_eq!(page.memory(), PageMemory { forgotten: Some(at), ..PageMemory::default() });
    }
}
