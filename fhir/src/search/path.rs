//! What stands at a path: elements parted by dots, through arrays.

use serde_json::Value;

use super::parameter::Parameter;

/// All that stands at the parameter's paths, arrays opened. Empty where nothing does; `null` is nothing.
pub(super) fn values<'a>(resource: &'a Value, parameter: &Parameter) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for path in parameter.paths {
        walk(resource, path, &mut found);
    }
    found
}

fn walk<'a>(value: &'a Value, path: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter().for_each(|item| walk(item, path, found)),
        _ if path.is_empty() => found.push(value),
        _ => {
            let (element, rest) = path.split_once('.').unwrap_or((path, ""));
            if let Some(value) = value.get(element) {
                walk(value, rest, found);
            }
        }
    }
}
