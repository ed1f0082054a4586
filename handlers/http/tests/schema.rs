//! As much of JSON Schema as `docs/openapi.json` uses for its answers. A keyword that is not known here fails the test: a
//! rule that is not checked holds nothing.

use serde_json::Value;

/// Words that say something to people only.
const PROSE: [&str; 4] = ["description", "default", "format", "title"];

/// Where and why a value is not what a schema says; nothing if it is.
pub(super) fn faults(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Some(rules) = schema.as_object() else {
        return vec![format!("{at}: {schema} is no schema")];
    };
    let mut found = Vec::new();
    for (word, rule) in rules {
        found.extend(match word.as_str() {
            "$ref" => faults(document, target(document, rule), value, at),
            "oneOf" => one_of(document, rule, value, at),
            "properties" | "additionalProperties" | "required" | "items" => Vec::new(),
            word if PROSE.contains(&word) => Vec::new(),
            word => {
                let fits = fits(word, rule, value);
                let fault = || format!("{at}: {value} is not of {word} {rule}");
                (!fits).then(fault).into_iter().collect()
            }
        });
    }
    found.extend(inside(document, schema, value, at));
    found
}

/// What a `$ref` means.
pub(super) fn target<'a>(document: &'a Value, reference: &Value) -> &'a Value {
    let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
    document
        .pointer(pointer)
        .unwrap_or_else(|| panic!("{pointer} is not there"))
}

fn one_of(document: &Value, schemas: &Value, value: &Value, at: &str) -> Vec<String> {
    let all = schemas.as_array().unwrap();
    let tried: Vec<Vec<String>> = all
        .iter()
        .map(|schema| faults(document, schema, value, at))
        .collect();
    match tried.iter().filter(|faults| faults.is_empty()).count() {
        1 => Vec::new(),
        0 => tried.into_iter().min_by_key(Vec::len).unwrap(),
        count => vec![format!("{at}: {value} fits {count} of the forms")],
    }
}

fn fits(word: &str, rule: &Value, value: &Value) -> bool {
    let length = || value.as_array().map(Vec::len);
    match word {
        "type" => match rule {
            Value::Array(types) => types.iter().any(|one| is_of(one, value)),
            one => is_of(one, value),
        },
        "enum" => rule.as_array().unwrap().contains(value),
        "const" => rule == value,
        "minimum" => value
            .as_f64()
            .is_none_or(|number| number >= rule.as_f64().unwrap()),
        "minItems" => length().is_none_or(|length| length as u64 >= rule.as_u64().unwrap()),
        "maxItems" => length().is_none_or(|length| length as u64 <= rule.as_u64().unwrap()),
        "pattern" => value
            .as_str()
            .is_none_or(|text| is_hex(rule.as_str().unwrap(), text)),
        other => panic!("`{other}` is not known here"),
    }
}

fn is_of(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("`{other}` is no type"),
    }
}

/// The patterns that answers have: so many hexadecimal digits.
fn is_hex(pattern: &str, text: &str) -> bool {
    let count = pattern.strip_prefix("^[0-9a-f]{");
    let count = count.and_then(|rest| rest.strip_suffix("}$"));
    let count: usize = count
        .unwrap_or_else(|| panic!("`{pattern}` is not known here"))
        .parse()
        .unwrap();
    text.len() == count
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The fields of an object and the items of an array.
fn inside(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let (Some(items), Some(rule)) = (value.as_array(), schema.get("items")) {
        for (index, item) in items.iter().enumerate() {
            found.extend(faults(document, rule, item, &format!("{at}[{index}]")));
        }
    }
    let Some(fields) = value.as_object() else {
        return found;
    };
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(format!("{at}: `{name}` is not there"));
        }
    }
    for (name, field) in fields {
        let at = format!("{at}.{name}");
        let known = schema.get("properties").and_then(|known| known.get(name));
        match (known, schema.get("additionalProperties")) {
            (Some(rule), _) => found.extend(faults(document, rule, field, &at)),
            (None, Some(Value::Bool(false))) => found.push(format!("{at} is not documented")),
            (None, Some(rule @ Value::Object(_))) => {
                found.extend(faults(document, rule, field, &at));
            }
            (None, _) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    // The rules of JSON Schema 2020-12, each with a value that keeps it and one that does not.
    #[rstest]
    #[case(json!({"type": "integer"}), json!(1), json!(1.5))]
    #[case(json!({"type": ["string", "null"]}), json!(null), json!(1))]
    #[case(json!({"enum": ["a", null]}), json!("a"), json!("b"))]
    #[case(json!({"const": true}), json!(true), json!(false))]
    #[case(json!({"minimum": 1}), json!(1), json!(0))]
    #[case(json!({"minItems": 1, "maxItems": 2}), json!([1, 2]), json!([]))]
    #[case(json!({"items": {"type": "string"}}), json!(["a"]), json!(["a", 1]))]
    #[case(json!({"pattern": "^[0-9a-f]{2}$"}), json!("0f"), json!("0F"))]
    #[case(json!({"required": ["a"]}), json!({"a": 1}), json!({"b": 1}))]
    #[case(json!({"properties": {"a": {"type": "null"}}}), json!({"a": null}), json!({"a": 1}))]
    #[case(json!({"additionalProperties": false}), json!({}), json!({"a": 1}))]
    #[case(json!({"additionalProperties": {"type": "string"}}), json!({"a": "b"}), json!({"a": 1}))]
    #[case(json!({"oneOf": [{"type": "string"}, {"const": 1}]}), json!(1), json!(2))]
    #[case(json!({"oneOf": [{"type": "string"}, {"const": "x"}]}), json!("a"), json!("x"))]
    #[case(json!({"$ref": "#/known"}), json!(true), json!("true"))]
    fn a_rule_can_be_broken(#[case] schema: Value, #[case] good: Value, #[case] bad: Value) {
        let document = json!({"known": {"type": "boolean"}});
        assert_eq!(
            faults(&document, &schema, &good, "it"),
            Vec::<String>::new()
        );
        assert_eq!(faults(&document, &schema, &bad, "it").len(), 1);
    }
}
