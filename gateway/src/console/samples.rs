//! Ready-made messages and requests for the page: what a plugin's `messages.json` has.
//!
//! ```json
//! [
//!   { "title": "Join tea", "path": "/rooms/tea?username=ann" },
//!   { "title": "Say hello", "message": "hello" },
//!   { "title": "Subscribe", "path": "/", "message": { "type": "subscribe", "topic": "news" } },
//!   { "title": "New post", "method": "POST", "path": "/posts", "body": { "title": "Tides" } }
//! ]
//! ```
//!
//! An entry with `method` is a request. Any other is a message for a connection: the one at `path`,
//! which is opened if need be, or without it the one used last. Text is sent as it is, any other
//! value as JSON.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::file::{self, Unread};

/// Beside the plugin's Cargo.toml.
const FILE: &str = "messages.json";
/// Bytes of the file, and entries of it: buttons on a page.
const FILE_MAX: usize = 256 << 10;
const ENTRIES_MAX: usize = 64;
/// Characters of a title: a button's.
const TITLE_MAX: usize = 60;
/// What a page can ask with, and whether that takes a body.
const METHODS: [(&str, bool); 6] = [
    ("GET", false),
    ("HEAD", false),
    ("POST", true),
    ("PUT", true),
    ("PATCH", true),
    ("DELETE", true),
];

/// What the file has, and what is wrong with it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Samples {
    /// The samples as the file had them when it was last right.
    pub list: Vec<Sample>,
    /// What is wrong with the file as it is.
    pub problem: Option<String>,
}

/// One ready-made message or request.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "an object with a title")]
pub struct Sample {
    /// What the button says.
    title: String,
    /// Where to connect, or what to request.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// What to send; none only connects.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Box<RawValue>>,
    /// Makes it a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// What the request carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
}

impl Samples {
    /// Reads the file in a plugin's folder anew. A folder without one has no samples; of one that is
    /// wrong the last right ones stay.
    pub fn read(&mut self, folder: &Path) {
        match read(&folder.join(FILE)).and_then(|text| parse(&text)) {
            Ok(list) => {
                *self = Self {
                    list,
                    problem: None,
                }
            }
            Err(problem) => self.problem = Some(problem),
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |why: String| format!("failed to read {FILE}: {why}");
    let bytes = match file::read(path, FILE_MAX as u64) {
        Ok(bytes) => bytes,
        Err(Unread::Io(error)) if error.kind() == ErrorKind::NotFound => {
            return Ok("[]".to_owned());
        }
        Err(Unread::TooLarge(_)) => {
            return Err(format!("{FILE} is over {FILE_MAX} bytes: shorten it"));
        }
        Err(other) => return Err(failed(other.to_string())),
    };
    String::from_utf8(bytes).map_err(|error| failed(error.utf8_error().to_string()))
}

fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let entries: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!(
            "{FILE}:{line}:{column}: {}: write a list of messages, [{{\"title\": …}}, …]",
            words(&error)
        )
    })?;
    if entries.len() > ENTRIES_MAX {
        let count = entries.len();
        return Err(format!(
            "{FILE} has {count} entries: remove all but {ENTRIES_MAX}"
        ));
    }
    let sample = |(index, entry): (usize, &&RawValue)| {
        // The entry is a part of the text, so this is where it begins.
        let start = entry.get().as_ptr() as usize - text.as_ptr() as usize;
        let before = &text[..start];
        let (line, column) = (
            before.matches('\n').count(),
            start - before.rfind('\n').map_or(0, |newline| newline + 1),
        );
        let number = index + 1;
        let sample: Sample = serde_json::from_str(entry.get()).map_err(|error| {
            let indent = if error.line() == 1 { column } else { 0 };
            let (line, column) = (line + error.line(), indent + error.column());
            format!("{FILE}:{line}:{column}: entry {number}: {}", words(&error))
        })?;
        sample.check().map_err(|what| {
            let (line, column, title) = (line + 1, column + 1, &sample.title);
            format!("{FILE}:{line}:{column}: entry {number} ({title:?}) {what}")
        })?;
        Ok(sample.on_one_line())
    };
    entries.iter().enumerate().map(sample).collect()
}

/// What is wrong, without the place.
fn words(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let words = words
        .rsplit_once(" at line ")
        .map_or(&*words, |(words, _)| words);
    words.replace('`', "\"")
}

impl Sample {
    /// Without line breaks, which end an event of the stream. In JSON they stand between values only.
    fn on_one_line(mut self) -> Self {
        for value in [&mut self.message, &mut self.body].into_iter().flatten() {
            let line = value.get().replace(['\n', '\r'], " ");
            *value =
                RawValue::from_string(line).expect("a space may stand where a line break does");
        }
        self
    }

