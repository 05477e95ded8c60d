//! What schemas say, as types.

use serde_json::{Map, Value};

use super::expression::Type;
use super::names::{Names, key};

type Object = Map<String, Value>;

/// A property of an object.
pub(super) struct Property<'a> {
    pub(super) name: &'a str,
    pub(super) is_required: bool,
    pub(super) schema: &'a Value,
}

impl Property<'_> {
    /// The property's name, and whether the property may be missing, as TypeScript has it.
    pub(super) fn key(&self) -> String {
        let optional = if self.is_required { "" } else { "?" };
        key(self.name) + optional
    }

    /// What stands for it where it is missing.
    pub(super) fn default(&self) -> Option<&Value> {
        self.schema.get("default").filter(|_| !self.is_required)
    }
}

/// The type of what a schema allows: all that it says must hold.
pub(super) fn type_of(schema: &Value, names: &Names) -> Type {
    let schema = match schema {
        Value::Object(schema) => schema,
        Value::Bool(false) => return Type::never(),
        _ => return Type::unknown(),
    };
    let mut parts = Vec::new();
    if let Some(Value::String(reference)) = schema.get("$ref") {
        let name = names.referred(reference);
        parts.push(name.map_or_else(Type::unknown, Type::tight));
    }
    if let Some(value) = schema.get("const") {
        parts.push(literal(value));
    } else if let Some(Value::Array(values)) = schema.get("enum") {
        parts.push(Type::union(values.iter().map(literal)));
    } else {
        parts.extend(by_kind(schema, names));
    }
    for keyword in ["oneOf", "anyOf"] {
        if let Some(Value::Array(cases)) = schema.get(keyword) {
            parts.push(Type::union(cases.iter().map(|case| type_of(case, names))));
        }
    }
    if let Some(Value::Array(all)) = schema.get("allOf") {
        parts.extend(all.iter().map(|part| type_of(part, names)));
    }
    Type::intersection(parts.into_iter())
}

/// By `type`, or by what is said of objects and arrays without it.
fn by_kind(schema: &Object, names: &Names) -> Option<Type> {
    let has = |keywords: &[&str]| keywords.iter().any(|keyword| schema.contains_key(*keyword));
    let kinds = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind.as_str()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ if has(&["properties", "patternProperties", "additionalProperties"]) => vec!["object"],
        _ if has(&["items", "prefixItems"]) => vec!["array"],
        _ => return None,
    };
    let kinds = kinds.into_iter().map(|kind| match kind {
        "string" | "boolean" | "null" | "number" => Type::tight(kind),
        "integer" => Type::tight("number"),
        "array" => array(schema, names),
        "object" => object(schema, names),
        _ => Type::unknown(),
    });
    Some(Type::union(kinds))
}

fn array(schema: &Object, names: &Names) -> Type {
    let items = schema.get("items");
    let each = items.map_or_else(Type::unknown, |items| type_of(items, names));
    let Some(Value::Array(first)) = schema.get("prefixItems") else {
        return each.list();
    };
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
    let required = bound("minItems").unwrap_or(0);
    let mut tuple = Vec::new();
    for (index, item) in (0..).zip(first) {
        let item = type_of(item, names);
        tuple.push(match index < required {
            true => item.to_string(),
            false => item.optional(),
        });
    }
    let is_all = bound("maxItems").is_some_and(|max| max <= first.len() as u64);
    if !is_all && items != Some(&Value::Bool(false)) {
        tuple.push(format!("...{}", each.list()));
    }
    Type::tight(format!("[{}]", tuple.join(", ")))
}

fn object(schema: &Object, names: &Names) -> Type {
    let mut parts = Vec::new();
    let named = properties(schema).map(|property| {
        let of = type_of(property.schema, names);
        format!("{}: {of}", property.key())
    });
    let named: Vec<_> = named.collect();
    if !named.is_empty() {
        parts.push(Type::braces(named.join("; ")));
    }
    if let Some(others) = others(schema) {
        let values = Type::union(others.into_iter().map(|values| type_of(values, names)));
        parts.push(Type::braces(format!("[key: string]: {values}")));
    }
    Type::intersection(parts.into_iter())
}

/// A value as the type that has only it.
fn literal(value: &Value) -> Type {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| literal(item).to_string()).collect();
            Type::tight(format!("[{}]", items.join(", ")))
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| format!("{}: {}", key(name), literal(value)));
            Type::braces(fields.collect::<Vec<_>>().join("; "))
        }
        value => Type::tight(value.to_string()),
    }
}

fn properties(schema: &Object) -> impl Iterator<Item = Property<'_>> {
    let required = schema.get("required").and_then(Value::as_array);
    let properties = schema.get("properties").and_then(Value::as_object);
    let properties = properties.into_iter().flatten();
    properties.map(move |(name, schema)| Property {
        name,
        is_required: required.is_some_and(|required| required.iter().any(|own| own == name)),
        schema,
    })
}

/// The schemas of an object's values under other keys than its properties'; none if it says of no others.
fn others(schema: &Object) -> Option<Vec<&Value>> {
    static ANY: Value = Value::Bool(true);
    let by_pattern = schema.get("patternProperties").and_then(Value::as_object);
    let mut others: Vec<_> = by_pattern.into_iter().flat_map(Map::values).collect();
    let is_bare = others.is_empty() && properties(schema).next().is_none();
    match schema.get("additionalProperties") {
        // An object of which nothing is known, and one that is always empty.
        None if is_bare => others.push(&ANY),
        Some(Value::Bool(false)) if is_bare => return Some(others),
        None | Some(Value::Bool(false)) => {}
        Some(values) => others.push(values),
    }
    (!others.is_empty()).then_some(others)
}

/// The properties of a schema that says nothing else.
pub(super) fn plain_object(schema: &Value) -> Option<Vec<Property<'_>>> {
    let schema = schema.as_object()?;
    let more = ["$ref", "const", "enum", "oneOf", "anyOf", "allOf"];
    let is_plain = schema.get("type")? == "object"
        && others(schema).is_none()
        && !more.iter().any(|keyword| schema.contains_key(*keyword));
    is_plain.then(|| properties(schema).collect())
}

/// The cases of a schema that is nothing but one of several.
pub(super) fn cases(schema: &Value) -> Option<&Vec<Value>> {
    let schema = schema.as_object()?;
    let more = ["$ref", "const", "enum", "type", "properties", "allOf"];
    if more.iter().any(|keyword| schema.contains_key(*keyword)) {
        return None;
    }
    match (schema.get("oneOf"), schema.get("anyOf")) {
        (Some(Value::Array(cases)), None) | (None, Some(Value::Array(cases))) => Some(cases),
        _ => None,
    }
}
