//! Several messages as one guest takes them: `on-messages` of the contract.

use crate::message::Message;

/// Messages one behind the other. Two lists of numbers cross into a guest as two copies, where a
/// list of messages would cross field by field, with an allocation each.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// All bytes.
    pub(super) payloads: Vec<u8>,
    /// For each message twice the offset where it ends, and one more if it is text.
    pub(super) ends: Vec<u32>,
    /// Bytes of the longest.
    pub(super) longest: usize,
}

impl Packed {
    /// Replaces what is in it. The messages come from one read, so their offsets fit.
    pub(super) fn fill(mut self, messages: &[Message<'_>]) -> Self {
        self.payloads.clear();
        self.ends.clear();
        self.longest = 0;
        for message in messages {
            self.longest = self.longest.max(message.payload().len());
            self.payloads.extend_from_slice(message.payload());
            let is_text = matches!(message, Message::Text(_));
            self.ends
                .push(self.payloads.len() as u32 * 2 + u32::from(is_text));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_tell_offset_and_kind() {
        let packed = Packed::default().fill(&[Message::Text("old")]);
        let packed = packed.fill(&[
            Message::Text("ab"),
            Message::Binary(b""),
            Message::Binary(b"c"),
            Message::Text(""),
        ]);
        assert_eq!(packed.payloads, b"abc");
        assert_eq!(packed.ends, [5, 4, 6, 7]);
        assert_eq!(packed.longest, 2);
    }
}
