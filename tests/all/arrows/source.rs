//! Rust source as far as its arrows need it: the tokens of a file without comments, literals and tests.

use std::str::Chars;

/// The identifiers, `::` and single signs of a text, without those that only tests have.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars();
    while let Some(first) = rest.clone().next() {
        if first.is_alphanumeric() || first == '_' {
            let word: String = take(&mut rest, |c| c.is_alphanumeric() || c == '_');
            // A prefix of a literal, or a raw identifier, is no word of its own.
            let is_prefix = matches!(&*word, "r" | "b" | "br" | "c");
            if !(is_prefix && rest.as_str().starts_with(['"', '#', '\''])) {
                tokens.push(word);
            } else if skip_raw(&mut rest) {
                continue;
            }
        } else if !skip_blank(&mut rest) {
            match rest.as_str().strip_prefix("::") {
                Some(behind) => {
                    tokens.push("::".to_owned());
                    rest = behind.chars();
                }
                None => tokens.extend(rest.next().map(String::from)),
            }
        }
    }
    without_tests(&tokens)
}

fn take(rest: &mut Chars<'_>, is_part: impl Fn(char) -> bool) -> String {
    let text = rest.as_str();
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    *rest = text[end..].chars();
    text[..end].to_owned()
}

/// Skips a raw string behind its `r`. Returns whether there was one.
fn skip_raw(rest: &mut Chars<'_>) -> bool {
    let text = rest.as_str();
    let signs = text.len() - text.trim_start_matches('#').len();
    let Some(inside) = text[signs..].strip_prefix('"') else {
        return false;
    };
    if signs == 0 {
        return false;
    }
    let end = format!("\"{}", &text[..signs]);
    let (_, behind) = inside.split_once(&end).unwrap_or_default();
    *rest = behind.chars();
    true
}

/// Skips a space, a comment, or a literal of characters. Returns whether there was one.
fn skip_blank(rest: &mut Chars<'_>) -> bool {
    let text = rest.as_str();
    let behind = if text.starts_with("//") {
        text.find('\n').map_or("", |end| &text[end..])
    } else if text.starts_with("/*") {
        text.split_once("*/").unwrap_or_default().1
    } else if let Some(inside) = text.strip_prefix('"') {
        behind_quote(inside, '"')
    } else if let Some(inside) = text.strip_prefix('\'') {
        let mut inner = inside.chars();
        match (inner.next(), inner.next()) {
            (Some('\\'), _) | (_, Some('\'')) => behind_quote(inside, '\''),
            // A lifetime.
            _ => inside.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
        }
    } else if text.starts_with(char::is_whitespace) {
        text.trim_start()
    } else {
        return false;
    };
    *rest = behind.chars();
    true
}

fn behind_quote(inside: &str, quote: char) -> &str {
    let mut escaped = false;
    let end = inside.find(|c| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or("", |end| &inside[end + 1..])
}

fn without_tests(tokens: &[String]) -> Vec<String> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut left = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let behind = &tokens[at..];
        if behind.len() > attribute.len() && behind.iter().zip(attribute).all(|(a, b)| a == b) {
            at += attribute.len();
            at += item_len(&tokens[at..]);
        } else {
            left.push(tokens[at].clone());
            at += 1;
        }
    }
    left
}

/// The tokens of the item, field, variant or arm that comes first.
fn item_len(tokens: &[String]) -> usize {
    let items = [
        "mod", "use", "fn", "impl", "struct", "enum", "const", "static", "type",
    ];
    let opening = ["pub", "(", "super", "crate", ")", "async", "unsafe"];
    let mut words = tokens
        .iter()
        .skip_while(|token| opening.contains(&&***token));
    let is_item = words.next().is_some_and(|word| items.contains(&&**word));
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match &**token {
            "(" | "[" | "{" => depth += 1,
            // The end of what holds a field or an arm.
            ")" | "]" | "}" if depth == 0 => return at,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 && is_item {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            "," if depth == 0 && !is_item => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}
