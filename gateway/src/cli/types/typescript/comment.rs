//! What schemas say to people, as comments.

use serde_json::Value;

/// The comment in front of what a schema is of, with the end of its line; nothing if it says nothing. `default` is what
/// stands for it where it is missing.
pub(super) fn comment(schema: &Value, default: Option<&Value>, indent: &str) -> String {
    let text = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
    let words = text("description").or(text("title")).unwrap_or_default();
    let mut lines: Vec<_> = words.lines().map(str::to_owned).collect();
    if let (Some("string"), Some(format)) = (text("type"), text("format")) {
        lines.push(format!("@format {format}"));
    }
    if let Some(default) = default.filter(|default| !default.is_null()) {
        lines.push(format!("@default {default}"));
    }
    if schema.get("deprecated") == Some(&Value::Bool(true)) {
        lines.push("@deprecated".to_owned());
    }
    // Nothing in it may end it.
    for line in &mut lines {
        *line = line.replace("*/", "*\\/");
    }
    match &lines[..] {
        [] => String::new(),
        [line] => format!("{indent}/** {line} */\n"),
        lines => {
            let lines = lines.iter().map(|line| format!("{indent} * {line}"));
            let lines: Vec<_> = lines.map(|line| line.trim_end().to_owned()).collect();
            format!("{indent}/**\n{}\n{indent} */\n", lines.join("\n"))
        }
    }
}
