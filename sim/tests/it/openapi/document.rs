//! Reads a document of `OpenAPI`: its structure, its references, and as much of JSON Schema as the control API uses.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub(super) struct Document(pub(super) Value);

/// An operation, with its references resolved and the examples of its parameters in its path.
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    responses: Map<String, Value>,
}

impl Operation {
    pub(super) fn needs_body(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body["required"] == true)
    }

    pub(super) fn schema(&self) -> Option<Value> {
        Some(self.body.as_ref()?["content"]["application/json"]["schema"].clone())
    }

    pub(super) fn examples(&self) -> Vec<Value> {
        self.body.as_ref().map(|body| examples(&body["content"]["application/json"])).unwrap_or_default()
    }

    /// The schema of the response with this status.
    pub(super) fn answer(&self, status: &str) -> Value {
        let content = self.responses[status]["content"].as_object().unwrap();
        assert_eq!(content.len(), 1, "{} {status}", self.path);
        content.values().next().unwrap()["schema"].clone()
    }
}

fn examples(content: &Value) -> Vec<Value> {
    let several = content["examples"].as_object().into_iter().flat_map(Map::values);
    content.get("example").into_iter().chain(several.map(|one| &one["value"])).cloned().collect()
}

/// The names in braces of a path.
fn in_braces(path: &str) -> BTreeSet<String> {
    path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap().to_owned()).collect()
}

impl Document {
    /// Follows a reference. Fields beside it win, as `OpenAPI` 3.1 has it.
    pub(super) fn resolved(&self, value: &Value) -> Value {
        let Some(reference) = value.get("$ref") else { return value.clone() };
        let pointer = reference.as_str().and_then(|reference| reference.strip_prefix('#'));
        let target = pointer.and_then(|pointer| self.0.pointer(pointer));
        let mut target = self.resolved(target.unwrap_or_else(|| panic!("{reference} is not there")));
        let beside = value.as_object().unwrap().iter().filter(|(name, _)| *name != "$ref");
        target.as_object_mut().unwrap().extend(beside.map(|(name, value)| (name.clone(), value.clone())));
        target
    }

