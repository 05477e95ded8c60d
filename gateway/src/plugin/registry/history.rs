//! A plugin's last good generations, and the order in which they served.

/// What is kept of a plugin: generations by number, for rollbacks.
///
/// Numbers say in which order generations were loaded, and that is not the order in which they
/// served: after a rollback from 2 to 1 and a reload to 3, what served before 3 is 1. A generation
/// that was rolled back from is kept, but only who names it gets it again.
#[derive(Debug)]
pub(super) struct History<T> {
    keep: usize,
    /// By number, the oldest first.
    kept: Vec<(u64, T)>,
    /// What served before the current one, in order, as far as it is kept.
    served: Vec<u64>,
    current: Option<u64>,
}

impl<T: Clone> History<T> {
    /// A history that keeps so many, the current one among them.
    pub(super) fn new(keep: usize) -> Self {
        Self {
            keep,
            kept: Vec::new(),
            served: Vec::new(),
            current: None,
        }
    }

    /// A new generation serves, of a number above all others.
    pub(super) fn accept(&mut self, number: u64, generation: T) {
        self.served.extend(self.current.replace(number));
        self.kept.push((number, generation));
        while self.kept.len() > self.keep {
            let freed = self.least_wanted();
            let (number, _) = self.kept.remove(freed);
            self.served.retain(|&served| served != number);
        }
    }

    /// The place of the first to go: the oldest of those that were rolled back from, else the
    /// oldest of all but the current one.
    fn least_wanted(&self) -> usize {
        let place_of = |wanted: &dyn Fn(u64) -> bool| {
            let mut numbers = self.kept.iter().map(|(number, _)| *number);
            numbers.position(|number| Some(number) != self.current && wanted(number))
        };
        place_of(&|number| !self.served.contains(&number))
            .or_else(|| place_of(&|_| true))
            .unwrap_or(0)
    }

    /// Puts a kept generation back: `wanted`, or what served before the current one. None if that
    /// is not kept.
    pub(super) fn roll_back(&mut self, wanted: Option<u64>) -> Option<(u64, T)> {
        let number = wanted.or(self.served.last().copied())?;
        let found = self.kept.iter().find(|(kept, _)| *kept == number)?.clone();
        match self.served.iter().position(|&served| served == number) {
            // Back to it: what served after it was rolled back from.
            Some(at) => self.served.truncate(at),
            // Once more to one that was rolled back from: what serves now served before it.
            None => self
                .served
                .extend(self.current.filter(|&current| current != number)),
        }
        self.current = Some(number);
        Some(found)
    }

    /// The numbers that are kept, the oldest first.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.kept.iter().map(|(number, _)| *number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(keep: usize, loads: u64) -> History<&'static str> {
        let mut history = History::new(keep);
        for number in 1..=loads {
            history.accept(number, "");
        }
        history
    }

    fn back(history: &mut History<&'static str>, wanted: Option<u64>) -> Option<u64> {
        history.roll_back(wanted).map(|(number, _)| number)
    }

    #[test]
    fn a_rollback_goes_to_what_served_before() {
        let mut history = history(5, 2);
        assert_eq!(back(&mut history, None), Some(1));
        history.accept(3, "");
        assert_eq!(back(&mut history, None), Some(1), "2 was rolled back from");
        assert_eq!(back(&mut history, None), None);
        assert_eq!(history.numbers(), [1, 2, 3]);
    }

    #[test]
    fn rollbacks_one_after_another_go_further_back() {
        let mut history = history(5, 4);
        for number in [3, 2, 1] {
            assert_eq!(back(&mut history, None), Some(number));
        }
        assert_eq!(back(&mut history, None), None);
    }

    #[test]
    fn one_that_was_rolled_back_from_serves_again_if_it_is_named() {
        let mut history = history(5, 3);
        assert_eq!(back(&mut history, None), Some(2));
        assert_eq!(back(&mut history, Some(3)), Some(3));
        assert_eq!(back(&mut history, None), Some(2), "it served before 3");
        assert_eq!(back(&mut history, Some(2)), Some(2), "it serves already");
        assert_eq!(back(&mut history, None), Some(1));
        assert_eq!(back(&mut history, Some(9)), None);
    }

    #[test]
    fn one_that_is_named_leaves_those_after_it_behind() {
        let mut history = history(5, 4);
        assert_eq!(back(&mut history, Some(2)), Some(2));
        history.accept(5, "");
        assert_eq!(back(&mut history, None), Some(2));
        assert_eq!(back(&mut history, None), Some(1));
    }

    #[test]
    fn the_first_to_go_are_those_that_were_rolled_back_from() {
        let mut history = history(2, 2);
        assert_eq!(back(&mut history, None), Some(1));
        history.accept(3, "");
        assert_eq!(history.numbers(), [1, 3]);
        assert_eq!(back(&mut history, None), Some(1));
        history.accept(4, "");
        history.accept(5, "");
        assert_eq!(history.numbers(), [4, 5]);
        assert_eq!(back(&mut history, None), Some(4));
        assert_eq!(back(&mut history, None), None);
    }

    #[test]
    fn the_current_one_is_never_the_one_to_go() {
        let mut history = history(1, 3);
        assert_eq!(history.numbers(), [3]);
        assert_eq!(back(&mut history, None), None);
    }
}
