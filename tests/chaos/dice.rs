//! Seeded chance: one seed gives one sequence for each of those who roll.

/// A sequence of numbers (SplitMix64).
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The dice of one who rolls, told apart by a number.
    pub fn new(seed: u64, who: u64) -> Self {
        let state = seed ^ who.wrapping_mul(0x2545_f491_4f6c_dd1d);
        Self { state }
    }

    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
