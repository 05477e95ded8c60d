//! The body of an HTTP message, put together from the pieces it comes in.

use bytes::{Bytes, BytesMut};

/// What has come so far. As a rule it is one piece, which is not copied.
#[derive(Debug, Default)]
pub struct Pieces {
    first: Bytes,
    /// All of them, once there are several.
    all: BytesMut,
}

impl Pieces {
    /// Adds a piece. Returns whether all of them are no longer than `max`; the one that is too much
    /// is not kept.
    pub fn add(&mut self, piece: Bytes, max: usize) -> bool {
        if self.first.len().max(self.all.len()) + piece.len() > max {
            return false;
        }
        if self.first.is_empty() {
            self.first = piece;
            return true;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&piece);
        true
    }

    /// The whole of them.
    pub fn join(self) -> Bytes {
        match self.all.is_empty() {
            true => self.first,
            false => self.all.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_in_order_within_a_limit() {
        let mut pieces = Pieces::default();
        for piece in ["", "one", "", "two", "3"] {
            assert!(pieces.add(Bytes::from_static(piece.as_bytes()), 7));
        }
        assert!(!pieces.add(Bytes::from_static(b"4"), 7));
        assert_eq!(pieces.join(), "onetwo3");
        assert_eq!(Pieces::default().join(), "");
    }

    #[test]
    fn a_single_piece_is_not_copied() {
        let piece = Bytes::from(vec![7; 100]);
        let mut pieces = Pieces::default();
        assert!(pieces.add(piece.clone(), 100));
        assert_eq!(pieces.join().as_ptr(), piece.as_ptr());
    }
}
