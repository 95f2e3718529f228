//! The parameter `fields`: the fields of a node that a read wants, at any depth.

use serde_json::{Map, Value};

use super::GraphError;

/// The fields of a message that Graph returns without being asked.
pub(super) const USUAL_OF_MESSAGE: [&str; 2] = ["id", "created_time"];

/// The deepest nesting that is read, so that no request can exhaust the stack.
const DEEPEST: usize = 8;
/// The number of items of an edge where the request names none, and the most of one answer.
const USUAL: usize = 25;
const MOST: usize = 500;

/// The fields that a read wants, such as `id,messages.limit(5){message,from}`. Without any, Graph answers with a few of its own
/// choice. A field that the simulator does not have is left out of the answer; Graph refuses those that it does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<Field>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    name: String,
    limit: Option<usize>,
    inner: Fields,
}

impl Fields {
    /// Reads a list of fields. Modifiers other than `limit` are ignored.
    ///
    /// # Errors
    /// [`GraphError`] with code 2500 if the text is not such a list (general knowledge; the wording is assumed).
    pub fn parse(text: &str) -> Result<Self, GraphError> {
        let mut rest = text.trim();
        let fields =
            list(&mut rest, DEEPEST).ok_or_else(|| GraphError::bad_fields(text.len() - rest.len()))?;
        if rest.is_empty() { Ok(fields) } else { Err(GraphError::bad_fields(text.len() - rest.len())) }
    }

    /// Whether the read wants this field by name.
    #[must_use]
    pub fn asks(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether the read wants this field and no other but the id.
    #[must_use]
    pub fn asks_only(&self, name: &str) -> bool {
        self.asks(name) && self.0.iter().all(|field| field.name == name || field.name == "id")
    }

    fn get(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|field| field.name == name)
    }

    /// The number of items of an edge among the fields.
    pub(super) fn limit_of(&self, edge: &str) -> usize {
        limited(self.get(edge).and_then(|field| field.limit))
    }

    /// The part of a node that the read wants; without fields, the usual ones. The id is always there.
    pub(super) fn select(&self, node: &Value, usual: &[&str]) -> Value {
        match node {
            Value::Array(nodes) => nodes.iter().map(|node| self.select(node, usual)).collect(),
            Value::Object(fields) if fields.get("data").is_some_and(Value::is_array) => {
                let mut edge = fields.clone();
                edge.insert("data".to_owned(), self.select(&fields["data"], usual));
                Value::Object(edge)
            }
            Value::Object(fields) if !self.0.is_empty() || !usual.is_empty() => {
                let mut chosen = Map::new();
                if self.0.is_empty() {
                    let known = usual.iter().filter_map(|name| fields.get_key_value(*name));
                    chosen.extend(known.map(|(name, value)| (name.clone(), value.clone())));
                }
                for field in &self.0 {
                    if let Some(value) = fields.get(&field.name) {
                        chosen.insert(field.name.clone(), field.inner.select(value, usual_of(&field.name)));
                    }
                }
                if let Some(id) = fields.get("id") {
                    chosen.insert("id".to_owned(), id.clone());
                }
                Value::Object(chosen)
            }
            other => other.clone(),
        }
    }
}

/// The number of items of an edge for a parameter `limit`.
pub(super) fn limited(limit: Option<usize>) -> usize {
    limit.filter(|limit| *limit > 0).unwrap_or(USUAL).min(MOST)
}

/// The usual fields of the nodes of an edge; all of them where none are named here.
fn usual_of(edge: &str) -> &'static [&'static str] {
    if edge == "messages" { &USUAL_OF_MESSAGE } else { &[] }
}

/// Reads `a,b{c},d.limit(3)` from the beginning of `rest`.
fn list(rest: &mut &str, depth: usize) -> Option<Fields> {
    let mut fields = Vec::new();
    loop {
        fields.push(field(rest, depth)?);
        *rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => *rest = after,
            None => return Some(Fields(fields)),
        }
    }
}

fn field(rest: &mut &str, depth: usize) -> Option<Field> {
    let name = name(rest)?.to_owned();
    let mut limit = None;
    while let Some(after) = rest.strip_prefix('.') {
        *rest = after;
        let modifier = self::name(rest)?;
        let (argument, after) = rest.strip_prefix('(')?.split_once(')')?;
        if modifier == "limit" {
            limit = argument.trim().parse().ok();
        }
        *rest = after;
    }
    let mut inner = Fields::default();
    if let Some(after) = rest.trim_start().strip_prefix('{').filter(|_| depth > 0) {
        *rest = after;
        inner = list(rest, depth - 1)?;
        *rest = rest.trim_start().strip_prefix('}')?;
    }
    Some(Field { name, limit, inner })
}

fn name<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    *rest = after;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn select(fields: &str, node: &Value) -> Value {
        Fields::parse(fields).unwrap().select(node, &["id", "name"])
    }

    #[test]
    fn fields_are_chosen_at_any_depth() {
        let message =
            json!({"id": "m_1", "created_time": "t", "message": "hi", "from": {"id": "7", "name": "Ana"}});
        let node = json!({"id": "t_1", "name": "n", "link": "l", "messages": {"data": [message]}});
        assert_eq!(Fields::default().select(&node, &["id", "name"]), json!({"id": "t_1", "name": "n"}));
        assert_eq!(select("link", &node), json!({"id": "t_1", "link": "l"}));
        assert_eq!(select(" link , nothing ", &node), json!({"id": "t_1", "link": "l"}));
        let usual = json!({"id": "t_1", "messages": {"data": [{"id": "m_1", "created_time": "t"}]}});
        assert_eq!(select("messages", &node), usual);
        let chosen = json!({"id": "m_1", "message": "hi", "from": {"id": "7", "name": "Ana"}});
        let deep = json!({"id": "t_1", "link": "l", "messages": {"data": [chosen]}});
        assert_eq!(select("messages.limit(3).order(x){message,from},link", &node), deep);
        let chosen = json!({"id": "m_1", "from": {"id": "7"}});
        assert_eq!(
            select("messages { from{id} }", &node),
            json!({"id": "t_1", "messages": {"data": [chosen]}})
        );
    }

    #[test]
    fn fields_that_are_no_list_are_refused() {
        for bad in ["", "a,", "a{", "a{}", "a}", "a,,b", "a.limit", "a.limit(3", "{a}", "a b", "é"] {
            assert_eq!(Fields::parse(bad).unwrap_err().code, 2500, "{bad}");
        }
        assert!(Fields::parse(&"a{".repeat(1 << 19)).is_err(), "no overflow");
        assert!(Fields::parse("a{b{c{d{e}}}}").is_ok());
    }

    #[test]
    fn limits_of_edges() {
        let fields =
            Fields::parse("messages.limit(3),participants,others.limit(9999),none.limit(0)").unwrap();
        let limits = ["messages", "participants", "others", "none"].map(|edge| fields.limit_of(edge));
        assert_eq!(limits, [3, 25, 500, 25]);
        assert!(fields.asks("messages") && !fields.asks("message"));
        assert!(Fields::parse("id,name").unwrap().asks_only("name") && !fields.asks_only("messages"));
    }
}
