//! What `Debug` shows of what people wrote: how long it is. Hosts log what they debug.

use std::fmt;

use serde_json::{Map, Value};

/// A text.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// A JSON object, of which the names of the fields are shown.
pub(crate) struct Fields<'a>(pub(crate) &'a Map<String, Value>);

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Any JSON.
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
