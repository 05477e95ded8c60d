//! The message every workload sends: a marker that says who sent which one, then padding.
//!
//! `~SSSSSSNNNNNNNNNNNNabcdef...`: six digits of sender, twelve of sequence number. The bytes are plain ASCII that JSON
//! leaves alone, so a delivery is recognised inside any wrapper a server puts around it.

use anyhow::{Result, ensure};
use tidegate_codec::Opcode;

use crate::frame::{self, MASK};

/// Bytes of the marker, and so the smallest message.
pub const MARKER: usize = 1 + SENDER_DIGITS + NUMBER_DIGITS;
const SENDER_DIGITS: usize = 6;
const NUMBER_DIGITS: usize = 12;

/// The largest message a run may send.
const SIZE_LIMIT: usize = 16 << 20;

/// Which message a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The connection that sent it.
    pub sender: usize,
    /// The message's number on that connection, from 0.
    pub number: u64,
}

/// A message of one size, built once; sending copies it and writes its mark.
pub struct Template {
    frame: Vec<u8>,
    marker_at: usize,
    padding: Vec<u8>,
    /// Where the last wrapped message began: wrappers seldom change length.
    found_at: usize,
}

impl Template {
    /// A text message of `size` bytes.
    ///
    /// # Errors
    /// When `size` has no room for the marker, or is over 16 MiB.
    pub fn new(size: usize) -> Result<Self> {
        ensure!(
            size >= MARKER,
            "--size {size} is too small: a message carries a marker of {MARKER} bytes, use {MARKER} or more"
        );
        ensure!(
            size <= SIZE_LIMIT,
            "--size {size} is too large: use 16777216 or less"
        );
        let padding: Vec<u8> = (b'a'..=b'z').cycle().take(size - MARKER).collect();
        let mut payload = vec![b'~'; MARKER];
        payload.extend_from_slice(&padding);
        let mut frame = Vec::new();
        frame::push_client(&mut frame, Opcode::Text, &payload);
        Ok(Self {
            marker_at: frame.len() - size,
            frame,
            padding,
            found_at: 0,
        })
    }

    /// Bytes of one message.
    #[must_use]
    pub fn size(&self) -> usize {
        MARKER + self.padding.len()
    }

    /// Appends the client frame of the message `mark`.
    pub fn push(&self, out: &mut Vec<u8>, mark: Mark) {
        let marker_at = out.len() + self.marker_at;
        out.extend_from_slice(&self.frame);
        let mut digits = [0; SENDER_DIGITS + NUMBER_DIGITS];
        let (sender, number) = digits.split_at_mut(SENDER_DIGITS);
        write_digits(sender, mark.sender as u64);
        write_digits(number, mark.number);
        let masked = &mut out[marker_at + 1..marker_at + MARKER];
        for (i, (byte, digit)) in masked.iter_mut().zip(digits).enumerate() {
            *byte = digit ^ MASK[(i + 1) & 3];
        }
    }

    /// Which message `payload` is, when it is one of ours, whole and unchanged.
    #[must_use]
    pub fn read(&self, payload: &[u8]) -> Option<Mark> {
        let (marker, padding) = payload.split_at_checked(MARKER)?;
        let digits = marker.strip_prefix(b"~")?;
        let (sender, number) = digits.split_at(SENDER_DIGITS);
        let mark = Mark {
            sender: read_fixed::<SENDER_DIGITS>(sender)? as usize,
            number: read_fixed::<NUMBER_DIGITS>(number)?,
        };
        (padding == self.padding).then_some(mark)
    }

    /// Which message `payload` holds somewhere inside.
    #[must_use]
    pub fn find(&mut self, payload: &[u8]) -> Option<Mark> {
        let size = self.size();
        let read_at = |at: usize| self.read(payload.get(at..at + size)?);
        if let Some(mark) = read_at(self.found_at) {
            return Some(mark);
        }
        let starts = (0..payload.len()).filter(|&at| payload[at] == b'~');
        let (at, mark) = starts.into_iter().find_map(|at| Some((at, read_at(at)?)))?;
        self.found_at = at;
        Some(mark)
    }
}

fn write_digits(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// The number that exactly `N` digits spell; so few cannot overflow, and the loop has no exit but its end.
fn read_fixed<const N: usize>(digits: &[u8]) -> Option<u64> {
    const { assert!(N < 20) };
    let digits: &[u8; N] = digits.first_chunk()?;
    let mut value = 0;
    let mut valid = true;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        valid &= digit < 10;
        value = value * 10 + u64::from(digit);
    }
    valid.then_some(value)
}

/// The number that ASCII digits spell.
#[must_use]
pub fn read_digits(digits: &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
    }
    (!digits.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Parsed, parse_client};

    const MARK: Mark = Mark {
        sender: 9_999,
        number: 1_234_567,
    };

    fn sent(template: &Template) -> Vec<u8> {
        let mut bytes = b"before".to_vec();
        template.push(&mut bytes, MARK);
        let Parsed::Whole(frame, _) = parse_client(&mut bytes[6..]) else {
            panic!("not a frame")
        };
        frame.payload.to_vec()
    }

    #[test]
    fn a_message_is_read_back_and_any_changed_byte_is_noticed() {
        for size in [MARKER, 20, 64, 1024, 70_000] {
            let template = Template::new(size).unwrap();
            let payload = sent(&template);
            assert_eq!(payload.len(), size);
            assert_eq!(template.read(&payload), Some(MARK));
            for at in [0, 3, MARKER - 1, size - 1] {
                let mut changed = payload.clone();
                changed[at] ^= 1;
                assert_ne!(template.read(&changed), Some(MARK), "{size} {at}");
            }
            assert_eq!(template.read(&payload[..size - 1]), None);
        }
    }

    #[test]
    fn a_message_is_found_in_a_wrapper() {
        let mut template = Template::new(20).unwrap();
        let text = String::from_utf8(sent(&template)).unwrap();
        for from in ["a", "somebody", "~tilde~"] {
            let wrapped = format!(r#"{{"type":"message","from":"{from}","text":"{text}"}}"#);
            assert_eq!(template.find(wrapped.as_bytes()), Some(MARK));
            assert_eq!(template.find(wrapped.as_bytes()), Some(MARK));
        }
        assert_eq!(template.find(br#"{"type":"join","from":"~"}"#), None);
    }

    #[test]
    fn a_size_without_room_for_the_marker_is_refused() {
        assert!(Template::new(MARKER - 1).is_err());
    }
}
