//! Serde's messages, said the way a person who edits a file would want them.

/// Says what is wrong with the entry at `path`, from what serde said.
pub(super) fn explain(message: &str, path: &[String]) -> String {
    let Some((key, parents)) = path.split_last() else {
        return message.to_owned();
    };
    let thing = format!("{key:?}{}", table(parents));
    if let Some(known) = message.strip_prefix("unknown field ") {
        return format!("unknown key {thing}: {}", advise(key, known));
    }
    if let Some(known) = message.strip_prefix("unknown variant ") {
        let value = quoted(known).next().unwrap_or_default();
        return format!("{thing} is {value:?}: {}", advise(value, known));
    }
    let mismatch = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|prefix| message.strip_prefix(prefix))
        .and_then(|rest| rest.rsplit_once(", expected "));
    match mismatch {
        // What `toml_edit` says of an enum.
        None if message == "wanted string or table" => format!("{thing}: write a string in quotes"),
        Some(("map", "a sequence")) => format!("{thing} is a single table: write [[{key}]]"),
        Some((found, expected)) => {
            format!("{thing} is {}: write {}", value(found), wanted(expected))
        }
        None => format!("{thing}: {message}"),
    }
}

/// The table a key is in, as its header is written; nothing for the top of the file.
fn table(parents: &[String]) -> String {
    let is_index = |step: &&String| step.bytes().all(|byte| byte.is_ascii_digit());
    let names: Vec<_> = parents
        .iter()
        .filter(|step| !is_index(step))
        .map(String::as_str)
        .collect();
    match parents.last() {
        None => String::new(),
        Some(last) if is_index(&last) => format!(" in [[{}]]", names.join(".")),
        Some(_) => format!(" in [{}]", names.join(".")),
    }
}

/// Advice on `word`, from a message that ends in the words serde expected.
fn advise(word: &str, message: &str) -> String {
    let expected = message.rsplit_once(", expected ");
    let known: Vec<_> = quoted(expected.map_or("", |(_, known)| known)).collect();
    choose(word, &known)
}

/// Names the nearest of the known words, or all of them when none is near.
pub(super) fn choose(word: &str, known: &[&str]) -> String {
    let distance = |known: &&str| strsim::damerau_levenshtein(&word.to_lowercase(), known);
    let nearest = known.iter().copied().min_by_key(distance);
    match nearest.filter(|nearest| distance(nearest) <= nearest.len().div_ceil(3)) {
        Some(nearest) => format!("did you mean {nearest:?}?"),
        None => {
            let known: Vec<_> = known.iter().map(|known| format!("{known:?}")).collect();
            format!("use one of {}", known.join(", "))
        }
    }
}

/// The words in backticks.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}

/// A value as it stands in the file, from serde's ``integer `5` ``, `string "x"` or `sequence`.
fn value(found: &str) -> &str {
    match found {
        "map" => "a table",
        "sequence" => "a list",
        _ => found
            .strip_prefix("string ")
            .or_else(|| {
                found
                    .split_once('`')
                    .map(|(_, value)| value.trim_end_matches('`'))
            })
            .unwrap_or(found),
    }
}

/// What to write, for the types whose words are serde's.
fn wanted(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        "a map" => "a table",
        "a string" => "a string in quotes",
        "a sequence" => r#"a list, like ["chat"]"#,
        _ => expected,
    }
}
