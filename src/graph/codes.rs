//! Maps Graph's error codes to [`FailureKind`]s (docs/protocol.md#error-codes).

use http::StatusCode;

use crate::call::FailureKind::{
    self, Invalid, NotAvailable, NotThreadOwner, OutsideWindow, Permission, PlatformFlow, Protocol,
    RateLimited, RecipientUnavailable, Restricted, Token, Transient,
};

/// Classifies an error by code and subcode, else by the sentence in its message, else by a range of codes, else by the HTTP
/// status.
pub(super) fn classify(
    code: Option<i64>,
    subcode: Option<i64>,
    message: &str,
    is_transient: bool,
    status: StatusCode,
) -> FailureKind {
    let known = by_subcode(code, subcode).or_else(|| by_code(code)).or_else(|| by_sentence(message));
    if let Some(kind) = known.or_else(|| by_family(code)) {
        return kind;
    }
    if is_transient {
        return Transient;
    }
    match status.as_u16() {
        429 => RateLimited,
        408 | 500.. => Transient,
        401 => Token,
        403 => Permission,
        _ => Invalid,
    }
}

/// Classifies a response without a Graph error, such as a proxy's page or an empty body, by its status alone. It must never
/// become [`NotAvailable`], because that would lead to a take.
pub(super) fn by_status(status: StatusCode) -> FailureKind {
    match status.as_u16() {
        429 => RateLimited,
        408 | 500.. => Transient,
        _ => Protocol,
    }
}

/// From this size on a subcode has one meaning, whatever the code (inferred).
const UNIQUE_SUBCODES_FROM: i64 = 1_000_000;

/// Code, subcode, meaning, certainty (see docs/protocol.md#error-codes). A row without a subcode holds for every subcode.
/// Codes 10 and 100 have no such row, because they carry unrelated causes.
#[rustfmt::skip]
const TABLE: &[(i64, Option<i64>, FailureKind, &str)] = &[
    (10, Some(2_018_300), NotThreadOwner, "documented, observed"),
    (100, Some(2_534_037), NotThreadOwner, "observed, on Instagram"),
    (10, Some(2_018_278), OutsideWindow, "documented, observed"),
    (10, Some(2_534_022), OutsideWindow, "observed, on Instagram"),
    (10, Some(2_018_065), OutsideWindow, "observed, in several languages"),
    (10, Some(2_018_108), RecipientUnavailable, "inferred"),
    (100, Some(2_018_001), RecipientUnavailable, "inferred"),
    (100, Some(2_534_014), RecipientUnavailable, "observed, also for an id learned on standby"),
    (100, Some(2_534_001), RecipientUnavailable, "observed: the conversation was archived or deleted"),
    (200, Some(1_545_041), RecipientUnavailable, "inferred"),
    (551, Some(1_545_041), RecipientUnavailable, "documented"),
    (10, Some(1_404_170), Permission, "inferred"),
    (100, Some(33), Permission, "observed: no such object or edge, or a permission is missing"),
    (200, Some(2_018_028), Permission, "inferred: app not approved"),
    (200, Some(2_018_027), Permission, "inferred: phone matching"),
    (200, Some(2_018_021), Permission, "inferred: phone matching"),
    (100, Some(2_018_234), Permission, "documented, code inferred: secondary receivers may not see each other"),
    (10, Some(1_893_063), Restricted, "documented"),
    (10, Some(2_534_122), Restricted, "inferred"),
    (100, Some(2_534_029), Restricted, "inferred"),
    (10, Some(2_018_321), PlatformFlow, "documented, code inferred"),
    (10, Some(2_018_171), NotAvailable, "documented, code inferred: the app has no role on the Page"),
    (100, Some(2_018_164), Invalid, "documented: wrong app id"),
    (100, Some(2_018_109), Invalid, "inferred: attachment too big"),
    (100, Some(2_018_382), Invalid, "inferred: wrong form id"),
    (-1, None, Transient, "observed: the same send worked 25 s later"),
    (1, None, Transient, "documented"),
    (2, None, Transient, "documented"),
    (1200, None, Transient, "observed"),
    (3, None, Permission, "documented"),
    (4, None, RateLimited, "documented"),
    (17, None, RateLimited, "documented"),
    (32, None, RateLimited, "documented"),
    (341, None, RateLimited, "documented"),
    (613, None, RateLimited, "documented"),
    (2022, None, RateLimited, "inferred"),
    (80_001, None, RateLimited, "documented"),
    (80_002, None, RateLimited, "documented"),
    (80_006, None, RateLimited, "documented"),
    (80_008, None, RateLimited, "documented"),
    (27, None, NotAvailable, "observed: take without a default application"),
    (102, None, Token, "documented"),
    (190, None, Token, "documented, with any subcode"),
    (368, None, Restricted, "documented"),
    (506, None, Invalid, "documented"),
    (551, None, RecipientUnavailable, "documented"),
    (10_303, None, Invalid, "inferred"),
    (1_609_005, None, Invalid, "documented"),
    (2_494_191, None, NotAvailable, "inferred: take not permitted on WhatsApp"),
    (138_038, None, Invalid, "documented: another app owns the WhatsApp call, which says nothing of the thread"),
];

