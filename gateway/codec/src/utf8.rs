//! UTF-8 as it arrives: a text message in pieces is refused at the first byte that spoils it
//! (RFC 6455 section 8.1), each byte is validated once, and no `unsafe` turns bytes into a `str`.

use crate::violation::Violation;

/// `bytes` as text, if they are a whole number of characters.
pub(crate) fn validate(bytes: &[u8]) -> Result<&str, Violation> {
    // std validates ASCII about as fast, but other scripts at a tenth of the speed. Below 64
    // bytes simdutf8 hands over to std by itself.
    simdutf8::basic::from_utf8(bytes).map_err(|_| Violation::Utf8)
}

/// The text of a message in the making: whole characters, and up to three bytes of one that the
/// last piece cut.
#[derive(Debug, Default)]
pub(crate) struct Text {
    whole: String,
    cut: [u8; 4],
    cut_len: u8,
}

impl Text {
    /// Bytes taken so far.
    pub(crate) fn len(&self) -> usize {
        self.whole.len() + usize::from(self.cut_len)
    }

    /// Bytes of memory.
    pub(crate) fn capacity(&self) -> usize {
        self.whole.capacity()
    }

    /// The buffer, for its capacity.
    pub(crate) fn buffer(&mut self) -> &mut String {
        &mut self.whole
    }

    /// The message, whose end was confirmed by [`finish`](Self::finish).
    pub(crate) fn as_str(&self) -> &str {
        &self.whole
    }

    /// Takes the next piece, or refuses it when no continuation could make it valid.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Violation> {
        let piece = self.complete_cut(piece)?;
        let (whole, cut) = piece.split_at(piece.len() - cut_suffix(piece));
        self.whole.push_str(validate(whole)?);
        if !cut.is_empty() {
            check_prefix(cut)?;
            self.cut[..cut.len()].copy_from_slice(cut);
            self.cut_len = cut.len() as u8;
        }
        Ok(())
    }

    /// The message ends here: refused if a character is still incomplete.
    pub(crate) fn finish(&self) -> Result<(), Violation> {
        match self.cut_len {
            0 => Ok(()),
            _ => Err(Violation::Utf8),
        }
    }

    /// Gives the cut character the bytes that it waits for, and returns the rest of `piece`.
    fn complete_cut<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], Violation> {
        let have = usize::from(self.cut_len);
        if have == 0 {
            return Ok(piece);
        }
        let need = char_len(self.cut[0]);
        let (more, rest) = piece.split_at(piece.len().min(need - have));
        let now = have + more.len();
        self.cut[have..now].copy_from_slice(more);
        if now < need {
            check_prefix(&self.cut[..now])?;
            self.cut_len = now as u8;
        } else {
            self.whole.push_str(validate(&self.cut[..need])?);
            self.cut_len = 0;
        }
        Ok(rest)
    }
}

/// How many bytes a character has that begins with `lead`; 1 for those that begin none, which
/// [`validate`] then refuses.
fn char_len(lead: u8) -> usize {
    match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    }
}

/// How many bytes at the end of `bytes` belong to a character that goes on after them. What
/// stands behind that character's lead is not looked at here: [`check_prefix`] does.
fn cut_suffix(bytes: &[u8]) -> usize {
    let mut last = bytes.iter().rev().zip(1..=3);
    last.find(|&(byte, from_end)| char_len(*byte) > from_end)
        .map_or(0, |(_, from_end)| from_end)
}

/// Refuses a cut character whose first bytes already exclude every valid one, such as `ed a0` (a
/// surrogate) or `f4 90` (beyond U+10FFFF): the peer need not send the rest to be told.
fn check_prefix(cut: &[u8]) -> Result<(), Violation> {
    match std::str::from_utf8(cut) {
        Err(error) if error.error_len().is_none() => Ok(()),
        _ => Err(Violation::Utf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` one by one; `Err` holds the index of the byte that was refused, or the
    /// length when the end was.
    fn byte_by_byte(bytes: &[u8]) -> Result<String, usize> {
        let mut text = Text::default();
        for (i, byte) in bytes.iter().enumerate() {
            text.push(&[*byte]).map_err(|_| i)?;
            assert_eq!(text.len(), i + 1);
        }
        text.finish().map_err(|_| bytes.len())?;
        Ok(text.as_str().to_owned())
    }

    #[test]
    fn every_scalar_survives_every_cut() {
        for scalar in (0..=0x10_ffff).step_by(61).filter_map(char::from_u32) {
            let source = format!("a{scalar}é{scalar}");
            assert_eq!(
                byte_by_byte(source.as_bytes()).as_deref(),
                Ok(source.as_str())
            );
            for cut in 0..=source.len() {
                let mut text = Text::default();
                text.push(&source.as_bytes()[..cut]).unwrap();
                text.push(&source.as_bytes()[cut..]).unwrap();
                assert_eq!((text.finish(), text.as_str()), (Ok(()), source.as_str()));
            }
        }
    }

    #[test]
    fn the_first_impossible_byte_is_refused() {
        let cases: [(&[u8], usize); 11] = [
            (b"ab\x80", 2),
            (b"\xc0\xaf", 0),
            (b"\xc1", 0),
            (b"\xe0\x9f", 1),
            (b"\xed\xa0", 1),
            (b"\xf0\x8f", 1),
            (b"\xf4\x90", 1),
            (b"\xf5", 0),
            (b"\xff", 0),
            (b"\xe2\x82x", 2),
            (b"\xc3\xc3", 1),
        ];
        for (bytes, at) in cases {
            assert_eq!(byte_by_byte(bytes), Err(at), "{bytes:x?}");
        }
    }

    #[test]
    fn a_cut_character_at_the_end_is_refused() {
        for bytes in [&b"a\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x92"] {
            assert_eq!(byte_by_byte(bytes), Err(bytes.len()));
        }
    }

    /// All byte strings of four bytes over the bytes at which UTF-8's table changes, against std.
    #[test]
    fn agrees_with_std_on_all_short_strings_of_edge_bytes() {
        const EDGES: [u8; 20] = [
            0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
            0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5,
        ];
        for n in 0..EDGES.len().pow(4) {
            let bytes = [0, 1, 2, 3].map(|i| EDGES[n / EDGES.len().pow(i) % EDGES.len()]);
            let expected = match std::str::from_utf8(&bytes) {
                Ok(text) => Ok(text.to_owned()),
                // Where std sees the end of input, so do we; else the byte after the last that
                // could still have been continued.
                Err(error) => Err(match error.error_len() {
                    None => bytes.len(),
                    Some(_) => first_refused(&bytes),
                }),
            };
            assert_eq!(byte_by_byte(&bytes), expected, "{bytes:x?}");
            for cut in 0..=4 {
                let mut text = Text::default();
                let end = text
                    .push(&bytes[..cut])
                    .and_then(|()| text.push(&bytes[cut..]));
                let ok = end.and_then(|()| text.finish()).is_ok();
                assert_eq!(ok, expected.is_ok(), "{bytes:x?} cut at {cut}");
            }
        }
    }

    /// The first index at which std calls the bytes up to and with it invalid, not just cut.
    fn first_refused(bytes: &[u8]) -> usize {
        let invalid = |end: &usize| {
            let error = std::str::from_utf8(&bytes[..*end]).err();
            error.is_some_and(|error| error.error_len().is_some())
        };
        (1..=bytes.len())
            .find(invalid)
            .expect("std refused the whole")
            - 1
    }
}
