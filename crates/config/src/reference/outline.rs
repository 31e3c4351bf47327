//! The schema as a tree of documented fields.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::document::Config;

/// One field of the file.
pub(super) struct Field {
    pub(super) name: String,
    /// Its doc comment, on one line.
    pub(super) meaning: String,
    pub(super) shape: Shape,
    pub(super) required: bool,
    /// It may be left out, though hardly ever: an example says more than what it is then (`x-usual` in the schema).
    pub(super) usual: bool,
    /// `None` also where leaving the field out differs from every value it can have.
    pub(super) default: Option<Value>,
    pub(super) example: Option<Value>,
}

/// What a field holds.
pub(super) enum Shape {
    /// A mapping.
    Section(Vec<Field>),
    /// A sequence of mappings, and how many there are at least where there are any.
    Rows(Vec<Field>, u64),
    /// One value, or a sequence of them.
    Value {
        /// What is allowed, as in `1 to 16 of address/prefix length`.
        allowed: String,
        /// The names it can have, each with its meaning; empty where it is no choice.
        choices: Vec<(String, String)>,
    },
}

/// The JSON schema of [`Config`].
pub(super) fn schema() -> Value {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<Config>().to_value()
}

/// The fields of [`Config`], in the order of their declaration.
pub(super) fn fields() -> Vec<Field> {
    let root = schema();
    let reader = Reader { definitions: &root["$defs"] };
    reader.fields_of(&root)
}

struct Reader<'a> {
    definitions: &'a Value,
}

impl<'a> Reader<'a> {
    fn fields_of(&self, schema: &'a Value) -> Vec<Field> {
        let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        let properties = schema["properties"].as_object().into_iter().flat_map(Map::iter);
        properties
            .map(|(name, property)| {
                let target = self.resolve(property);
                let usual = property["x-usual"] == true;
                let say = |key: &str| property.get(key).or_else(|| target.get(key));
                Field {
                    name: name.clone(),
                    meaning: one_line(say("description")),
                    shape: self.shape_of(target),
                    required: required.iter().any(|required| required == name),
                    usual,
                    default: property.get("default").filter(|default| !usual && !default.is_null()).cloned(),
                    example: self.example_of(property),
                }
            })
            .collect()
    }

    /// Follows a reference, also one that stands beside `null`.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            return self.resolve(&self.definitions[name]);
        }
        match schema["anyOf"].as_array() {
            Some(any) => any.iter().find(|one| one["type"] != "null").map_or(schema, |one| self.resolve(one)),
            None => schema,
        }
    }

    fn example_of(&self, schema: &'a Value) -> Option<Value> {
        let own = |schema: &Value| schema["examples"].get(0).cloned();
        let items = || own(self.resolve(&schema["items"])).map(|item| Value::Array(vec![item]));
        own(schema).or_else(|| own(self.resolve(schema))).or_else(items)
    }

    fn shape_of(&self, schema: &'a Value) -> Shape {
        if schema["properties"].is_object() {
            return Shape::Section(self.fields_of(schema));
        }
        let items = self.resolve(&schema["items"]);
        if items["properties"].is_object() {
            return Shape::Rows(self.fields_of(items), schema["minItems"].as_u64().unwrap_or(0));
        }
        if !items.is_null() {
            let count = match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
                (Some(least), Some(most)) => format!("{least} to {most} of "),
                (Some(least), None) => format!("at least {least} of "),
                (None, Some(most)) => format!("at most {most} of "),
                (None, None) => "any number of ".to_owned(),
            };
            return Shape::Value { allowed: count + &allowed(items), choices: choices(items) };
        }
        Shape::Value { allowed: allowed(schema), choices: choices(schema) }
    }
}

/// What one value may be.
fn allowed(schema: &Value) -> String {
    let choices = choices(schema);
    if !choices.is_empty() {
        return choices.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" | ");
    }
    if let Some(title) = schema["title"].as_str() {
        return title.to_owned();
    }
    let is = |name: &str| schema["type"] == name || schema["type"][0] == name;
    if is("boolean") {
        return "true | false".to_owned();
    }
    if is("integer") {
        return format!("{} to {}", schema["minimum"], schema["maximum"]);
    }
    match schema["format"].as_str() {
        Some("ip") => "address".to_owned(),
        _ => "text".to_owned(),
    }
}

/// The names an enumeration has, each with its meaning.
fn choices(schema: &Value) -> Vec<(String, String)> {
    let variants = schema["oneOf"].as_array().into_iter().flatten();
    variants
        .filter_map(|variant| Some((variant["const"].as_str()?.to_owned(), one_line(variant.get("description")))))
        .collect()
}

fn one_line(text: Option<&Value>) -> String {
    text.and_then(Value::as_str).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}
