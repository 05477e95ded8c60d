//! What an outbox keeps while the socket would block.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

use super::Kind;

/// Messages below this are copied for each connection that waits for them: a share in one takes some
/// 40 bytes itself.
pub(super) const SHARED_MIN: usize = 1 << 10;
/// One write offers at most so many parts, far below the kernel's limit of 1024 and enough that the
/// system call's cost is spread.
pub(super) const SLICES_MAX: usize = 64;
/// Copied bytes may lie in memory of this many times their length before it is given back.
const SLACK: usize = 4;

/// The parts of one write.
pub(super) type Slices<'a> = SmallVec<[IoSlice<'a>; 8]>;

/// Whole messages that the socket did not take, and the rest of the one it took in part. Each knows
/// its own length, so it is all the same what is spoken.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// In order, where each lies.
    messages: VecDeque<Storage>,
    copied: VecDeque<u8>,
    shared: VecDeque<SharedMessage>,
    /// Copied bytes behind the last share.
    tail: usize,
    /// Whether the first message is written in part.
    begun: bool,
    /// Bytes of all messages.
    len: usize,
    aside: Aside,
}

/// Where a message lies.
#[derive(Clone, Copy, Debug)]
enum Storage {
    /// These are the next so many of the copied bytes.
    Copied(u32),
    /// The bytes are the next share.
    Shared,
}

#[derive(Debug)]
struct SharedMessage {
    /// Copied bytes between the share before and this.
    ahead: usize,
    bytes: Bytes,
}

/// The latest pong and ping. They go before all messages that are not begun. RFC 6455 section 5.5.3
/// lets us answer only the most recent ping, so a flood of pings to a peer that does not read takes
/// no room.
#[derive(Debug, Default)]
struct Aside {
    pong: Vec<u8>,
    ping: Vec<u8>,
}

impl Backlog {
    /// Bytes of messages, without pings and pongs.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the ping and the pong.
    pub(super) fn aside(&self) -> usize {
        self.aside.pong.len() + self.aside.ping.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0 && self.aside() == 0
    }

    /// Adds a message of which the first `written` bytes are written; only the first can have any.
    pub(super) fn push_copy(&mut self, message: &[u8], written: usize) {
        let rest = &message[written..];
        self.begun |= written > 0;
        self.messages.push_back(Storage::Copied(rest.len() as u32));
        self.copied.extend(rest);
        self.tail += rest.len();
        self.len += rest.len();
    }

    /// Adds a message that others wait for too.
    pub(super) fn push_shared(&mut self, mut message: Bytes, written: usize) {
        message.advance(written);
        self.begun |= written > 0;
        self.len += message.len();
        self.messages.push_back(Storage::Shared);
        self.shared.push_back(SharedMessage {
            ahead: std::mem::take(&mut self.tail),
            bytes: message,
        });
    }

    /// Puts a ping or a pong in the place of the one of its kind.
    pub(super) fn set_aside(&mut self, kind: Kind, frame: &[u8]) {
        let place = match kind {
            Kind::Ping => &mut self.aside.ping,
            _ => &mut self.aside.pong,
        };
        place.clear();
        place.extend_from_slice(frame);
    }

