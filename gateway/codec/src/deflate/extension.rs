//! The grammar of Sec-WebSocket-Extensions (RFC 6455 section 9.1).

use std::borrow::Cow;

/// The elements of one header field: what stands between its commas, those in quotes aside.
/// Nothing else of the grammar is checked.
pub(super) fn elements(field: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    field.split(move |c| {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => return c == ',' && !quoted,
        }
        false
    })
}

/// One element while it is read: a name and then parameters, blanks allowed around each part.
#[derive(Debug)]
pub(super) struct Extension<'a> {
    name: &'a str,
    rest: &'a str,
}

/// A parameter of an extension, and its value if there is one.
pub(super) type Param<'a> = (&'a str, Option<Cow<'a, str>>);

impl<'a> Extension<'a> {
    /// Reads the name that `element` begins with. `None` if there is none.
    pub(super) fn parse(element: &'a str) -> Option<Self> {
        let mut extension = Self {
            name: "",
            rest: element,
        };
        extension.name = extension.token()?;
        Some(extension)
    }

    /// The extension's name, as it was written.
    pub(super) fn name(&self) -> &'a str {
        self.name
    }

    /// Reads the next parameter: `Ok(None)` at the end of the element, `Err` if what follows is no
    /// parameter.
    pub(super) fn next_param(&mut self) -> Result<Option<Param<'a>>, Malformed> {
        if self.rest.trim_start_matches(BLANK).is_empty() {
            return Ok(None);
        }
        if !self.eat(';') {
            return Err(Malformed);
        }
        let name = self.token().ok_or(Malformed)?;
        let value = match self.eat('=') {
            true => Some(self.value().ok_or(Malformed)?),
            false => None,
        };
        Ok(Some((name, value)))
    }

    fn eat(&mut self, separator: char) -> bool {
        let rest = self.rest.trim_start_matches(BLANK);
        rest.strip_prefix(separator)
            .map(|rest| self.rest = rest)
            .is_some()
    }

    fn token(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start_matches(BLANK);
        let end = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
        let (token, rest) = rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    /// A token, by itself or in quotes: "the value after quoted-string unescaping MUST conform to
    /// the 'token' ABNF".
    fn value(&mut self) -> Option<Cow<'a, str>> {
        if !self.eat('"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => value.push(chars.next()?),
                c => value.push(c),
            }
        }
        self.rest = chars.as_str();
        (!value.is_empty() && value.chars().all(is_token)).then_some(Cow::Owned(value))
    }
}

/// An element that does not follow the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

const BLANK: [char; 2] = [' ', '\t'];

/// The characters of a token (RFC 2616 section 2.2, which RFC 6455 refers to).
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(element: &str) -> Option<Vec<(&str, Option<String>)>> {
        let mut extension = Extension::parse(element)?;
        let mut read = vec![(extension.name(), None)];
        while let Some((name, value)) = extension.next_param().ok()? {
            read.push((name, value.map(Cow::into_owned)));
        }
        Some(read)
    }

    #[test]
    fn commas_in_quotes_separate_nothing() {
        let split = |field| elements(field).collect::<Vec<_>>();
        assert_eq!(split("a, b;c=1"), ["a", " b;c=1"]);
        assert_eq!(split(r#"a;b="x,y",c"#), [r#"a;b="x,y""#, "c"]);
        assert_eq!(split(r#"a;b="\",",c"#), [r#"a;b="\",""#, "c"]);
        assert_eq!(split(r#"a;b="x,c"#), [r#"a;b="x,c"#]);
        assert_eq!(split(r"a\,b"), [r"a\", "b"]);
    }

    #[test]
    fn parameters_come_with_blanks_and_quotes() {
        let some = |value: &str| Some(value.to_owned());
        let expected = Some(vec![("x-y", None), ("a", None), ("b", some("10"))]);
        for element in [
            "x-y;a;b=10",
            " x-y ; a ; b = 10 ",
            "\tx-y\t;\ta;b=\"10\"",
            r#"x-y; a; b="\1\0""#,
        ] {
            assert_eq!(read(element), expected, "{element}");
        }
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        for element in [
            "",
            " ",
            ";a",
            "=",
            "x;",
            "x;;a",
            "x; =1",
            "x; a=",
            "x; a=;b",
            "x a",
            "x; a b",
            "x; a=1 2",
            "x; a=\"\"",
            "x; a=\"1",
            "x; a=\"1\\",
            "x; a=\"1 2\"",
            "x; a=\"1\"2",
            "x; a=é",
            "x/y",
            "x\u{a0}; a",
        ] {
            assert_eq!(read(element), None, "{element:?}");
        }
    }
}
