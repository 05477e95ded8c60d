//! How much long work a turn may do: what is inflated, and large messages.
//!
//! Both are done at once, with no way to interrupt them half-way. So a turn does only so much of
//! it; what is more waits in line, and goes on slice by slice, one a turn, so that whoever is ready
//! meanwhile waits for no more than one slice.

use std::cell::Cell;

use tokio::sync::Notify;

use super::Shard;

/// Bytes that are worked on at once: some 0.1 ms.
pub const SLICE: usize = 128 << 10;
/// Bytes a turn works on before the rest has to wait in line.
const TURN: usize = 2 * SLICE;

/// What is left of a turn's allowance, and who waits.
#[derive(Debug)]
pub(super) struct Allowance {
    left: Cell<usize>,
    waiting: Cell<usize>,
    line: Notify,
    /// Turns so far.
    turns: Cell<u64>,
}

/// Counts one that waits, until it is dropped.
struct InLine<'a>(&'a Cell<usize>);

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Allowance {
    pub(super) fn new() -> Self {
        Self {
            left: Cell::new(TURN),
            waiting: Cell::new(0),
            line: Notify::new(),
            turns: Cell::new(0),
        }
    }

    /// Whether the next turn is wanted by one that waits.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.get() > 0
    }

    /// A turn ends: the first in line goes on. Newcomers come behind those who wait.
    pub(super) fn renew(&self) {
        self.turns.set(self.turns.get().wrapping_add(1));
        match self.is_wanted() {
            true => {
                self.left.set(0);
                self.line.notify_one();
            }
            false => self.left.set(TURN),
        }
    }
}

impl Shard {
    /// Waits until `bytes` more of long work may be done, if this turn has done enough.
    pub async fn afford(&self, bytes: usize) {
        let allowance = &self.allowance;
        if allowance.left.get() == 0 {
            allowance.waiting.set(allowance.waiting.get() + 1);
            let _in_line = InLine(&allowance.waiting);
            self.wake_turn();
            allowance.line.notified().await;
        }
        self.spend(bytes);
    }

    /// Takes `bytes` of long work that was done from this turn's allowance.
    pub fn spend(&self, bytes: usize) {
        let left = self.allowance.left.get().saturating_sub(bytes);
        self.allowance.left.set(left);
    }

    /// How many turns there have been: whoever sees it move has let others have theirs.
    pub fn turns(&self) -> u64 {
        self.allowance.turns.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_goes_on_in_order_one_a_turn_and_before_newcomers() {
        let allowance = Allowance::new();
        allowance.left.set(0);
        allowance.waiting.set(2);
        allowance.renew();
        assert_eq!(allowance.left.get(), 0, "newcomers wait too");
        allowance.waiting.set(0);
        allowance.renew();
        assert_eq!((allowance.left.get(), allowance.turns.get()), (TURN, 2));
    }
}
