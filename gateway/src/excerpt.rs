//! Words of strangers (clients, guests, compilers, peers) as we show them: on one line, without
//! characters that a terminal obeys, and no longer than people read.

use std::fmt::{self, Display, Write};

/// Bytes of one text that are shown. Longer ones are cut: no one event should fill the log's disk.
pub const EXCERPT_MAX: usize = 4096;
/// Follows what was cut.
const CUT: &str = " [cut]";

/// A text's excerpt: whatever is written into it goes on to `to`, at most [`EXCERPT_MAX`] bytes of
/// it, with line ends and other characters that do not show written as escapes.
pub struct Excerpt<W> {
    to: W,
    left: usize,
    is_cut: bool,
}

impl<W: Write> Excerpt<W> {
    /// An empty excerpt that goes to `to`.
    pub fn new(to: W) -> Self {
        Self {
            to,
            left: EXCERPT_MAX,
            is_cut: false,
        }
    }

    /// Writes what fits whole of `part`, and marks the cut at the first that does not.
    fn put(&mut self, part: &str) -> fmt::Result {
        let fits = part.floor_char_boundary(self.left);
        self.left -= fits;
        self.to.write_str(&part[..fits])?;
        if fits < part.len() {
            self.is_cut = true;
            self.to.write_str(CUT)?;
        }
        Ok(())
    }
}

impl<W: Write> Write for Excerpt<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut shown = 0;
        for (at, character) in text.char_indices().filter(|(_, it)| is_hidden(*it)) {
            if self.is_cut {
                return Ok(());
            }
            self.put(&text[shown..at])?;
            shown = at + character.len_utf8();
            if !self.is_cut {
                let mut escape = String::new();
                write!(escape, "{}", character.escape_debug())?;
                // An escape is whole or not there.
                match escape.len() <= self.left {
                    true => self.put(&escape)?,
                    false => {
                        self.is_cut = true;
                        self.to.write_str(CUT)?;
                    }
                }
            }
        }
        match self.is_cut {
            true => Ok(()),
            false => self.put(&text[shown..]),
        }
    }
}

/// Whether a character could end a line, move a terminal's cursor, or reorder what is read.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// An excerpt of what is displayed.
pub fn excerpt(of: impl Display) -> String {
    let mut shown = String::new();
    // Writing to a string does not fail, and what does not display itself is shown as far as it got.
    let _ = write!(Excerpt::new(&mut shown), "{of}");
    shown
}

/// Cuts a text that is kept, before it is shown: a guest's can have megabytes.
pub fn cut(mut text: String) -> String {
    if text.len() > EXCERPT_MAX {
        text.truncate(text.floor_char_boundary(EXCERPT_MAX));
        text.push_str(CUT);
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_stays_on_its_line_and_obeys_no_terminal() {
        assert_eq!(
            excerpt("no such room: a\n2099-01-01 INFO\r\u{1b}[31m\u{9b}0m\u{202e}\t\0 é \\ \"q\""),
            "no such room: a\\n2099-01-01 INFO\\r\\u{1b}[31m\\u{9b}0m\\u{202e}\\t\\0 é \\ \"q\""
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(excerpt("x".repeat(EXCERPT_MAX)), "x".repeat(EXCERPT_MAX));
        let long = excerpt("é".repeat(EXCERPT_MAX));
        assert_eq!(long, format!("{}{CUT}", "é".repeat(EXCERPT_MAX / 2)));
        let lines = excerpt(format!("x{}", "\n".repeat(EXCERPT_MAX)));
        let shown = (EXCERPT_MAX - 1) / 2;
        assert_eq!(lines, format!("x{}{CUT}", "\\n".repeat(shown)));
        assert_eq!(cut("é".repeat(EXCERPT_MAX)), long);
        assert_eq!(cut("short".to_owned()), "short");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_whatever_pieces_is_one_bounded_line(pieces in prop::collection::vec("\\PC{0,40}|[\\x00-\\x1f\\x7f-\\u{9f}\\u{2028}]{0,3000}", 0..8)) {
            let mut shown = String::new();
            let mut writer = Excerpt::new(&mut shown);
            for piece in &pieces {
                writer.write_str(piece).unwrap();
            }
            prop_assert!(shown.len() <= EXCERPT_MAX + CUT.len());
            prop_assert!(!shown.contains(is_hidden));
            prop_assert_eq!(&shown, &excerpt(pieces.concat()));
        }
    }
}
