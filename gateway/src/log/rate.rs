//! How many lines a source may log.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// Lines of one source in each second. Lock-free, so that whoever may not log has paid next to
/// nothing: where seconds meet, a line more or less may pass.
#[derive(Debug)]
pub struct Rate {
    max: u32,
    second: AtomicU64,
    lines: AtomicU32,
}

impl Default for Rate {
    /// The rate of any source: `log.rate`.
    fn default() -> Self {
        Self::new(super::rate_of_a_source())
    }
}

impl Rate {
    /// A rate of at most `max` lines a second.
    pub fn new(max: u32) -> Self {
        Self {
            max,
            second: AtomicU64::new(0),
            lines: AtomicU32::new(0),
        }
    }

    /// Whether one more line may be logged now.
    pub fn admits(&self) -> bool {
        static START: OnceLock<Instant> = OnceLock::new();
        self.admits_in(START.get_or_init(Instant::now).elapsed().as_secs())
    }

    fn admits_in(&self, second: u64) -> bool {
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.lines.store(0, Ordering::Relaxed);
        }
        // Not added beyond the limit: a number that wraps would let lines pass again.
        self.lines.load(Ordering::Relaxed) < self.max
            && self.lines.fetch_add(1, Ordering::Relaxed) < self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_lines() {
        let rate = Rate::new(2);
        let admitted = |second| (0..5).filter(|_| rate.admits_in(second)).count();
        assert_eq!(
            (admitted(0), admitted(0), admitted(1), admitted(7)),
            (2, 0, 2, 2)
        );
        assert!(!Rate::new(0).admits_in(3));
    }
}
