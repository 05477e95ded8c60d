//! The input of target `reader`: frames of a client, and how the network cuts them.
//!
//! The bytes of an input, so that seeds can be written by hand:
//!
//! | bytes | what |
//! | --- | --- |
//! | 1, 1 | two limits: indices into [`LIMITS`]; the second one is for the reads of a reload |
//! | 1, then 2 each | how many reads have a size of their own (0-7), and these sizes; in it, [`DEFLATE`] |
//! | the rest | parts of the stream, up to [`MAX_PARTS`] |
//!
//! A part begins with its tag: [`KIND`] in the low bits, then [`FRAGMENT`], [`FILL`], [`MUTATED`]
//! and in the top two bits the mask (0 none that changes a byte, 1 a fixed one, 2 four bytes that
//! follow). Then come the payload, one byte of length and that many bytes, or for [`FILL`] a
//! length in three, and what to do to a mutated frame. Frames without a mutation are allowed
//! where they stand: a data frame within a message becomes a continuation.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::wire::{BINARY, CLOSE, CONTINUATION, FIN, Form, Frame, PING, PONG, TEXT};

/// The limits of a message. Those from 125 on can be compared with tungstenite's.
pub const LIMITS: [usize; 10] = [125, 400, 65_536, 1 << 20, usize::MAX, 65_535, 126, 1, 0, 7];
/// The most parts of a stream.
pub const MAX_PARTS: usize = 64;
/// The most bytes of filled payloads, so that one input takes milliseconds.
const MAX_FILL: usize = 132_000;

/// The bit that says that the client may compress: RSV1 begins a compressed message.
pub const DEFLATE: u8 = 0x08;

/// The bits of a tag that select the kind of part: 0 text, 1 binary, 2 ping, 3 pong, 4 close,
/// 5 raw bytes, 6 and 7 text again.
pub const KIND: u8 = 0x07;
/// Another fragment follows.
pub const FRAGMENT: u8 = 0x08;
/// The payload is [`FILLER`], of a length in three bytes.
pub const FILL: u8 = 0x10;
/// A mutation follows the payload.
pub const MUTATED: u8 = 0x20;

/// A payload that is given by its length: characters of one to four bytes.
const FILLER: &str = "aé€💧";
/// How many bytes of a character are there when so many of [`FILLER`]'s bytes are.
const BEGUN: [usize; 10] = [0, 0, 1, 0, 1, 2, 0, 1, 2, 3];

/// What a client sends, and how it arrives.
#[derive(Debug)]
pub struct Input {
    /// The most bytes of a message.
    pub limit: usize,
    /// What a reload makes of it.
    pub reloaded: usize,
    /// Whether the client may compress.
    pub deflate: bool,
    /// How much each read brings, over and over; all of it if this is empty.
    pub sizes: Vec<usize>,
    /// What is sent.
    pub parts: Vec<Part>,
}

/// A piece of a stream.
#[derive(Debug)]
pub enum Part {
    /// Any bytes.
    Raw(Vec<u8>),
    /// A frame, for most inputs as it should be.
    Frame(Frame),
}

impl Input {
    /// All that is sent.
    pub fn stream(&self) -> Vec<u8> {
        let mut stream = Vec::new();
        for part in &self.parts {
            match part {
                Part::Raw(bytes) => stream.extend_from_slice(bytes),
                Part::Frame(frame) => frame.append_to(&mut stream),
            }
        }
        stream
    }
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut limit = || -> Result<usize> { Ok(LIMITS[usize::from(u8(u)?) % LIMITS.len()]) };
        let (limit, reloaded) = (limit()?, limit()?);
        let count = u8(u)?;
        let mut sizes = Vec::new();
        for _ in 0..count % 8 {
            sizes.push(usize::from(u16::from_le_bytes([u8(u)?, u8(u)?])));
        }
        let mut parts = Vec::new();
        let mut builder = Builder::default();
        while !u.is_empty() && parts.len() < MAX_PARTS {
            parts.push(builder.part(u)?);
        }
        Ok(Self {
            limit,
            reloaded,
            deflate: count & DEFLATE != 0,
            sizes,
            parts,
        })
    }
}

