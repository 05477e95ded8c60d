//! Lines on their way to stderr.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines that wait for the thread that writes them. Whoever logs never waits for room.
pub(super) struct LineQueue {
    /// A std mutex: it is held while a line is copied, or the lines are taken, and never while they
    /// are written.
    content: Mutex<QueuedLines>,
    filled: Condvar,
    written: Condvar,
    /// Bytes that may wait, with those that are being written.
    limit: usize,
}

#[derive(Default)]
struct QueuedLines {
    lines: Vec<u8>,
    /// Bytes that are being written.
    taken: usize,
    lost: Lost,
}

/// Lines that were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// For want of room in the queue.
    pub queue: u64,
    /// Because stderr did not take them.
    pub write: u64,
}

impl Lost {
    /// All of them.
    pub(super) fn sum(self) -> u64 {
        self.queue + self.write
    }
}

impl LineQueue {
    /// A queue for at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            content: Mutex::default(),
            filled: Condvar::new(),
            written: Condvar::new(),
            limit,
        }
    }

    /// Takes a line with its end, or drops and counts it.
    pub(super) fn push(&self, line: &[u8]) {
        let mut content = self.content();
        if content.taken + content.lines.len() + line.len() > self.limit {
            content.lost.queue += 1;
            return;
        }
        let was_empty = content.lines.is_empty();
        content.lines.extend_from_slice(line);
        drop(content);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Waits for lines and moves them to `lines`, whose memory the queue goes on with. They count as
    /// waiting until [`LineQueue::done`].
    pub(super) fn take(&self, lines: &mut Vec<u8>) {
        lines.clear();
        let is_empty = |content: &mut QueuedLines| content.lines.is_empty();
        let content = self.filled.wait_while(self.content(), is_empty);
        let mut content = content.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut content.lines, lines);
        content.taken = lines.len();
    }

    /// What was taken is written, but for so many lines. Returns what is lost so far.
    pub(super) fn done(&self, lost: u64) -> Lost {
        let mut content = self.content();
        content.taken = 0;
        content.lost.write += lost;
        let lost = content.lost;
        drop(content);
        self.written.notify_all();
        lost
    }

    /// Waits until nothing waits any more, at most so long.
    pub(super) fn flush(&self, limit: Duration) {
        let waits = |content: &mut QueuedLines| content.taken + content.lines.len() > 0;
        // Poisoned or too late: the end goes on.
        drop(
            self.written
                .wait_timeout_while(self.content(), limit, waits),
        );
    }

    /// Lines that were lost so far.
    pub(super) fn lost(&self) -> Lost {
        self.content().lost
    }

    fn content(&self) -> MutexGuard<'_, QueuedLines> {
        // It is whole after every statement.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(queue: &LineQueue) -> String {
        let mut lines = Vec::new();
        queue.take(&mut lines);
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn lines_come_out_in_order_and_what_has_no_room_is_counted() {
        let queue = LineQueue::new(10);
        queue.push(b"one\n");
        queue.push(b"two\n");
        queue.push(b"three\n");
        assert_eq!(queue.lost(), Lost { queue: 1, write: 0 });
        assert_eq!(take(&queue), "one\ntwo\n");
        // What is being written takes room still.
        queue.push(b"four\n");
        queue.push(b"5\n");
        assert_eq!(queue.done(1), Lost { queue: 2, write: 1 });
        queue.push(b"six\n");
        assert_eq!(take(&queue), "5\nsix\n");
        assert_eq!(queue.done(0).sum(), 3);
    }

    #[test]
    fn a_flush_waits_for_what_is_written_and_not_for_ever() {
        let queue = LineQueue::new(100);
        queue.flush(Duration::MAX);
        queue.push(b"one\n");
        queue.flush(Duration::from_millis(1));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                take(&queue);
                queue.done(0);
            });
            queue.flush(Duration::MAX);
        });
        assert_eq!(queue.content().taken, 0);
    }
}