    /// What is to be written next.
    pub(super) fn slices(&self) -> Slices<'_> {
        let mut slices = Slices::new();
        let (mut copied, mut shared) = (0, 0);
        if self.begun && self.aside() > 0 {
            match self.messages.front() {
                Some(&Storage::Copied(len)) => {
                    copied = len as usize;
                    self.add_copied(&mut slices, 0, copied);
                }
                _ => {
                    shared = 1;
                    add(&mut slices, &self.shared[0].bytes);
                }
            }
        }
        add(&mut slices, &self.aside.pong);
        add(&mut slices, &self.aside.ping);
        let mut end = 0;
        for (index, share) in self.shared.iter().enumerate() {
            end += share.ahead;
            self.add_copied(&mut slices, copied, end);
            copied = copied.max(end);
            if index >= shared {
                add(&mut slices, &share.bytes);
            }
            if slices.len() >= SLICES_MAX {
                return slices;
            }
        }
        self.add_copied(&mut slices, copied, self.copied.len());
        slices
    }

    fn add_copied<'a>(&'a self, slices: &mut Slices<'a>, from: usize, to: usize) {
        if from < to {
            let (one, other) = self.copied.as_slices();
            let middle = one.len();
            add(slices, &one[from.min(middle)..to.min(middle)]);
            add(
                slices,
                &other[from.saturating_sub(middle)..to.saturating_sub(middle)],
            );
        }
    }

    /// `n` bytes of the slices were written.
    pub(super) fn advance(&mut self, mut n: usize) {
        if self.begun && self.aside() > 0 {
            let begun = n.min(self.first_len());
            self.advance_messages(begun);
            n -= begun;
        }
        if !self.begun {
            n = self.advance_aside(n);
        }
        self.advance_messages(n);
        let needed = self.copied.len();
        if self.copied.capacity() > SLACK * needed.max(SHARED_MIN) {
            self.copied.shrink_to(2 * needed);
        }
    }

    /// Writes of pong and ping; returns what is left of `n`. One that is written in part becomes the
    /// message that is begun.
    fn advance_aside(&mut self, mut n: usize) -> usize {
        let Aside { pong, ping } = &mut self.aside;
        let mut begun = Vec::new();
        for frame in [pong, ping] {
            let written = n.min(frame.len());
            n -= written;
            if written > 0 {
                frame.drain(..written);
                begun = std::mem::take(frame);
            }
        }
        if !begun.is_empty() {
            self.push_begun(&begun);
        }
        n
    }

    fn advance_messages(&mut self, mut n: usize) {
        while n > 0 {
            let first = self.first_len();
            if first <= n {
                self.pop_first();
                self.begun = false;
                n -= first;
                continue;
            }
            match self.messages.front_mut() {
                Some(Storage::Copied(len)) => {
                    *len -= n as u32;
                    self.drop_copied(n);
                }
                _ => self.shared[0].bytes.advance(n),
            }
            self.len -= n;
            self.begun = true;
            return;
        }
    }

    /// Drops all but the message that is begun, and what is aside.
    pub(super) fn keep_begun(&mut self) {
        let begun = self.take_begun();
        *self = Self {
            aside: std::mem::take(&mut self.aside),
            ..Self::default()
        };
        self.put_begun(begun);
    }

    /// Drops whole messages from the front until `len` bytes more are within `limit`, or nothing else
    /// waits; returns how many. None, and nothing is dropped, if there would be no room even then. The
    /// message that is begun stays.
    pub(super) fn drop_oldest(&mut self, len: usize, limit: usize) -> Option<usize> {
        let need = (self.len + len).saturating_sub(limit);
        let (mut freed, mut count, mut share) = (0, 0, 0);
        for (index, lies) in self.messages.iter().enumerate() {
            let length = match lies {
                Storage::Copied(len) => *len as usize,
                Storage::Shared => {
                    share += 1;
                    self.shared[share - 1].bytes.len()
                }
            };
            if index == 0 && self.begun {
                continue;
            }
            if freed >= need {
                break;
            }
            freed += length;
            count += 1;
        }
        if freed < need && freed < self.len {
            return None;
        }
        let begun = self.take_begun();
        for _ in 0..count {
            self.pop_first();
        }
        self.put_begun(begun);
        Some(count)
    }

    fn first_len(&self) -> usize {
        match self.messages.front() {
            Some(&Storage::Copied(len)) => len as usize,
            Some(Storage::Shared) => self.shared[0].bytes.len(),
            None => 0,
        }
    }

    fn pop_first(&mut self) {
        match self.messages.pop_front() {
            Some(Storage::Copied(len)) => {
                self.drop_copied(len as usize);
                self.len -= len as usize;
            }
            Some(Storage::Shared) => {
                let share = self.shared.pop_front();
                self.len -= share.map_or(0, |share| share.bytes.len());
            }
            None => {}
        }
    }

    /// Drops the first `n` copied bytes.
    fn drop_copied(&mut self, n: usize) {
        self.copied.drain(..n);
        match self.shared.front_mut() {
            Some(share) => share.ahead -= n,
            None => self.tail -= n,
        }
    }

    /// Takes out the message that is begun, if one is.
    fn take_begun(&mut self) -> Option<Begun> {
        if !std::mem::take(&mut self.begun) {
            return None;
        }
        let begun = match self.messages.front() {
            Some(&Storage::Copied(len)) => {
                Begun::Copied(self.copied.iter().take(len as usize).copied().collect())
            }
            _ => Begun::Shared(self.shared[0].bytes.clone()),
        };
        self.pop_first();
        Some(begun)
    }

    fn put_begun(&mut self, begun: Option<Begun>) {
        match begun {
            None => {}
            Some(Begun::Copied(bytes)) => self.push_begun(&bytes),
            Some(Begun::Shared(bytes)) => {
                self.begun = true;
                self.len += bytes.len();
                self.messages.push_front(Storage::Shared);
                self.shared.push_front(SharedMessage { ahead: 0, bytes });
            }
        }
    }

    /// Puts the rest of a message in front of all others.
    fn push_begun(&mut self, rest: &[u8]) {
        self.begun = true;
        self.len += rest.len();
        self.messages.push_front(Storage::Copied(rest.len() as u32));
        for &byte in rest.iter().rev() {
            self.copied.push_front(byte);
        }
        match self.shared.front_mut() {
            Some(share) => share.ahead += rest.len(),
            None => self.tail += rest.len(),
        }
    }
}

/// The rest of a message of which some is written.
enum Begun {
    Copied(Vec<u8>),
    Shared(Bytes),
}

fn add<'a>(slices: &mut Slices<'a>, bytes: &'a [u8]) {
    if !bytes.is_empty() {
        slices.push(IoSlice::new(bytes));
    }
}
