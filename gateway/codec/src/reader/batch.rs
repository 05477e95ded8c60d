//! The common case, several at a time: messages that lie whole in the bytes of one read.

use smallvec::SmallVec;

use super::Reader;
use crate::head::Head;
use crate::mask::apply_mask;
use crate::message::Message;
use crate::opcode::Opcode;
use crate::utf8;
use crate::violation::Violation;

/// The most messages taken at once. More would save nothing, and what is taken must be handled
/// before anything else of its connection is looked at.
const BATCH_MAX: usize = 64;

/// Messages in the order they came. The few of an ordinary read need no memory of their own.
pub type Batch<'a> = SmallVec<[Message<'a>; 4]>;

impl Reader {
    /// Takes the messages that lie whole, and in one frame each, in `bytes` from `at` on, as long
    /// as one follows the other. Stops in front of anything else, and leaves that as it is for
    /// [`next`](Self::next): a fragment, a control frame, a frame that is cut or not allowed. Takes no
    /// more than `most`. Returns what comes behind them.
    ///
    /// # Errors
    /// A text that is not UTF-8. The messages in front of it are in `batch`.
    pub fn batch<'a>(
        &mut self,
        bytes: &'a mut [u8],
        at: &mut usize,
        max_message: usize,
        most: usize,
        batch: &mut Batch<'a>,
    ) -> Result<&'a [u8], Violation> {
        self.release();
        let mut rest = &mut bytes[*at..];
        if self.ended || self.partial.is_some() {
            return Ok(rest);
        }
        while batch.len() < BATCH_MAX.min(most) {
            let Ok(Some((head, payload_at))) = Head::parse(rest, None, max_message, false) else {
                break;
            };
            let len = payload_at + head.remaining;
            let is_data = matches!(head.opcode, Opcode::Text | Opcode::Binary);
            if !(is_data && head.fin && len <= rest.len()) {
                break;
            }
            let (frame, behind) = rest.split_at_mut(len);
            *at += len;
            rest = behind;
            let payload = &mut frame[payload_at..];
            apply_mask(payload, head.mask);
            batch.push(match head.opcode {
                Opcode::Text => Message::Text(utf8::validate(payload).inspect_err(|_| self.end())?),
                _ => Message::Binary(payload),
            });
        }
        Ok(rest)
    }
}
