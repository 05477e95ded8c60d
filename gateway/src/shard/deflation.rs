//! The compression of what a shard's connections are sent (RFC 7692).

use std::sync::Arc;

use tidegate_codec as codec;
use tidegate_codec::deflate::{Agreement, Deflater};

use crate::counters::Counters;
use crate::outbox::{Kind, Output, Span};

/// The window of a connection's own compressor, as a power of two: 4 KiB. One of 32 KiB takes 276 KB
/// in all instead of 161, and leaves 2 or 3 % less of messages of 1 to 16 KiB.
const OWN_BITS_MAX: u8 = 12;
/// The most memory for a compressed message that is kept for the next: as much as one read. Larger
/// ones are rare, and allocating costs little beside compressing them.
const COMPRESSED_KEPT: usize = 64 << 10;

/// What tells compressed forms of the same message apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    level: u8,
    bits: u8,
}

/// How one connection's messages are compressed.
pub struct Deflation {
    form: Form,
    minimum: usize,
    context: OwnContext,
}

/// A connection's own compressor, which remembers what it was sent.
enum OwnContext {
    /// The connection has no compressor of its own.
    None,
    /// The connection may have one, and has not needed it yet.
    Unused,
    /// The connection has one.
    Used(Box<Deflater>),
}

impl Deflation {
    /// What was agreed on with the peer, and the route's level and shortest message.
    pub fn new(agreement: &Agreement, level: u8, minimum: usize) -> Self {
        Self {
            form: Form {
                level,
                bits: agreement.server_bits(),
            },
            minimum,
            context: match agreement.server_takeover {
                true => OwnContext::Unused,
                false => OwnContext::None,
            },
        }
    }

    /// Shorter messages are sent as they are.
    pub(super) fn minimum(&self) -> usize {
        self.minimum
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// The connection's own compressor, if it has one.
    pub(super) fn own(&mut self) -> Option<&mut Deflater> {
        if matches!(self.context, OwnContext::Unused) {
            let Form { level, bits } = self.form;
            let own = Deflater::new(level, bits.min(OWN_BITS_MAX));
            self.context = OwnContext::Used(Box::new(own));
        }
        match &mut self.context {
            OwnContext::Used(own) => Some(own),
            _ => None,
        }
    }

    /// The peer was sent something that its own compressor has not seen.
    pub(super) fn forget(&mut self) {
        if let OwnContext::Used(own) = &mut self.context {
            own.reset();
        }
    }
}

/// The compressors that all connections of a shard share, one for each form.
pub(super) struct Compressors {
    shared: Vec<(Form, Deflater)>,
    /// Empty between messages.
    compressed: Vec<u8>,
    counters: Arc<Counters>,
}

impl Compressors {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            shared: Vec::new(),
            compressed: Vec::new(),
            counters,
        }
    }

    /// Adds a frame with a compressed payload to the turn's output. `first` is the first byte of the
    /// plain frame. The peer must get it, since what follows may refer to it.
    pub(super) fn with(
        &mut self,
        own: &mut Deflater,
        first: u8,
        payload: &[u8],
        output: &mut Output,
    ) -> Span {
        own.deflate(payload, &mut self.compressed, true);
        let span = self.add(first, payload.len(), output);
        self.clear();
        span
    }

    /// Adds a frame with a compressed payload that stands alone, unless that gains nothing.
    pub(super) fn alone(
        &mut self,
        form: Form,
        first: u8,
        payload: &[u8],
        output: &mut Output,
    ) -> Option<Span> {
        let index = match self.shared.iter().position(|(known, _)| *known == form) {
            Some(index) => index,
            None => {
                let deflater = Deflater::new(form.level, form.bits);
                self.shared.push((form, deflater));
                self.shared.len() - 1
            }
        };
        self.shared[index]
            .1
            .deflate(payload, &mut self.compressed, false);
        let gains = self.compressed.len() < payload.len();
        let span = gains.then(|| self.add(first, payload.len(), output));
        self.clear();
        span
    }

    fn add(&mut self, first: u8, before: usize, output: &mut Output) -> Span {
        self.counters.compressions.add(1);
        self.counters.compression_in.add(before as u64);
        self.counters
            .compression_out
            .add(self.compressed.len() as u64);
        output.add(Kind::Message, |bytes| {
            codec::append_deflated(bytes, first, &self.compressed);
        })
    }

    /// Forgets the message, and the memory of a large one.
    fn clear(&mut self) {
        self.compressed.clear();
        self.compressed.shrink_to(COMPRESSED_KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_message_leaves_no_memory_behind() {
        let mut compressors = Compressors::new(Arc::default());
        let (form, mut own) = (Form { level: 1, bits: 15 }, Deflater::new(1, 12));
        let mut state = 1_u32;
        // Half of it has no pattern, so it is compressed and still large.
        let large: Vec<u8> = (0..1_u32 << 20)
            .map(|at| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if at % 2 == 0 { 0 } else { (state >> 24) as u8 }
            })
            .collect();
        let mut output = Output::default();
        let span = compressors.alone(form, 0x81, &large, &mut output);
        assert!(span.is_some_and(|span| span.len() > 4 * COMPRESSED_KEPT));
        assert!(compressors.compressed.capacity() <= COMPRESSED_KEPT);
        compressors.with(&mut own, 0x81, &large, &mut output);
        assert!(compressors.compressed.capacity() <= COMPRESSED_KEPT);
        let before = output.len();
        let noise = &large[1..2];
        assert_eq!(compressors.alone(form, 0x81, noise, &mut output), None);
        assert_eq!((output.len(), compressors.compressed.len()), (before, 0));
    }
}
