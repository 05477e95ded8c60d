//! Server-sent events (HTML living standard, section 9.2): what a connection that only receives is
//! sent instead of frames.
//!
//! A text message is one event's `data`; a binary one an event of type `binary` with its bytes in
//! base64. What closes the connection is an event of type `close` with code and reason in JSON, so
//! that a client can tell whether to come back.

use data_encoding::BASE64;
use tidegate_codec::{self as codec, Opcode};

use crate::close::CloseFrame;

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
    let payload = codec::payload(frame);
    let is_binary = frame.first().map(|first| first & 0x0f) == Some(Opcode::Binary as u8);
    out.reserve(message_len(payload, !is_binary, id));
    if !id.is_empty() {
        field(out, "id", id.as_bytes());
    }
    if is_binary {
        field(out, "event", b"binary");
        out.extend_from_slice(b"data: ");
        let start = out.len();
        out.resize(start + BASE64.encode_len(payload.len()), 0);
        BASE64.encode_mut(payload, &mut out[start..]);
        out.push(b'\n');
    } else {
        lines(payload, |line| field(out, "data", line));
    }
    out.push(b'\n');
}

/// The length of the event for a frame: see [`append_message`].
pub fn frame_len(frame: &[u8], id: &str) -> usize {
    let is_binary = frame.first().map(|first| first & 0x0f) == Some(Opcode::Binary as u8);
    message_len(codec::payload(frame), !is_binary, id)
}

/// The length of the event for a message's payload. Each line of a text takes a field of its own, so
/// one of line ends alone is seven times as long.
pub fn message_len(payload: &[u8], is_text: bool, id: &str) -> usize {
    let id = if id.is_empty() {
        0
    } else {
        "id: \n".len() + id.len()
    };
    let data = match is_text {
        true => data_len(payload),
        false => "event: binary\ndata: \n".len() + BASE64.encode_len(payload.len()),
    };
    id + data + 1
}

/// The length of the fields for the lines of a text.
fn data_len(text: &[u8]) -> usize {
    let (mut ends, mut pairs, mut last) = (0, 0, 0);
    for &byte in text {
        ends += usize::from(byte == b'\n' || byte == b'\r');
        pairs += usize::from(byte == b'\n' && last == b'\r');
        last = byte;
    }
    // A line without its end, and around it what makes it a field.
    text.len() - ends + (ends - pairs + 1) * "data: \n".len()
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
        assert_eq!(out.len(), frame_len(&frame, id), "its length is known");
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
