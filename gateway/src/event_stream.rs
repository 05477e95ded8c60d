//! Server-sent events (HTML living standard, section 9.2): what a connection that only receives is
//! sent instead of frames.
//!
//! A text message is one event's `data`; a binary one an event of type `binary` with its bytes in
//! base64. What closes the connection is an event of type `close` with code and reason in JSON, so
//! that a client can tell whether to come back.

use data_encoding::BASE64;

use crate::close::CloseFrame;
use crate::codec::{self, Opcode};

/// A line that clients ignore and middleboxes see.
pub const PING: &[u8] = b":\n\n";
/// The longest id of an event, in bytes.
const ID_MAX: usize = 255;

/// Whether clients would take that for an id.
pub fn is_id(id: &str) -> bool {
    (1..=ID_MAX).contains(&id.len()) && !id.contains(['\0', '\n', '\r'])
}

/// Appends a message, given as its frame. An empty `id` is none.
pub fn append_message(out: &mut Vec<u8>, frame: &[u8], id: &str) {
    if !id.is_empty() {
        field(out, "id", id.as_bytes());
    }
    let payload = codec::payload(frame);
    if frame.first().map(|first| first & 0x0f) == Some(Opcode::Binary as u8) {
        field(out, "event", b"binary");
        field(out, "data", BASE64.encode(payload).as_bytes());
    } else {
        lines(payload, |line| field(out, "data", line));
    }
    out.push(b'\n');
}

/// Appends why the connection is closed.
pub fn append_close(out: &mut Vec<u8>, frame: &CloseFrame) {
    let data = serde_json::json!({ "code": frame.code, "reason": frame.reason });
    field(out, "event", b"close");
    field(out, "data", data.to_string().as_bytes());
    out.push(b'\n');
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// The lines of a text. A line ends with CR, LF or both; what a client puts together again has LF.
fn lines(text: &[u8], mut each: impl FnMut(&[u8])) {
    let mut rest = text;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        each(&rest[..end]);
        let both = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + 1 + usize::from(both)..];
    }
    each(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(opcode: Opcode, payload: &[u8], id: &str) -> String {
        let (mut frame, mut out) = (Vec::new(), Vec::new());
        codec::append(&mut frame, opcode, payload);
        append_message(&mut out, &frame, id);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_text_is_data_line_by_line() {
        let text = |text: &str| encoded(Opcode::Text, text.as_bytes(), "");
        assert_eq!(text("a"), "data: a\n\n");
        assert_eq!(text(""), "data: \n\n");
        assert_eq!(
            text("a\nb\r\nc\rd\n"),
            "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"
        );
        assert_eq!(text(&"ü".repeat(40_000)).len(), "data: \n\n".len() + 80_000);
    }

    #[test]
    fn bytes_are_base64_and_an_id_comes_first() {
        let out = encoded(Opcode::Binary, &[0, 255], "7");
        assert_eq!(out, "id: 7\nevent: binary\ndata: AP8=\n\n");
    }

    #[test]
    fn an_id_is_one_line() {
        assert!(is_id("7") && is_id(&"x".repeat(255)));
        for id in ["", "a\nb", "a\rb", "a\0b", &"x".repeat(256)] {
            assert!(!is_id(id), "{id:?}");
        }
    }

    #[test]
    fn a_close_says_its_code() {
        let mut out = Vec::new();
        append_close(&mut out, &CloseFrame::restart());
        let expected = "event: close\ndata: {\"code\":1012,\"reason\":\"service restart\"}\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
