//! Reads JSON with the irregularities of the platform.

use serde_json::Value;

/// Parses a body. Replaces a lone surrogate, as in a text that was cut inside an emoji, by U+FFFD, because decoders refuse
/// it and one such text would lose the whole batch.
pub(crate) fn read(body: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(body).or_else(|error| match mend_surrogates(body) {
        Some(mended) => serde_json::from_slice(&mended),
        None => Err(error),
    })
}

/// The field, unless it is absent or null.
pub(super) fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|field| !field.is_null())
}

/// Reads a number, which may also be written as text.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            let float =
                number.as_f64().filter(|float| (0.0..9e15).contains(float) && float.fract() == 0.0)?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
            Some(float as u64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Reads a text, which may also be written as a number.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn mend_surrogates(body: &[u8]) -> Option<Vec<u8>> {
    let mut mended: Option<Vec<u8>> = None;
    let mut at = 0;
    while at < body.len() {
        if body[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(body, at) {
            Some(0xD800..=0xDBFF) if matches!(unit(body, at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
            Some(0xD800..=0xDFFF) => {
                mended.get_or_insert_with(|| body.to_vec())[at + 2..at + 6].copy_from_slice(b"fffd");
                at += 6;
            }
            // Skips the character after the backslash, because it may be a backslash too.
            _ => at += 2,
        }
    }
    mended
}

/// The UTF-16 unit of a `\uXXXX` that starts at `at`.
fn unit(body: &[u8], at: usize) -> Option<u16> {
    let escape = body.get(at..at + 6)?;
    let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn half_a_pair_is_mended_and_nothing_else() {
        for (body, text) in [
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ude00b""#, "\u{fffd}b"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\\ud83d \ud83d.""#, "\\ud83d \u{fffd}."),
            (r#""\ud83d\ude00""#, "😀"),
        ] {
            assert_eq!(read(body.as_bytes()).unwrap(), json!(text), "{body}");
        }
        for body in [r#""\ud83"#, r#""\"#, r#""\u"#, r#""\ud8zz""#] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
        assert!(read(b"\"\\ud83d\xff\"").is_err());
    }

    #[test]
    fn numbers_as_they_come() {
        assert_eq!(number(&json!("1458692752478")), Some(1_458_692_752_478));
        assert_eq!(number(&json!(1_458_692_752_478.0)), Some(1_458_692_752_478));
        for none in
            [json!(-1), json!(1.5), json!(1e300), json!(""), json!("x"), json!(true), json!({}), json!(null)]
        {
            assert_eq!(number(&none), None, "{none}");
        }
    }
}