/// Lower-case parts of messages, the narrowest first. A last resort, because messages may be localised
/// (docs/protocol.md#error-envelope). Each is long enough to match no other message: "the thread owner has deleted this
/// conversation", for example, says nothing about control.
const SENTENCES: &[(&str, FailureKind)] = &[
    ("isn't receiving messages", RecipientUnavailable), // observed: 200 and 10 without a subcode
    ("isn't available right now", RecipientUnavailable), // documented: the text of 551
    ("invalid fbid", RecipientUnavailable),             // observed: 100 without a subcode
    ("no matching user", RecipientUnavailable),         // inferred: the text of 2018001
    ("archived or deleted", RecipientUnavailable),      // observed: the text of 2534001
    ("is controlling this thread", NotThreadOwner),     // observed: 10 without its subcode
    ("not the thread owner", NotThreadOwner),           // observed
    ("only the current thread owner", NotThreadOwner),  // observed: release by another app
    ("not the owner of the thread", NotThreadOwner),    // inferred
    ("conversation routing is not enabled", NotAvailable), // observed: take without a default application
    ("unknown path components", NotAvailable),          // observed: a version or an edge that does not exist
    ("outside of allowed window", OutsideWindow),       // inferred: the text of 2018278
    ("outside the allowed window", OutsideWindow),      // inferred
    ("cannot tag messages with 'human_agent'", Permission), // observed
    ("permission denied", Permission),                  // inferred: take refused by role
    ("does not have permission", Permission),           // inferred
    ("request limit reached", RateLimited),             // inferred: the text of 4
    ("active access token must be used", Token),        // observed: the text of 2500
    ("validating access token", Token),                 // inferred: the text of 190
];

fn by_subcode(code: Option<i64>, subcode: Option<i64>) -> Option<FailureKind> {
    let subcode = subcode?;
    let rows = || TABLE.iter().filter(|row| row.1 == Some(subcode));
    rows()
        .find(|row| Some(row.0) == code)
        .or_else(|| rows().find(|_| subcode >= UNIQUE_SUBCODES_FROM))
        .map(|row| row.2)
}

fn by_code(code: Option<i64>) -> Option<FailureKind> {
    TABLE.iter().find(|row| Some(row.0) == code && row.1.is_none()).map(|row| row.2)
}

/// Codes 200 to 299 are about permissions (documented). A known sentence goes first, because Graph also refuses with 200
/// when the person has blocked the Page.
fn by_family(code: Option<i64>) -> Option<FailureKind> {
    code.is_some_and(|code| (200..=299).contains(&code)).then_some(Permission)
}

fn by_sentence(message: &str) -> Option<FailureKind> {
    let message = message.to_lowercase().replace('\u{2019}', "'");
    SENTENCES.iter().find(|row| message.contains(row.0)).map(|row| row.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: i64, subcode: impl Into<Option<i64>>, message: &str) -> FailureKind {
        classify(Some(code), subcode.into(), message, false, StatusCode::BAD_REQUEST)
    }

    #[test]
    fn ten_and_a_hundred_never_count_alone() {
        assert!(TABLE.iter().all(|row| row.1.is_some() || (row.0 != 10 && row.0 != 100)));
        for code in [10, 100] {
            assert_eq!(kind(code, None, "aplicativo não controla"), Invalid);
            assert_eq!(kind(code, 2_018_300, "outro aplicativo"), NotThreadOwner);
            assert_eq!(kind(code, None, "this app is not the owner of the thread"), NotThreadOwner);
            assert_eq!(kind(code, 33, "x"), if code == 100 { Permission } else { Invalid });
        }
    }

    #[test]
    fn real_sentences_without_a_subcode() {
        for (code, message, expected) in [
            (
                10,
                "(#10) Message failed to send because another app is controlling this thread now.",
                NotThreadOwner,
            ),
            (10, "(#10) The app is not the thread owner", NotThreadOwner),
            (100, "The action is invalid since it's not the thread owner.", NotThreadOwner),
            (100, "(#100) Only the current thread owner can release", NotThreadOwner),
            (100, "(#100) calling app is not the thread owner", NotThreadOwner),
            (10, "(#10) Permission denied", Permission),
            (100, "(#100) Cannot tag messages with 'HUMAN_AGENT' without approval", Permission),
            (10, "(#10) This message is sent outside of allowed window.", OutsideWindow),
            (
                27,
                "(#27) Take thread control is not supported when Conversation Routing is not enabled.",
                NotAvailable,
            ),
        ] {
            assert_eq!(kind(code, None, message), expected, "{message}");
        }
    }

    /// A proxy's page must never look like a setting of the Page.
    #[test]
    fn a_page_of_a_proxy_goes_by_its_status_alone() {
        for (status, expected) in [
            (200, Protocol),
            (403, Protocol),
            (408, Transient),
            (429, RateLimited),
            (500, Transient),
            (503, Transient),
        ] {
            assert_eq!(by_status(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }

    #[test]
    fn every_row_is_reachable_and_unique() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(kind(row.0, row.1, ""), row.2, "{row:?}");
            assert!(TABLE[..at].iter().all(|other| (other.0, other.1) != (row.0, row.1)), "{row:?}");
            assert!(
                ["documented", "observed", "inferred"].iter().any(|known| row.3.starts_with(known)),
                "{row:?}"
            );
        }
        for subcode in [458, 459, 460, 463, 464, 467, 492] {
            assert_eq!(kind(190, subcode, ""), Token);
        }
        assert_eq!((kind(210, None, ""), kind(230, None, "")), (Permission, Permission));
        assert_eq!(kind(613, 1996, ""), RateLimited);
    }

    #[test]
    fn an_unlisted_error_goes_by_its_status() {
        let by = |status: u16, transient| {
            classify(Some(9999), None, "?", transient, StatusCode::from_u16(status).unwrap())
        };
        assert_eq!((by(400, false), by(400, true)), (Invalid, Transient));
        assert_eq!((by(401, false), by(403, false)), (Token, Permission));
        assert_eq!((by(408, false), by(503, false), by(429, false)), (Transient, Transient, RateLimited));
        let foreign = |status: u16| by_status(StatusCode::from_u16(status).unwrap());
        for status in [301, 401, 403, 404, 407] {
            assert!(!foreign(status).means_not_available(), "{status}");
        }
    }
}