    pub(super) fn operations(&self) -> Vec<Operation> {
        let mut all = Vec::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            let parameters = item["parameters"].as_array().into_iter().flatten();
            let parameters: Vec<_> = parameters.map(|parameter| self.resolved(parameter)).collect();
            for (method, operation) in
                item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters")
            {
                let mut filled = path.trim_start_matches('/').to_owned();
                for parameter in &parameters {
                    let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
                    filled = filled.replace(&name, parameter["example"].as_str().unwrap());
                }
                let responses = operation["responses"].as_object().unwrap().iter();
                all.push(Operation {
                    id: operation["operationId"].as_str().unwrap().to_owned(),
                    method: method.to_uppercase(),
                    path: filled,
                    body: operation.get("requestBody").map(|body| self.resolved(body)),
                    responses: responses.map(|(status, one)| (status.clone(), self.resolved(one))).collect(),
                });
            }
        }
        all
    }

    /// Checks the structure, that each reference resolves and each component is used, and that examples match their schemas.
    pub(super) fn check(&self) {
        assert!(self.0["openapi"].as_str().unwrap().starts_with("3.1."));
        assert!(self.0["info"]["title"].is_string());
        let tags: BTreeSet<_> =
            self.0["tags"].as_array().unwrap().iter().map(|tag| tag["name"].clone().to_string()).collect();
        let mut ids = BTreeSet::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            for (method, operation) in
                item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters")
            {
                let name = format!("{method} {path}");
                assert!(["get", "post", "patch", "delete"].contains(&method.as_str()), "{name}");
                assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}: a second one");
                assert!(operation["summary"].is_string(), "{name}");
                assert!(
                    operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(&tag.to_string()))
                );
                let of_item = item["parameters"].as_array().into_iter().flatten();
                let own = operation["parameters"].as_array().into_iter().flatten();
                let mut in_path = BTreeSet::new();
                for parameter in of_item.chain(own).map(|parameter| self.resolved(parameter)) {
                    assert!(parameter["schema"].is_object(), "{name}: {parameter}");
                    if parameter["in"] == "path" {
                        assert_eq!(parameter["required"], true, "{name}: {parameter}");
                        in_path.insert(parameter["name"].as_str().unwrap().to_owned());
                    }
                }
                assert_eq!(in_path, in_braces(path), "{name}");
            }
        }
        for operation in self.operations() {
            assert!(operation.responses.contains_key("200"), "{}", operation.path);
            let contents = operation.responses.iter().map(|(status, response)| {
                assert!(response["description"].is_string(), "{} {status}", operation.path);
                response["content"].as_object().unwrap()
            });
            let body = operation.body.as_ref().map(|body| body["content"].as_object().unwrap());
            for content in contents.chain(body).flat_map(Map::values) {
                self.check_schema(&content["schema"]);
                for example in examples(content) {
                    self.matches(&content["schema"], &example).expect(&operation.path);
                }
            }
            assert!(operation.body.is_none() || !operation.examples().is_empty(), "{}", operation.path);
        }
        let text = self.0.to_string();
        for (kind, components) in self.0["components"].as_object().unwrap() {
            for name in components.as_object().unwrap().keys() {
                let reference = format!("\"#/components/{kind}/{name}\"");
                assert!(text.contains(&reference), "nothing uses {reference}");
            }
        }
    }

    /// Checks that a schema has only keywords that [`Self::matches`] knows.
    fn check_schema(&self, schema: &Value) {
        let schema = self.resolved(schema);
        for (keyword, value) in schema.as_object().unwrap() {
            match keyword.as_str() {
                "properties" => value.as_object().unwrap().values().for_each(|one| self.check_schema(one)),
                "items" => self.check_schema(value),
                "oneOf" => value.as_array().unwrap().iter().for_each(|one| self.check_schema(one)),
                "required" => {
                    let known = |name: &Value| schema["properties"].get(name.as_str().unwrap()).is_some();
                    assert!(value.as_array().unwrap().iter().all(known), "{schema}");
                }
                "type"
                | "additionalProperties"
                | "enum"
                | "const"
                | "minimum"
                | "maximum"
                | "default"
                | "description" => {}
                other => panic!("the test does not know {other}"),
            }
        }
    }

    /// Checks a value against a schema.
    pub(super) fn matches(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = self.resolved(schema);
        let wrong = |why: &str| Err(format!("{why}: {value} is not {schema}"));
        if let Some(all) = schema["oneOf"].as_array() {
            let fitting = all.iter().filter(|one| self.matches(one, value).is_ok()).count();
            return if fitting == 1 { Ok(()) } else { wrong("not one of them") };
        }
        if schema.get("const").is_some_and(|only| only != value) {
            return wrong("another constant");
        }
        if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
            return wrong("not in the list");
        }
        let types = schema.get("type").map(|kind| match kind {
            Value::Array(kinds) => kinds.clone(),
            kind => vec![kind.clone()],
        });
        if types.is_some_and(|kinds| !kinds.iter().any(|kind| is_of(kind.as_str().unwrap(), value))) {
            return wrong("another type");
        }
        let number = value.as_f64();
        let bound = |keyword: &str| schema[keyword].as_f64();
        if number.zip(bound("minimum")).is_some_and(|(number, least)| number < least)
            || number.zip(bound("maximum")).is_some_and(|(number, most)| number > most)
        {
            return wrong("out of bounds");
        }
        if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
            items.iter().try_for_each(|item| self.matches(schema, item))?;
        }
        let Some(fields) = value.as_object() else { return Ok(()) };
        let required = schema["required"].as_array().into_iter().flatten();
        if required.map(|name| name.as_str().unwrap()).any(|name| !fields.contains_key(name)) {
            return wrong("a field is missing");
        }
        for (name, field) in fields {
            match schema["properties"].get(name) {
                Some(schema) => self.matches(schema, field)?,
                None if schema["additionalProperties"] == false => return wrong(name),
                None => {}
            }
        }
        Ok(())
    }

    /// The objects of a value whose schemas allow no other fields, each with its JSON pointer and its schema.
    pub(super) fn objects(&self, schema: &Value, value: &Value) -> Vec<(String, Value)> {
        let schema = self.resolved(schema);
        let fitting = schema["oneOf"].as_array().into_iter().flatten();
        if let Some(one) = fitting.into_iter().find(|one| self.matches(one, value).is_ok()) {
            return self.objects(one, value);
        }
        let below = |name: String, schema: &Value, value: &Value| {
            let inner = self.objects(schema, value).into_iter();
            inner.map(move |(place, schema)| (format!("/{name}{place}"), schema)).collect::<Vec<_>>()
        };
        let mut all = Vec::new();
        match value {
            Value::Object(fields) => {
                if schema["additionalProperties"] == false {
                    all.push((String::new(), schema.clone()));
                }
                let known = fields.iter().filter_map(|(name, field)| {
                    Some(below(name.clone(), schema["properties"].get(name)?, field))
                });
                all.extend(known.flatten());
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                all.extend(items.flat_map(|(at, item)| below(at.to_string(), &schema["items"], item)));
            }
            _ => {}
        }
        all
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    }
}
