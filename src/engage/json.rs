//! Reads JSON fields as Engage Digital writes them (docs/protocol.md#ed-events).

use serde_json::Value;

use crate::time::Timestamp;

/// Reads a text, which may also be a number, because ED's ids are strings in samples and integers in tables. Absent, null
/// and empty fields are `None`.
pub(super) fn text(value: &Value, name: &str) -> Option<String> {
    match value.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

pub(super) fn texts(value: &Value, name: &str) -> Vec<String> {
    let all = value.get(name).and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// Reads an RFC 3339 date and time; `None` if it is malformed or before the epoch.
pub(super) fn moment(value: &Value, name: &str) -> Option<Timestamp> {
    let moment: jiff::Timestamp = value.get(name)?.as_str()?.trim().parse().ok()?;
    u64::try_from(moment.as_millisecond()).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stamps_as_they_are_written() {
        for (written, expected) in [
            (json!("2014-02-10T18:35:35.251Z"), Some(1_392_057_335_251)),
            (json!("2014-02-10T18:35:35Z"), Some(1_392_057_335_000)),
            (json!("2014-02-10T19:35:35.2519+01:00"), Some(1_392_057_335_251)),
            (json!(" 2014-02-10T18:35:35Z\n"), Some(1_392_057_335_000)),
            (json!("1969-12-31T23:59:59Z"), None),
            (json!("2014-02-10"), None),
            (json!("10/02/2014 18:35"), None),
            (json!(1_392_057_335), None),
            (json!(null), None),
        ] {
            let at = moment(&json!({ "at": written }), "at");
            assert_eq!(at.map(Timestamp::as_millis), expected, "{written}");
        }
    }

    #[test]
    fn ids_as_they_are_written() {
        let value = json!({"a": "48cc6703bdae1462ce06a555", "b": 1, "c": "", "d": null, "e": [1, "x", null]});
        assert_eq!(text(&value, "a").as_deref(), Some("48cc6703bdae1462ce06a555"));
        assert_eq!(text(&value, "b").as_deref(), Some("1"));
        assert!(["c", "d", "e", "f"].iter().all(|name| text(&value, name).is_none()));
        assert_eq!(texts(&value, "e"), ["x"]);
        assert!(texts(&value, "a").is_empty());
    }
}
