//! What Graph's error codes mean for the caller (facts §5.3).

use http::StatusCode;

use crate::call::FailureKind::{
    self, Invalid, NotAvailable, NotThreadOwner, OutsideWindow, Permission, PlatformFlow, Protocol,
    RateLimited, RecipientUnavailable, Restricted, Token, Transient,
};

/// What an error means: by code and subcode, else by its sentence, else by a code that stands for many things, else by the
/// HTTP status.
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

/// What a failure means that is not in Graph's words: a proxy's page, an empty body. It must never
/// look like the Page's configuration speaking, which would lead to a take.
pub(super) fn by_status(status: StatusCode) -> FailureKind {
    match status.as_u16() {
        429 => RateLimited,
        408 | 500.. => Transient,
        _ => Protocol,
    }
}

/// Subcodes of this size mean the same under every code they were seen with (INF).
const UNIQUE_SUBCODES_FROM: i64 = 1_000_000;

/// Code, subcode, meaning, source. A row without a subcode is for any, where the code means one thing:
/// codes 10 and 100 carry unrelated causes and never count alone.
#[rustfmt::skip]
const TABLE: &[(i64, Option<i64>, FailureKind, &str)] = &[
    (10, Some(2_018_300), NotThreadOwner, "DOC M-OLD; OBS P-DEEP"),
    (100, Some(2_534_037), NotThreadOwner, "OBS, Instagram"),
    (10, Some(2_018_278), OutsideWindow, "DOC; OBS P-FLY"),
    (10, Some(2_534_022), OutsideWindow, "OBS, Instagram"),
    (10, Some(2_018_065), OutsideWindow, "OBS, in several languages"),
    (10, Some(2_018_108), RecipientUnavailable, "3P P-FQ"),
    (100, Some(2_018_001), RecipientUnavailable, "3P jgorset"),
    (100, Some(2_534_014), RecipientUnavailable, "OBS P-IGH: also for an id learned on standby"),
    (100, Some(2_534_001), RecipientUnavailable, "OBS: the conversation was archived or deleted"),
    (200, Some(1_545_041), RecipientUnavailable, "3P"),
    (551, Some(1_545_041), RecipientUnavailable, "DOC M-PTC"),
    (10, Some(1_404_170), Permission, "3P P-FQ"),
    (100, Some(33), Permission, "OBS P-DEEP: not loaded, or permission missing"),
    (200, Some(2_018_028), Permission, "3P jgorset: app not approved"),
    (200, Some(2_018_027), Permission, "3P jgorset: phone matching"),
    (200, Some(2_018_021), Permission, "3P jgorset: phone matching"),
    (100, Some(2_018_234), Permission, "DOC M-ERR, code INF: secondaries may not see each other"),
    (10, Some(1_893_063), Restricted, "DOC M-CL"),
    (10, Some(2_534_122), Restricted, "3P P-ZER, code INF"),
    (100, Some(2_534_029), Restricted, "3P P-ZER, code INF"),
    (10, Some(2_018_321), PlatformFlow, "DOC M-ERR, code INF"),
    (10, Some(2_018_171), NotAvailable, "DOC M-ERR, code INF: the app has no role on the Page"),
    (100, Some(2_018_164), Invalid, "DOC M-ERR: wrong app id"),
    (100, Some(2_018_109), Invalid, "3P jgorset: attachment too big"),
    (100, Some(2_018_382), Invalid, "3P, code INF: wrong form id"),
    (-1, None, Transient, "OBS P-DEEP: the same send worked 25 s later"),
    (1, None, Transient, "DOC M-GERR"),
    (2, None, Transient, "DOC M-GERR"),
    (1200, None, Transient, "3P jgorset, P-FLY"),
    (3, None, Permission, "DOC M-GERR"),
    (4, None, RateLimited, "DOC"),
    (17, None, RateLimited, "DOC"),
    (32, None, RateLimited, "DOC"),
    (341, None, RateLimited, "DOC"),
    (613, None, RateLimited, "DOC"),
    (2022, None, RateLimited, "3P P-FLY"),
    (80_001, None, RateLimited, "DOC"),
    (80_002, None, RateLimited, "DOC"),
    (80_006, None, RateLimited, "DOC"),
    (80_008, None, RateLimited, "DOC"),
    (27, None, NotAvailable, "OBS P-DEEP: take without routing"),
    (102, None, Token, "DOC M-GERR"),
    (190, None, Token, "DOC M-GERR, with any subcode"),
    (368, None, Restricted, "DOC M-GERR"),
    (506, None, Invalid, "DOC M-GERR"),
    (551, None, RecipientUnavailable, "DOC M-PTC"),
    (10_303, None, Invalid, "3P jgorset"),
    (1_609_005, None, Invalid, "DOC M-GERR"),
    (2_494_191, None, NotAvailable, "3P W-GUP, WhatsApp: take not permitted"),
    (138_038, None, Invalid, "DOC M-WACALL: who owns a call, which says nothing of the thread"),
];

/// PrivateText of the message, in lower case, the narrowest first. A last resort: messages are localised (facts §5.1). Each is
/// long enough to match nothing else: "the thread owner has deleted this conversation" says nothing about control.
const SENTENCES: &[(&str, FailureKind)] = &[
    ("isn't receiving messages", RecipientUnavailable), // OBS: 200 and 10 without a subcode
    ("isn't available right now", RecipientUnavailable), // DOC M-PTC: the text of 551
    ("invalid fbid", RecipientUnavailable),             // OBS: 100 without a subcode
    ("no matching user", RecipientUnavailable),         // INF: the text of 2018001
    ("archived or deleted", RecipientUnavailable),      // OBS: the text of 2534001
    ("is controlling this thread", NotThreadOwner),     // OBS P-FQ: came without its subcode
    ("not the thread owner", NotThreadOwner),           // OBS P-DEEP, P-PRO
    ("only the current thread owner", NotThreadOwner),  // OBS P-DEEP
    ("not the owner of the thread", NotThreadOwner),    // P-PRO
    ("conversation routing is not enabled", NotAvailable), // OBS P-DEEP
    ("unknown path components", NotAvailable),          // OBS: a version or an edge that does not exist
    ("outside of allowed window", OutsideWindow),       // INF: the text of 2018278
    ("outside the allowed window", OutsideWindow),      // INF
    ("cannot tag messages with 'human_agent'", Permission), // OBS P-DEEP
    ("permission denied", Permission),                  // 3P P-CBX: take refused by role
    ("does not have permission", Permission),           // INF
    ("request limit reached", RateLimited),             // INF: the text of 4
    ("active access token must be used", Token),        // OBS: the text of 2500
    ("validating access token", Token),                 // INF: the text of 190
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

/// DOC M-GERR: the permission family. A sentence may know better: 200 is also said of a person who blocked the Page.
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

    /// What is not in Graph's words must never look like the Page's configuration speaking.
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
            assert!(["DOC", "OBS", "3P", "BG"].iter().any(|tag| row.3.starts_with(tag)), "{row:?}");
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