/// What the next part depends on.
#[derive(Debug, Default)]
struct Builder {
    in_message: bool,
    /// Where in [`FILLER`] the message's next fragment goes on.
    offset: usize,
    filled: usize,
}

impl Builder {
    fn part(&mut self, u: &mut Unstructured<'_>) -> Result<Part> {
        let tag = u8(u)?;
        let opcode = match tag & KIND {
            2 => PING,
            3 => PONG,
            4 => CLOSE,
            5 => return Ok(Part::Raw(literal(u)?)),
            1 => BINARY,
            _ => TEXT,
        };
        let is_control = opcode >= CLOSE;
        let fin = is_control || tag & FRAGMENT == 0;
        let mask = match tag >> 6 {
            0 => [0; 4],
            1 => [0x5a, 0x11, 0xe7, 0x83],
            _ => u.arbitrary()?,
        };
        let mut payload = match tag & FILL {
            0 => literal(u)?,
            _ => self.fill(u, is_control, fin)?,
        };
        let mut first = if fin { FIN | opcode } else { opcode };
        if is_control {
            payload.truncate(125);
        } else {
            if self.in_message {
                first = first & FIN | CONTINUATION;
            }
            self.in_message = !fin;
            self.offset = if fin { 0 } else { self.offset + payload.len() };
        }
        let mut frame = Frame {
            first,
            mask: Some(mask),
            form: Form::Minimal,
            payload,
        };
        if tag & MUTATED != 0 {
            mutate(&mut frame, u)?;
        }
        Ok(Part::Frame(frame))
    }

    /// The next bytes of [`FILLER`]; where a message ends in the middle of a character, `z` instead.
    fn fill(&mut self, u: &mut Unstructured<'_>, is_control: bool, fin: bool) -> Result<Vec<u8>> {
        let len = usize::from(u8(u)?) | usize::from(u8(u)?) << 8 | usize::from(u8(u)?) << 16;
        let most = if is_control { 125 } else { MAX_FILL };
        let len = len.min(most).min(MAX_FILL - self.filled);
        self.filled += len;
        let start = if is_control { 0 } else { self.offset };
        let mut payload = filler(start, len);
        if fin {
            let cut = BEGUN[(start + len) % FILLER.len()].min(len);
            payload[len - cut..].fill(b'z');
        }
        Ok(payload)
    }
}

/// Does to `frame` what no client should.
fn mutate(frame: &mut Frame, u: &mut Unstructured<'_>) -> Result<()> {
    match u8(u)? % 7 {
        0 => frame.first = u8(u)?,
        1 => frame.first ^= 1 << (u8(u)? % 8),
        2 => frame.mask = None,
        3 => frame.form = Form::Bits16,
        4 => frame.form = Form::Bits64,
        5 => frame.form = Form::Claim(u64::from_le_bytes(u.arbitrary()?)),
        // Longer than a control frame may be.
        _ => frame.payload.extend(filler(0, usize::from(u8(u)?))),
    }
    Ok(())
}

/// `len` bytes of [`FILLER`], over and over, from the byte `start` on. In one copy: the fuzzer
/// follows every comparison of a loop.
fn filler(start: usize, len: usize) -> Vec<u8> {
    let start = start % FILLER.len();
    FILLER
        .as_bytes()
        .repeat((start + len).div_ceil(FILLER.len()))[start..start + len]
        .to_vec()
}

fn literal(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let len = usize::from(u8(u)?).min(u.len());
    Ok(u.bytes(len)?.to_vec())
}

/// The next byte: `Unstructured` takes those of an integer from the front.
fn u8(u: &mut Unstructured<'_>) -> Result<u8> {
    u.arbitrary()
}

/// `stream` in reads of these sizes, over and over. Reads of nothing are among them.
pub fn chop<'a>(stream: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    /// So that one input takes milliseconds.
    const MAX_PIECES: usize = 4096;

    let (mut pieces, mut rest) = (Vec::new(), stream);
    for size in sizes.iter().cycle().take(MAX_PIECES) {
        let (piece, after) = rest.split_at(rest.len().min(*size));
        pieces.push(piece);
        rest = after;
        if rest.is_empty() {
            return pieces;
        }
    }
    pieces.push(rest);
    pieces
}
