//! `Debug` wrappers that hide what people wrote and show its length, because hosts log `Debug` output.

use std::fmt;

use serde_json::{Map, Value};

/// Shows a text's length.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// Shows a JSON object's field names.
pub(crate) struct Fields<'a>(pub(crate) &'a Map<String, Value>);

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Shows an object's field names, an array's length, and nothing of other JSON.
#[cfg(feature = "webhook")]
pub(crate) struct Json<'a>(pub(crate) &'a Value);

#[cfg(feature = "webhook")]
impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Object(fields) => Fields(fields).fmt(f),
            Value::Array(items) => write!(f, "<{} items>", items.len()),
            _ => f.write_str("<JSON>"),
        }
    }
}
