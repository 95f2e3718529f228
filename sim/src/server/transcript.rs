//! The transcript: everything that happened, in order, as lines of JSON.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use messenger_handover::time::Timestamp;

/// A callback for each line of the transcript as it is written. It runs under the platform's lock, so it must be quick and must
/// not call the server.
pub type TranscriptSink = Arc<dyn Fn(&str) + Send + Sync>;

/// The number of lines that are stored; only the sink has older ones.
const KEPT: usize = 50_000;

#[derive(Default)]
pub(super) struct Transcript {
    lines: VecDeque<(u64, Arc<str>)>,
    written: u64,
    sink: Option<TranscriptSink>,
    /// Text to remove from every line, wherever a client wrote it.
    secrets: Vec<String>,
}

impl Transcript {
    pub(super) fn new(sink: Option<TranscriptSink>, secrets: Vec<String>) -> Self {
        // Shorter ones also occur as words.
        let secrets = secrets.into_iter().filter(|secret| secret.len() >= 6).collect();
        Self { sink, secrets, ..Self::default() }
    }

    /// Writes one line with its number, time and kind, and returns the number.
    pub(super) fn write(&mut self, at: Timestamp, kind: &str, rest: Value) -> u64 {
        self.written += 1;
        let mut line = Map::new();
        line.insert("seq".to_owned(), json!(self.written));
        line.insert("at_ms".to_owned(), json!(at));
        line.insert("kind".to_owned(), json!(kind));
        if let Value::Object(rest) = rest {
            line.extend(rest);
        }
        let mut line = Value::Object(line).to_string();
        for secret in &self.secrets {
            if line.contains(secret) {
                line = line.replace(secret, "[redacted]");
            }
        }
        // They end a line for some readers of JSON lines; JSON has them in strings only.
        let line: Arc<str> = line.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029").into();
        if let Some(sink) = &self.sink {
            sink(&line);
        }
        self.lines.push_back((self.written, line));
        if self.lines.len() > KEPT {
            self.lines.pop_front();
        }
        self.written
    }

    /// The number of the last line.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The stored lines with a number above `seq`.
    pub(super) fn after(&self, seq: u64) -> Vec<Arc<str>> {
        let first = self.lines.partition_point(|(number, _)| *number <= seq);
        self.lines.range(first..).map(|(_, line)| Arc::clone(line)).collect()
    }
}

/// A request's parameters without tokens, secrets and proofs, at any depth.
pub(super) fn shown(params: &Map<String, Value>) -> Value {
    let is_secret = |name: &str| {
        let name = name.to_lowercase();
        ["token", "secret", "proof"].iter().any(|word| name.contains(word)) || name == "batch"
    };
    let inside = |value: &Value| match value {
        Value::Object(fields) => shown(fields),
        other => other.clone(),
    };
    let shown = params.iter().filter(|(name, _)| !is_secret(name));
    Value::Object(shown.map(|(name, value)| (name.clone(), inside(value))).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn lines_have_numbers_and_no_secrets() {
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let sink = Arc::clone(&seen);
        let mut transcript = Transcript::new(
            Some(Arc::new(move |line| sink.lock().unwrap().push(line.to_owned()))),
            vec!["PAGE_TOKEN".to_owned(), "V".to_owned()],
        );
        let params = json!({"Access_Token": "t", "appsecret_proof": "p", "recipient": {"id": "7"},
            "params": {"fb_exchange_token": "x"}, "text": "it is PAGE_TOKEN or V\u{2028}\u{2029}"});
        for _ in 0..3 {
            transcript.write(Timestamp::from_millis(5), "call", shown(params.as_object().unwrap()));
        }
        let line = concat!(
            r#"{"at_ms":5,"kind":"call","params":{},"recipient":{"id":"7"},"seq":3,"#,
            r#""text":"it is [redacted] or V\u2028\u2029"}"#
        );
        assert_eq!(transcript.after(2).iter().map(AsRef::as_ref).collect::<Vec<&str>>(), [line]);
        assert!(transcript.after(3).is_empty());
        assert_eq!(seen.lock().unwrap().len(), 3);
    }
}
