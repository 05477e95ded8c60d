//! What clients send: frames parsed and unmasked in the shard's scratch buffer, and the memory
//! for whatever a read cut in two.

mod batch;
mod partial;

use std::ops::Range;

use crate::body::Body;
use crate::frame::close_code_allowed;
use crate::head::{Head, MAX_HEAD, max_deflated};
use crate::mask::apply_mask;
use crate::opcode::Opcode;
use crate::utf8;
use crate::violation::Violation;

use partial::{Cut, Partial};

pub use batch::Batch;

/// What a client said: a message, or a control frame. It borrows from the scratch buffer if it
/// lay there whole, else from the [`Reader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A text message, all its fragments joined (RFC 6455 section 5.6).
    Text(&'a str),
    /// A binary message, all its fragments joined (section 5.6).
    Binary(&'a [u8]),
    /// A compressed message, all its fragments joined, as it came (RFC 7692 section 6.2).
    Deflated {
        /// Whether it is a text: then what it inflates to must be UTF-8.
        text: bool,
        /// The compressed bytes, without the tail that every message would end with.
        payload: &'a [u8],
    },
    /// Asks for a Pong with the same payload (section 5.5.2).
    Ping(&'a [u8]),
    /// Answers a Ping, or comes unasked (section 5.5.3).
    Pong(&'a [u8]),
    /// The peer's last word, with its code and reason if it gave them (section 5.5.1).
    Close(Option<(u16, &'a str)>),
}

/// The inbound side of one connection. It is two words while nothing is pending: memory exists
/// only for a fragmented message and for what the end of a read cut off, and no longer than that.
#[derive(Debug)]
pub struct Reader {
    partial: Option<Box<Partial>>,
    /// A Close or a violation was seen: the rest of the stream has no meaning (section 1.4).
    ended: bool,
    /// Whether messages may be compressed.
    deflate: bool,
    /// The peer is only heard out: no message is kept.
    skims: bool,
    /// The most frames of a message.
    frames_max: u32,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            partial: None,
            ended: false,
            deflate: false,
            skims: false,
            frames_max: u32::MAX,
        }
    }
}

/// An item that is complete, before it is borrowed from where it lies.
struct Found {
    opcode: Opcode,
    deflated: bool,
    /// The message's place in the scratch buffer; `None` if it lies in [`Partial::given`].
    place: Option<Range<usize>>,
}

impl Reader {
    /// A reader at the start of a connection's first frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// One whose peer may compress messages (RFC 7692).
    pub fn deflating() -> Self {
        Self {
            deflate: true,
            ..Self::default()
        }
    }

    /// Limits messages to at most `max` frames.
    pub fn frames_max(mut self, max: u32) -> Self {
        self.frames_max = max;
        self
    }

    /// Bytes of memory that are held for what is not whole, and for the last item.
    #[inline]
    pub fn held(&self) -> usize {
        self.partial.as_deref().map_or(0, Partial::held)
    }

    /// Bytes of the message under way that have come, if one is: none of them if only its head, or
    /// part of it, or a control frame has.
    #[inline]
    pub fn under_way(&self) -> Option<usize> {
        let partial = self.partial.as_deref()?;
        let has_begun = partial.message.is_some() || !matches!(partial.cut, Cut::Nowhere);
        has_begun.then(|| self.message_len().unwrap_or(0))
    }

    /// From now on messages are taken but not kept, and come out empty. What is kept is freed. For a
    /// peer of which only the close frame still matters.
    pub fn skim(&mut self) {
        self.skims = true;
        if let Some(partial) = &mut self.partial {
            partial.forget();
        }
    }

    /// Whether nothing more is read: the peer has closed, or broken a rule.
    #[inline]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether a close frame is among `bytes`, which come next. Nothing is taken.
    pub fn is_closed_by(&self, mut bytes: &[u8]) -> bool {
        let mut message = self.message_len();
        while let Ok(Some((head, taken))) = Head::parse(bytes, message, usize::MAX, self.deflate) {
            if head.opcode == Opcode::Close {
                return true;
            }
            if !head.opcode.is_control() {
                message = (!head.fin).then_some(0);
            }
            let frame = taken.checked_add(head.remaining);
            let Some(behind) = frame.and_then(|frame| bytes.get(frame..)) else {
                return false;
            };
            bytes = behind;
        }
        false
    }

    /// Takes the next item from `bytes[*at..]` and moves `at` behind it. `bytes` are overwritten:
    /// payloads are unmasked where they lie.
    ///
    /// `Ok(None)` means that all bytes were taken and the socket must be read again. Whatever was
    /// incomplete has been copied, so `bytes` may hold another connection's data by then. Call
    /// until then: it is also what frees the memory of an item that had to be put together.
    ///
    /// `max_message` bounds a message, fragments together, and so the memory held for it. Control
    /// frames have their own limit of 125 bytes.
    ///
    /// # Errors
    /// The first rule broken, at the first byte that breaks it. After an error, as after an
    /// [`Item::Close`], every further byte is skipped and the answer is `Ok(None)`.
    pub fn next<'a>(
        &'a mut self,
        bytes: &'a mut [u8],
        at: &mut usize,
        max_message: usize,
    ) -> Result<Option<Item<'a>>, Violation> {
        self.release();
        if self.ended {
            *at = bytes.len();
            return Ok(None);
        }
        match self.advance(bytes, at, max_message) {
            Ok(Some(found)) => self.item(found, bytes).map(Some),
            Ok(None) => Ok(None),
            Err(violation) => {
                self.end();
                Err(violation)
            }
        }
    }

    /// Takes frames until one completes an item or the bytes run out.
    fn advance(
        &mut self,
        bytes: &mut [u8],
        at: &mut usize,
        max_message: usize,
    ) -> Result<Option<Found>, Violation> {
        while *at < bytes.len() {
            // Asked for each frame: a read may bring several of one compressed message.
            let max_message = match self.is_inflating() {
                true => max_deflated(max_message),
                false => max_message,
            };
            let Some((head, resumed)) = self.head(bytes, at, max_message)? else {
                break;
            };
            let place = *at..*at + head.remaining.min(bytes.len() - *at);
            *at = place.end;
            apply_mask(&mut bytes[place.clone()], head.mask);

            let whole = !resumed && place.len() == head.remaining;
            if whole && head.fin && head.opcode != Opcode::Continuation {
                return Ok(Some(Found {
                    opcode: head.opcode,
                    deflated: head.deflated,
                    place: Some(place),
                }));
            }
            let partial = self.partial.get_or_insert_default();
            let bounds = (max_message, self.frames_max);
            if let Some(opcode) = partial.keep(head, &bytes[place], resumed, bounds, self.skims)? {
                return Ok(Some(Found {
                    opcode,
                    deflated: false,
                    place: None,
                }));
            }
        }
        Ok(None)
    }

    /// The head of the frame at `at`, and whether part of its payload came with an earlier read.
    /// `None` if the bytes end within the head, which is then kept.
    fn head(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        max_message: usize,
    ) -> Result<Option<(Head, bool)>, Violation> {
        match self.partial.as_deref() {
            Some(Partial {
                cut: Cut::Payload(head),
                ..
            }) => return Ok(Some((*head, true))),
            Some(Partial {
                cut: Cut::Head(start, len),
                ..
            }) => {
                let (start, len) = (*start, *len);
                return self.join_head(start, len, bytes, at, max_message);
            }
            // The state of nearly every call: nothing pending, or a fragment to follow.
            None
            | Some(Partial {
                cut: Cut::Nowhere, ..
            }) => {}
        }
        match Head::parse(&bytes[*at..], self.message_len(), max_message, self.deflate)? {
            Some((head, taken)) => {
                *at += taken;
                Ok(Some((head, false)))
            }
            None => self.join_head([0; MAX_HEAD], 0, bytes, at, max_message),
        }
    }

    /// The head of a frame of which an earlier read brought the first `len` bytes.
    #[cold]
    fn join_head(
        &mut self,
        mut joined: [u8; MAX_HEAD],
        len: usize,
        bytes: &[u8],
        at: &mut usize,
        max_message: usize,
    ) -> Result<Option<(Head, bool)>, Violation> {
        let more = (bytes.len() - *at).min(MAX_HEAD - len);
        let joined_len = len + more;
        joined[len..joined_len].copy_from_slice(&bytes[*at..*at + more]);
        let parsed = Head::parse(
            &joined[..joined_len],
            self.message_len(),
            max_message,
            self.deflate,
        )?;
        let partial = self.partial.get_or_insert_default();
        if let Some((head, taken)) = parsed {
            *at += taken - len;
            partial.cut = Cut::Nowhere;
            return Ok(Some((head, false)));
        }
        // MAX_HEAD bytes always hold a head, so these were the last ones.
        *at += more;
        partial.cut = Cut::Head(joined, joined_len);
        Ok(None)
    }

    /// Borrows a complete item from where it lies.
    fn item<'a>(&'a mut self, found: Found, bytes: &'a [u8]) -> Result<Item<'a>, Violation> {
        // A Close is the end, good or bad; of what is kept only its own payload is still needed.
        self.ended = found.opcode == Opcode::Close;
        if let Some(place) = found.place {
            let item = match found.opcode {
                opcode if found.deflated => Ok(Item::Deflated {
                    text: opcode == Opcode::Text,
                    payload: &bytes[place],
                }),
                Opcode::Text => utf8::validate(&bytes[place]).map(Item::Text),
                opcode => payload_item(opcode, &bytes[place]),
            };
            if self.ended || item.is_err() {
                self.end();
            }
            return item;
        }
        let partial = self.partial.as_mut().expect("keep found it in there");
        if self.ended {
            partial.message = None;
        }
        match partial.given.as_ref().expect("keep put it there") {
            Body::Text(text) => Ok(Item::Text(text.as_str())),
            Body::Binary(payload) => payload_item(found.opcode, payload),
            Body::Forgotten(_) => Ok(Item::Binary(&[])),
            Body::Deflated { text, bytes } => Ok(Item::Deflated {
                text: *text,
                payload: bytes,
            }),
        }
    }

    /// Whether the message under way is compressed.
    fn is_inflating(&self) -> bool {
        let message = self
            .partial
            .as_ref()
            .and_then(|partial| partial.message.as_ref());
        message.is_some_and(Body::is_deflated)
    }

    /// The length of the message under way, if there is one.
    fn message_len(&self) -> Option<usize> {
        let message = self.partial.as_ref()?.message.as_ref()?;
        Some(message.len())
    }

    /// Frees what the last item borrowed, and all memory if nothing is pending.
    #[inline]
    pub fn release(&mut self) {
        if let Some(partial) = &mut self.partial {
            partial.given = None;
            if matches!(partial.cut, Cut::Nowhere) && partial.message.is_none() {
                self.partial = None;
            }
        }
    }

    /// Nothing more is read from this peer.
    fn end(&mut self) {
        self.ended = true;
        self.partial = None;
    }
}

/// The item that a payload of any type but text makes.
fn payload_item(opcode: Opcode, payload: &[u8]) -> Result<Item<'_>, Violation> {
    match opcode {
        Opcode::Close => close_item(payload),
        Opcode::Ping => Ok(Item::Ping(payload)),
        Opcode::Pong => Ok(Item::Pong(payload)),
        Opcode::Text | Opcode::Binary | Opcode::Continuation => Ok(Item::Binary(payload)),
    }
}

/// A Close has no payload, or a code that may be sent and a reason in UTF-8 (RFC 6455 sections
/// 5.5.1 and 7.4).
fn close_item(payload: &[u8]) -> Result<Item<'_>, Violation> {
    match payload {
        [] => Ok(Item::Close(None)),
        [_] => Err(Violation::ClosePayload),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !close_code_allowed(code) {
                return Err(Violation::CloseCode(code));
            }
            Ok(Item::Close(Some((code, utf8::validate(reason)?))))
        }
    }
}

#[cfg(test)]
mod tests;
