//! What is spoken on a test's wire, and what a peer makes of it.

use std::io::{self, IoSlice};

use tidegate_codec::{self as codec, Opcode};

use super::Kind;
use crate::close::CloseFrame;
use crate::event_stream;

/// What a peer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A message, by its number.
    Message(u32),
    /// A pong, by its number.
    Pong(u32),
    Ping,
    Close,
}

/// The bytes a peer was sent.
pub(super) struct Wire {
    pub(super) bytes: Vec<u8>,
    is_events: bool,
}

impl Wire {
    /// One with WebSocket frames.
    pub(super) fn frames() -> Self {
        Self {
            bytes: Vec::new(),
            is_events: false,
        }
    }

    /// One with server-sent events.
    pub(super) fn events() -> Self {
        Self {
            bytes: Vec::new(),
            is_events: true,
        }
    }

    /// Whether pongs are spoken here.
    pub(super) fn has_pongs(&self) -> bool {
        !self.is_events
    }

    /// Appends a message that its number begins. What follows would be read as lengths of any kind.
    pub(super) fn message(&self, out: &mut Vec<u8>, number: u32, padding: usize) {
        let mut payload = format!("{number:08}").into_bytes();
        payload.extend(b"\x7f\n\x7e\x00".iter().cycle().take(padding));
        let mut frame = Vec::new();
        codec::append(&mut frame, Opcode::Text, &payload);
        match self.is_events {
            true => event_stream::append_message(out, &frame, "id"),
            false => out.extend(frame),
        }
    }

    pub(super) fn control(&self, out: &mut Vec<u8>, kind: Kind, number: u32, padding: usize) {
        if self.is_events {
            return out.extend_from_slice(event_stream::PING);
        }
        let mut payload = format!("{number:08}").into_bytes();
        payload.resize(8 + padding.min(codec::MAX_CONTROL - 8), b'x');
        match kind {
            Kind::Ping => codec::append(out, Opcode::Ping, &[]),
            _ => codec::append(out, Opcode::Pong, &payload),
        }
    }

    pub(super) fn close(&self, out: &mut Vec<u8>) {
        match self.is_events {
            true => event_stream::append_close(out, &CloseFrame::restart()),
            false => codec::append(out, Opcode::Close, &[3, 0xe8]),
        }
    }

    /// Takes so many bytes at each call, then blocks.
    pub(super) fn writer(
        &mut self,
        script: &[usize],
    ) -> impl FnMut(&[IoSlice<'_>]) -> io::Result<usize> {
        let mut script = script.iter();
        let wire = &mut self.bytes;
        move |slices| {
            assert!(
                slices.iter().all(|slice| !slice.is_empty()) && !slices.is_empty(),
                "an empty write"
            );
            let Some(&takes) = script.next() else {
                return Err(io::ErrorKind::WouldBlock.into());
            };
            let bytes: Vec<u8> = slices
                .iter()
                .flat_map(|slice| slice.iter().copied())
                .collect();
            let takes = takes.min(bytes.len());
            wire.extend_from_slice(&bytes[..takes]);
            Ok(takes)
        }
    }

    /// What came whole, and if there is more, whether that is a ping or pong or may be one.
    pub(super) fn seen(&self) -> (Vec<Seen>, Option<bool>) {
        match self.is_events {
            true => self.seen_events(),
            false => self.seen_frames(),
        }
    }

    fn seen_frames(&self) -> (Vec<Seen>, Option<bool>) {
        let (mut seen, mut rest) = (Vec::new(), self.bytes.as_slice());
        while rest.len() >= 2 {
            let len = codec::frame_len(rest);
            if matches!(rest[1], 126 | 127) && rest.len() < 10 || len > rest.len() {
                break;
            }
            let (frame, after) = rest.split_at(len);
            let payload = codec::payload(frame);
            seen.push(match frame[0] {
                0x81 => Seen::Message(number(payload)),
                0x8a => Seen::Pong(number(payload)),
                0x89 => Seen::Ping,
                0x88 => Seen::Close,
                other => panic!("a frame that begins with {other:#x}"),
            });
            rest = after;
        }
        (seen, rest.first().map(|&first| codec::is_control(first)))
    }

    fn seen_events(&self) -> (Vec<Seen>, Option<bool>) {
        let text = std::str::from_utf8(&self.bytes).expect("text");
        let (whole, rest) = text.rsplit_once("\n\n").unwrap_or(("", text));
        let events = whole.split("\n\n").filter(|event| !event.is_empty());
        let seen = events.map(|event| {
            let lines: Vec<_> = event.split('\n').collect();
            match lines[..] {
                [":"] => Seen::Ping,
                ["event: close", ..] => Seen::Close,
                ["id: id", first, ref others @ ..] => {
                    assert!(others.iter().all(|line| line.starts_with("data: ")));
                    let first = first.strip_prefix("data: ").expect("data");
                    Seen::Message(number(first.as_bytes()))
                }
                _ => panic!("a torn event: {event:?}"),
            }
        });
        let partial = rest.as_bytes().first().map(|&first| first == b':');
        (seen.collect(), partial)
    }
}

fn number(payload: &[u8]) -> u32 {
    let digits = std::str::from_utf8(&payload[..8]).expect("a number");
    digits.parse().expect("a number")
}
