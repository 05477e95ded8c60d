//! The memory of a message that did not arrive whole: a fragmented one, or one that a read cut.

use crate::opcode::Opcode;
use crate::utf8::Text;
use crate::violation::Violation;

/// The payload of a data message so far.
#[derive(Debug)]
pub(crate) enum Body {
    /// Valid up to here, or up to here and into a character.
    Text(Text),
    /// Any bytes.
    Binary(Vec<u8>),
    /// Compressed; what it is, text or not, and whether it is valid, is known later.
    Deflated {
        /// Announced as text.
        text: bool,
        /// The bytes as they came.
        bytes: Vec<u8>,
    },
    /// Not kept: only its length is known.
    Forgotten(usize),
}

impl Body {
    /// An empty body for a message that a frame of type `opcode` begins.
    pub(crate) fn new(opcode: Opcode, deflated: bool) -> Self {
        match opcode {
            _ if deflated => Self::Deflated {
                text: opcode == Opcode::Text,
                bytes: Vec::new(),
            },
            Opcode::Text => Self::Text(Text::default()),
            _ => Self::Binary(Vec::new()),
        }
    }

    /// Whether it is compressed.
    pub(crate) fn is_deflated(&self) -> bool {
        matches!(self, Self::Deflated { .. })
    }

    /// Bytes taken so far.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Deflated { bytes, .. } => bytes.len(),
            Self::Forgotten(len) => *len,
        }
    }

    /// Bytes of memory.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) | Self::Deflated { bytes, .. } => bytes.capacity(),
            Self::Forgotten(_) => 0,
        }
    }

    /// Frees the bytes, and keeps none of those to come.
    pub(crate) fn forget(&mut self) {
        *self = Self::Forgotten(self.len());
    }

    /// Takes the next piece. `total` is the most that the message can come to.
    pub(crate) fn push(&mut self, piece: &[u8], total: usize) -> Result<(), Violation> {
        let len = self.len();
        match self {
            Self::Text(text) => {
                let buffer = text.buffer();
                let target = capacity_for(buffer.capacity(), len + piece.len(), total);
                buffer.reserve_exact(target - buffer.len());
                text.push(piece)
            }
            Self::Binary(bytes) | Self::Deflated { bytes, .. } => {
                let target = capacity_for(bytes.capacity(), len + piece.len(), total);
                bytes.reserve_exact(target - len);
                bytes.extend_from_slice(piece);
                Ok(())
            }
            Self::Forgotten(len) => {
                *len += piece.len();
                Ok(())
            }
        }
    }
}

/// The capacity to have for `needed` bytes. It follows what arrived, never what a header
/// announced: 14 bytes must not cost us 16 MiB. It doubles, so that copies stay few, but ends at
/// the message's `total`, which is known once its last frame has begun.
fn capacity_for(capacity: usize, needed: usize, total: usize) -> usize {
    if needed <= capacity {
        return capacity;
    }
    needed.max(total.min(needed.max(capacity).saturating_mul(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(body: &mut Body) -> usize {
        match body {
            Body::Text(text) => text.buffer().capacity(),
            Body::Binary(bytes) | Body::Deflated { bytes, .. } => bytes.capacity(),
            Body::Forgotten(_) => 0,
        }
    }

    #[test]
    fn memory_follows_what_arrived_and_stops_at_the_total() {
        for opcode in [Opcode::Text, Opcode::Binary] {
            let total = 100_000;
            let mut body = Body::new(opcode, false);
            let mut growths = 0;
            for n in 1..=total {
                let before = capacity(&mut body);
                body.push(b"x", total).unwrap();
                let now = capacity(&mut body);
                growths += usize::from(now != before);
                assert!(now >= n && now <= (2 * n).min(total), "{now} bytes for {n}");
            }
            assert_eq!(capacity(&mut body), total);
            assert!(growths < 20, "{growths} growths");
        }
    }

    #[test]
    fn a_large_piece_does_not_overshoot() {
        let mut body = Body::new(Opcode::Binary, false);
        body.push(&[0; 10_000], 16 << 20).unwrap();
        assert!(capacity(&mut body) <= 20_000);
        body.push(&[0; 6_384], 16_384).unwrap();
        assert!(capacity(&mut body) <= 20_000);
    }
}
