//! Structured values in queries and forms: JSON, and the looser spelling of Meta's own samples, such as `{'text':'hi'}`.

use serde_json::{Map, Number, Value};

/// The deepest nesting that is read, so that no request can exhaust the stack.
const DEEPEST: usize = 32;

/// Reads an object or a list; `None` for any other text. Names may stand without quotes, and both may have single quotes.
pub(super) fn read(text: &str) -> Option<Value> {
    let text = text.trim();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let mut reader = Reader { rest: text };
    let value = reader.value(DEEPEST)?;
    reader.rest.trim().is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            '{' => self.object(depth.checked_sub(1)?),
            '[' => self.list(depth.checked_sub(1)?),
            quote @ ('"' | '\'') => self.quoted(quote).map(Value::String),
            _ => {
                let word = self.word()?;
                Some(word_value(word))
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.rest = self.rest.strip_prefix('{')?;
        let mut fields = Map::new();
        loop {
            if self.ends('}') {
                return Some(Value::Object(fields));
            }
            let name = match self.rest.chars().next()? {
                quote @ ('"' | '\'') => self.quoted(quote)?,
                _ => self.word()?.to_owned(),
            };
            self.rest = self.rest.trim_start().strip_prefix(':')?;
            let value = self.value(depth)?;
            fields.insert(name, value);
            self.separated('}')?;
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        self.rest = self.rest.strip_prefix('[')?;
        let mut items = Vec::new();
        loop {
            if self.ends(']') {
                return Some(Value::Array(items));
            }
            items.push(self.value(depth)?);
            self.separated(']')?;
        }
    }

    /// Whether the object or list ends here; its end is consumed.
    fn ends(&mut self, end: char) -> bool {
        self.rest = self.rest.trim_start();
        let after = self.rest.strip_prefix(end);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// Consumes the comma after an item. At the end there may be one, too.
    fn separated(&mut self, end: char) -> Option<()> {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(',') {
            Some(after) => self.rest = after,
            None if self.rest.starts_with(end) => {}
            None => return None,
        }
        Some(())
    }

    /// A text in quotes, with the escapes of JSON and `\'`.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let body = self.rest.strip_prefix(quote)?;
        let mut end = None;
        let mut escaped = false;
        for (at, c) in body.char_indices() {
            if !escaped && c == quote {
                end = Some(at);
                break;
            }
            escaped = !escaped && c == '\\';
        }
        let (inside, after) = body.split_at(end?);
        self.rest = after.strip_prefix(quote)?;
        // The escapes are JSON's once the quotes are.
        let mut json = String::with_capacity(inside.len() + 2);
        json.push('"');
        let mut characters = inside.chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' => match characters.next()? {
                    '\'' => json.push('\''),
                    other => json.extend(['\\', other]),
                },
                '"' => json.push_str("\\\""),
                // JSON has no line breaks inside quotes.
                '\n' => json.push_str("\\n"),
                '\r' => json.push_str("\\r"),
                '\t' => json.push_str("\\t"),
                other => json.push(other),
            }
        }
        json.push('"');
        serde_json::from_str(&json).ok()
    }

    /// A name or a value without quotes, up to the next sign of the notation.
    fn word(&mut self) -> Option<&str> {
        let end = self.rest.find([',', ':', '}', ']', '{', '[', '"', '\'']).unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(end);
        self.rest = after;
        Some(word.trim()).filter(|word| !word.is_empty())
    }
}

/// A word is a number, a boolean, `null`, or text.
fn word_value(word: &str) -> Value {
    match word {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        _ => word
            .parse::<u64>()
            .map_or_else(|_| Value::String(word.to_owned()), |number| Value::Number(Number::from(number))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn structures_in_the_spelling_of_samples() {
        for (text, value) in [
            (r#"{"id":"7"}"#, json!({"id": "7"})),
            ("{'id':'7'}", json!({"id": "7"})),
            ("{id:7}", json!({"id": 7})),
            (" { id : PSID } ", json!({"id": "PSID"})),
            (r#"{'text':"it's fine"}"#, json!({"text": "it's fine"})),
            (r#"{"text":"it's fine"}"#, json!({"text": "it's fine"})),
            (r"{'text':'it\'s fine'}", json!({"text": "it's fine"})),
            (r#"{'text':'say "hi"'}"#, json!({"text": "say \"hi\""})),
            (r"{'text':'a\nb\u00e4 \\'}", json!({"text": "a\nb\u{e4} \\"})),
            ("{'text':'two\nlines, {braces}: yes'}", json!({"text": "two\nlines, {braces}: yes"})),
            ("['messages', 'standby']", json!(["messages", "standby"])),
            ("[messages,standby,]", json!(["messages", "standby"])),
            ("{}", json!({})),
            (
                "{attachment:{type:'image',payload:{url:'https://a.example/?a=1,2',is_reusable:true}}}",
                json!({"attachment": {"type": "image",
                    "payload": {"url": "https://a.example/?a=1,2", "is_reusable": true}}}),
            ),
            (
                "{a:null,b:[1,[2]],c:99999999999999999999}",
                json!({"a": null, "b": [1, [2]], "c": "99999999999999999999"}),
            ),
        ] {
            assert_eq!(read(text), Some(value), "{text}");
        }
    }

    #[test]
    fn structures_that_are_none_are_not_read() {
        for text in [
            "",
            "hi",
            "{",
            "{'a'",
            "{'a':",
            "{'a':1",
            "{'a' 1}",
            "{:1}",
            "{a:}",
            "[,]",
            "{a:1}}",
            "['a' 'b']",
            r"{'a':'\q'}",
            "{'a':'\\",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&"{a:".repeat(1 << 18)), None, "no overflow");
        assert_eq!(read(&"[".repeat(1 << 18)), None, "no overflow");
    }
}
