//! What the medians of a row say about its goal.

use super::results::Results;
use super::row::{Goal, Row};
use super::server::Server;

/// How many times workerd's figure must be ours, on every row that has it.
pub const OF_WORKERD: f64 = 3.0;

/// Whether Tidegate reaches a row's goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Better than hoped for.
    Stretch,
    /// Reached.
    Met,
    /// Not reached.
    Missed,
    /// The row has no goal.
    NoGoal,
    /// Without figures of Tidegate, or of Bun where they are needed.
    NotMeasured,
}

impl Verdict {
    /// The verdict on a row.
    #[must_use]
    pub fn of(row: &Row, results: &Results) -> Self {
        let value = |server| results.median(row, server).map(|median| median.value);
        let Some(own) = value(Server::Tidegate) else {
            return Self::NotMeasured;
        };
        match row.goal {
            Goal::None => Self::NoGoal,
            Goal::AtMost { target, stretch } => Self::at_most(own, target, stretch),
            Goal::AtLeast(target) if own >= target => Self::Met,
            Goal::AtLeast(_) => Self::Missed,
            Goal::OfBun { target, stretch } => match value(Server::Bun) {
                Some(bun) => Self::at_most(own / bun, target, stretch),
                None => Self::NotMeasured,
            },
        }
    }

    /// The word in the tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stretch => "**met**, stretch too",
            Self::Met => "**met**",
            Self::Missed => "missed",
            Self::NoGoal => "",
            Self::NotMeasured => "not measured",
        }
    }

    fn at_most(value: f64, target: f64, stretch: f64) -> Self {
        match value {
            value if value <= stretch => Self::Stretch,
            value if value <= target => Self::Met,
            _ => Self::Missed,
        }
    }
}

impl Goal {
    /// The goal in words.
    #[must_use]
    pub fn words(self, show: impl Fn(f64) -> String) -> String {
        match self {
            Self::OfBun { target, stretch } => format!("≤ {target:.2} / {stretch:.2} of Bun"),
            Self::AtMost { target, stretch } => format!("≤ {} / {}", show(target), show(stretch)),
            Self::AtLeast(target) => format!("≥ {target}"),
            Self::None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::Sample;

    fn results(row: &Row, figures: &[(Server, f64)]) -> Results {
        let samples = figures.iter().map(|&(server, value)| Sample {
            row: row.key.to_owned(),
            server,
            round: 1,
            value: Some(value),
            cpu: None,
            figures: Default::default(),
            failures: Vec::new(),
        });
        Results {
            samples: samples.collect(),
            ..Results::default()
        }
    }

    #[test]
    fn a_ratio_to_bun_meets_the_target_at_the_target() {
        let row = Row::named("echo-20").unwrap();
        let verdict = |own| {
            let figures = [(Server::Tidegate, own), (Server::Bun, 10.0)];
            Verdict::of(row, &results(row, &figures))
        };
        assert_eq!(verdict(9.0), Verdict::Stretch);
        assert_eq!(verdict(10.0), Verdict::Met);
        assert_eq!(verdict(10.1), Verdict::Missed);
        let alone = results(row, &[(Server::Tidegate, 1.0)]);
        assert_eq!(Verdict::of(row, &alone), Verdict::NotMeasured);
    }

    #[test]
    fn an_absolute_goal_needs_nobody_else() {
        let row = Row::named("idle").unwrap();
        let verdict = |own| Verdict::of(row, &results(row, &[(Server::Tidegate, own)]));
        assert_eq!(verdict(1300.0), Verdict::Stretch);
        assert_eq!(verdict(2560.0), Verdict::Met);
        assert_eq!(verdict(6600.0), Verdict::Missed);
        let row = Row::named("shards").unwrap();
        let verdict = |own| Verdict::of(row, &results(row, &[(Server::Tidegate, own)]));
        assert_eq!(verdict(1.7), Verdict::Met);
        assert_eq!(verdict(1.6), Verdict::Missed);
    }
}
