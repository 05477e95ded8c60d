//! Room at the end of a vector, for a coder that cannot say how much it will write.

/// Bytes appended to a vector piece by piece: take [`free`](Self::free) room, write into it, and
/// [`advance`](Self::advance) by what was written. [`finish`](Self::finish) or
/// [`abandon`](Self::abandon) ends it.
#[derive(Debug)]
pub(super) struct Room<'a> {
    /// Written up to `filled`, zeros after it.
    out: &'a mut Vec<u8>,
    start: usize,
    filled: usize,
    /// The length that `out` may come to.
    end: usize,
    /// The length at which to pause.
    pause: usize,
    /// The least number of bytes to make room for at once.
    step: usize,
}

impl<'a> Room<'a> {
    /// Room for at most `limit` bytes after those in `out`, made in pieces of `step` bytes first
    /// and then of as many as were written.
    pub(super) fn new(out: &'a mut Vec<u8>, step: usize, limit: usize) -> Self {
        let start = out.len();
        Self {
            out,
            start,
            filled: start,
            end: start.saturating_add(limit),
            pause: usize::MAX,
            step,
        }
    }

    /// Room for the rest of a message of which the bytes from `start` on are in `out`. There is none
    /// once `slice` more bytes are written.
    pub(super) fn resumed(
        out: &'a mut Vec<u8>,
        start: usize,
        step: usize,
        limit: usize,
        slice: usize,
    ) -> Self {
        let filled = out.len();
        Self {
            out,
            start,
            filled,
            end: start.saturating_add(limit),
            pause: filled.saturating_add(slice),
            step,
        }
    }

    /// The bytes to write into; none if the limit is reached or it is time to pause.
    pub(super) fn free(&mut self) -> &mut [u8] {
        if self.filled == self.out.len() {
            self.grow();
        }
        let end = self.out.len().min(self.pause);
        &mut self.out[self.filled..end]
    }

    /// `written` bytes of the free room are taken.
    pub(super) fn advance(&mut self, written: usize) {
        self.filled += written;
        debug_assert!(self.filled <= self.out.len(), "written outside of the room");
    }

    /// Whether the limit is reached.
    pub(super) fn is_full(&self) -> bool {
        self.filled == self.end
    }

    /// Whether it is time to pause.
    pub(super) fn is_paused(&self) -> bool {
        self.filled >= self.pause
    }

    /// Leaves what was written in the vector, and returns its length in bytes.
    pub(super) fn finish(self) -> usize {
        self.out.truncate(self.filled);
        self.filled - self.start
    }

    /// Leaves the vector as it was found, but for its capacity.
    pub(super) fn abandon(self) {
        self.out.truncate(self.start);
    }

    /// Makes the next piece of room. It is zeroed, since safe code cannot do without, hence not all
    /// of the spare capacity at once. That is used up before the vector moves, and the vector's own
    /// doubling must not run past the limit.
    fn grow(&mut self) {
        let piece = self.step.max(self.filled - self.start);
        let mut len = self.filled.saturating_add(piece).min(self.end);
        // What is zeroed and not used by the pause would have to be zeroed again.
        len = len.min(self.pause);
        let capacity = self.out.capacity();
        if capacity - self.filled >= self.step {
            len = len.min(capacity);
        }
        if len > capacity {
            let doubled = capacity.saturating_mul(2).min(self.end);
            self.out.reserve_exact(doubled.max(len) - self.filled);
        }
        self.out.resize(len, 0);
    }
}