    /// What types cannot say.
    fn check(&self) -> Result<(), String> {
        if !(1..=TITLE_MAX).contains(&self.title.chars().count()) {
            return Err(format!(
                "has a title that is not 1 to {TITLE_MAX} characters long"
            ));
        }
        if self
            .path
            .as_ref()
            .is_some_and(|path| !path.starts_with('/'))
        {
            return Err("has a path that does not begin with \"/\"".to_owned());
        }
        let Some(method) = &self.method else {
            return match (&self.path, &self.message, &self.body) {
                (_, _, Some(_)) => {
                    Err("has a body but no method: add \"method\": \"POST\"".to_owned())
                }
                (None, None, _) => Err("has nothing to send: add a message".to_owned()),
                _ => Ok(()),
            };
        };
        let names = METHODS.map(|(name, _)| name).join(", ");
        let (_, takes_body) = METHODS
            .into_iter()
            .find(|(name, _)| name == method)
            .ok_or_else(|| format!("has the method {method:?}: use one of {names}"))?;
        match (&self.path, &self.message, &self.body) {
            (None, ..) => Err("has a method but no path: add \"path\": \"/…\"".to_owned()),
            (_, Some(_), _) => Err("has a method and a message: call it \"body\"".to_owned()),
            (.., Some(_)) if !takes_body => {
                Err(format!("has a body, which {method} does not take"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse(text).unwrap_err()
    }

    #[test]
    fn entries_reach_the_page_as_they_are_written() {
        let text = r#"[
            { "title": "Join tea", "path": "/rooms/tea?username=ann" },
            { "title": "Say hello", "message": "hello" },
            { "title": "Ask", "path": "/", "message": { "type": "ask", "id": 1, "a": [1.0] } },
            { "title": "Post", "method": "POST", "path": "/posts", "body": null },
            { "title": "Lines", "message": {
                "a": "\n" } },
            { "title": "Posts", "method": "GET", "path": "/posts" }
        ]"#;
        let list = serde_json::to_string(&parse(text).unwrap()).unwrap();
        for part in [
            r#"{"title":"Join tea","path":"/rooms/tea?username=ann"}"#,
            r#"{"title":"Say hello","message":"hello"}"#,
            r#""message":{ "type": "ask", "id": 1, "a": [1.0] }}"#,
            r#"{"title":"Posts","path":"/posts","method":"GET"}"#,
        ] {
            assert!(list.contains(part), "{part}\n{list}");
        }
        assert!(
            list.contains(r#""a": "\n" }"#) && !list.contains('\n'),
            "{list}"
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_entry() {
        let second = |entry: &str| {
            problem(&format!(
                "[\n  {{\"title\": \"a\", \"message\": \"x\"}},\n  {entry}\n]"
            ))
        };
        for (entry, expected) in [
            (
                r#"{"message": "x"}"#,
                r#"3:18: entry 2: missing field "title""#,
            ),
            (
                r#"{"title": "b", "mesage": "x"}"#,
                r#"3:25: entry 2: unknown field "mesage", expected one of "title", "path", "message", "method", "body""#,
            ),
            (
                r#"{"title": 5}"#,
                "3:13: entry 2: invalid type: integer \"5\", expected a string",
            ),
            (
                "5",
                "3:3: entry 2: invalid type: integer \"5\", expected an object with a title",
            ),
            (
                r#"{"title": "b"}"#,
                r#"3:3: entry 2 ("b") has nothing to send: add a message"#,
            ),
            (
                r#"{"title": "", "message": 1}"#,
                r#"3:3: entry 2 ("") has a title that is not 1 to 60 characters long"#,
            ),
            (
                r#"{"title": "b", "path": "rooms"}"#,
                r#"3:3: entry 2 ("b") has a path that does not begin with "/""#,
            ),
            (
                r#"{"title": "b", "body": 1}"#,
                r#"3:3: entry 2 ("b") has a body but no method: add "method": "POST""#,
            ),
            (
                r#"{"title": "b", "method": "POST"}"#,
                r#"3:3: entry 2 ("b") has a method but no path: add "path": "/…""#,
            ),
            (
                r#"{"title": "b", "method": "post", "path": "/"}"#,
                r#"3:3: entry 2 ("b") has the method "post": use one of GET, HEAD, POST, PUT, PATCH, DELETE"#,
            ),
            (
                r#"{"title": "b", "method": "GET", "path": "/", "body": 1}"#,
                r#"3:3: entry 2 ("b") has a body, which GET does not take"#,
            ),
            (
                r#"{"title": "b", "method": "POST", "path": "/", "message": 1}"#,
                r#"3:3: entry 2 ("b") has a method and a message: call it "body""#,
            ),
        ] {
            assert_eq!(
                second(entry),
                format!("messages.json:{expected}"),
                "{entry}"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_list_of_messages_is_told_so() {
        let advice = ": write a list of messages, [{\"title\": …}, …]";
        for (text, expected) in [
            ("{}", "1:0: invalid type: map, expected a sequence"),
            ("[\n{]", "2:2: key must be a string"),
            ("", "1:0: EOF while parsing a value"),
        ] {
            assert_eq!(
                problem(text),
                format!("messages.json:{expected}{advice}"),
                "{text}"
            );
        }
        let many = format!("[{}1]", "1,".repeat(ENTRIES_MAX));
        assert_eq!(
            problem(&many),
            "messages.json has 65 entries: remove all but 64"
        );
    }

    #[test]
    fn a_file_that_is_wrong_leaves_the_last_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut samples = Samples::default();
        let mut after = |text: Option<&str>| {
            match text {
                Some(text) => std::fs::write(folder.path().join(FILE), text).unwrap(),
                None => std::fs::remove_file(folder.path().join(FILE)).unwrap_or_default(),
            }
            samples.read(folder.path());
            (samples.list.len(), samples.problem.is_some())
        };
        assert_eq!(after(None), (0, false));
        assert_eq!(after(Some(r#"[{"title": "a", "message": 1}]"#)), (1, false));
        assert_eq!(after(Some(r#"[{"title": "a", "#)), (1, true));
        assert_eq!(after(Some(&" ".repeat(FILE_MAX + 1))), (1, true));
        assert_eq!(after(Some("[]")), (0, false));
        assert_eq!(after(None), (0, false));
    }
}
