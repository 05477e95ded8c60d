//! What a connection holds of what a read cut in two.

use std::mem;

use crate::body::Body;
use crate::head::{Head, MAX_HEAD};
use crate::opcode::Opcode;
use crate::violation::Violation;

/// What a connection holds between two reads.
#[derive(Debug, Default)]
pub(super) struct Partial {
    pub(super) cut: Cut,
    /// The payload so far of a cut control frame. It may stand between a message's fragments.
    pub(super) control: Vec<u8>,
    /// The message so far, of which a frame was cut or a fragment is still to come.
    pub(super) message: Option<Body>,
    /// What the last item borrowed; the next call frees it.
    pub(super) given: Option<Body>,
    /// Frames of the message that have begun.
    frames: u32,
}

/// Where in a frame the last read ended.
#[derive(Debug, Default)]
pub(super) enum Cut {
    /// Between two frames.
    #[default]
    Nowhere,
    /// In its head, of which so many bytes are here.
    Head([u8; MAX_HEAD], usize),
    /// In its payload.
    Payload(Head),
}

impl Partial {
    /// Bytes of memory.
    pub(super) fn held(&self) -> usize {
        let bodies = [&self.message, &self.given].into_iter().flatten();
        size_of::<Self>() + self.control.capacity() + bodies.map(Body::held).sum::<usize>()
    }

    /// Copies a piece of a frame's payload; `head` is as it was before that piece, of which an
    /// earlier one came before if `resumed`. `bounds` are the most bytes and frames of a message.
    /// The opcode is that of the item which is thereby complete in `given`.
    pub(super) fn keep(
        &mut self,
        head: Head,
        piece: &[u8],
        resumed: bool,
        bounds: (usize, u32),
        skims: bool,
    ) -> Result<Option<Opcode>, Violation> {
        let (max_message, frames_max) = bounds;
        if head.opcode.is_control() {
            self.control.extend_from_slice(piece);
        } else {
            let body = self.message.get_or_insert_with(|| match skims {
                true => Body::Forgotten(0),
                false => Body::new(head.opcode, head.deflated),
            });
            self.frames += u32::from(!resumed);
            if self.frames > frames_max {
                return Err(Violation::Fragments);
            }
            let total = match head.fin {
                true => body.len() + head.remaining,
                false => max_message,
            };
            body.push(piece, total)?;
        }
        if piece.len() < head.remaining {
            self.cut = Cut::Payload(head.after(piece.len()));
            return Ok(None);
        }
        self.cut = Cut::Nowhere;
        if head.opcode.is_control() {
            self.given = Some(Body::Binary(mem::take(&mut self.control)));
            return Ok(Some(head.opcode));
        }
        if !head.fin {
            return Ok(None);
        }
        self.frames = 0;
        self.given = self.message.take();
        match &self.given {
            Some(Body::Text(text)) => text.finish().map(|()| Some(Opcode::Text)),
            _ => Ok(Some(Opcode::Binary)),
        }
    }

    /// Frees messages, and keeps none of the one under way.
    pub(super) fn forget(&mut self) {
        self.given = None;
        if let Some(message) = &mut self.message {
            message.forget();
        }
    }
}
