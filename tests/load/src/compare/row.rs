//! The rows of the comparison and what each has to reach.

use super::server::Server;

/// One line of the comparison.
#[derive(Debug)]
pub struct Row {
    /// What `--rows` calls it.
    pub key: &'static str,
    /// What the tables call it.
    pub title: &'static str,
    /// What is done.
    pub load: Load,
    /// What Tidegate has to reach.
    pub goal: Goal,
}

/// What a row does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// 64 connections, each with so many messages of so many bytes unanswered.
    Echo {
        /// Bytes of a message.
        size: usize,
        /// Unanswered messages a connection.
        in_flight: usize,
    },
    /// One publisher of 64 bytes.
    Fanout {
        /// Who receives them.
        subscribers: usize,
        /// Publishes under way.
        in_flight: usize,
        /// Forwarded as they came instead of as the chat's JSON.
        plain: bool,
    },
    /// 32 rooms of 32 members who all publish.
    Chat,
    /// Handshake, close handshake, again.
    Connect,
    /// Memory of 10,000 connections that say nothing.
    Idle,
    /// Echo of 20 bytes at half the rate at which Bun is saturated.
    Latency,
    /// Echo of 20 bytes by one and by two shards.
    Shards {
        /// Unanswered messages a connection.
        in_flight: usize,
    },
}

/// What Tidegate's figure of a row has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// At most so many times Bun's.
    OfBun {
        /// What must be reached.
        target: f64,
        /// What is hoped for.
        stretch: f64,
    },
    /// At most so much.
    AtMost {
        /// What must be reached.
        target: f64,
        /// What is hoped for.
        stretch: f64,
    },
    /// At least so much.
    AtLeast(f64),
    /// The row informs only.
    None,
}

/// What the figures of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// CPU time of the server for one of these.
    CpuMicros(&'static str),
    /// Resident bytes a connection.
    Bytes,
    /// A time that passed, in microseconds.
    Micros,
    /// How many times as much.
    Times,
}

const fn of_bun(target: f64, stretch: f64) -> Goal {
    Goal::OfBun { target, stretch }
}

const fn echo(
    key: &'static str,
    title: &'static str,
    size: usize,
    in_flight: usize,
    goal: Goal,
) -> Row {
    let load = Load::Echo { size, in_flight };
    Row {
        key,
        title,
        load,
        goal,
    }
}

const fn fanout(
    key: &'static str,
    title: &'static str,
    load: (usize, usize, bool),
    goal: Goal,
) -> Row {
    let (subscribers, in_flight, plain) = load;
    let load = Load::Fanout {
        subscribers,
        in_flight,
        plain,
    };
    Row {
        key,
        title,
        load,
        goal,
    }
}

const fn other(key: &'static str, title: &'static str, load: Load, goal: Goal) -> Row {
    Row {
        key,
        title,
        load,
        goal,
    }
}

/// All rows, in the order of the tables.
pub static ROWS: [Row; 18] = [
    echo(
        "echo-20",
        "echo 20 B, 1 in flight",
        20,
        1,
        of_bun(1.00, 0.90),
    ),
    echo(
        "echo-20-deep",
        "echo 20 B, 16 in flight",
        20,
        16,
        of_bun(1.10, 0.90),
    ),
    echo(
        "echo-1k",
        "echo 1 KiB, 1 in flight",
        1024,
        1,
        of_bun(0.90, 0.80),
    ),
    echo(
        "echo-1k-deep",
        "echo 1 KiB, 16 in flight",
        1024,
        16,
        of_bun(0.80, 0.60),
    ),
    echo(
        "echo-16k",
        "echo 16 KiB, 1 in flight",
        16 << 10,
        1,
        of_bun(0.70, 0.60),
    ),
    fanout(
        "fanout-64",
        "fan-out of 64 B to 64",
        (64, 1, false),
        of_bun(0.95, 0.88),
    ),
    fanout(
        "fanout-1000",
        "fan-out of 64 B to 1,000",
        (1000, 1, false),
        of_bun(0.95, 0.88),
    ),
    fanout(
        "fanout-10000",
        "fan-out of 64 B to 10,000",
        (10_000, 1, false),
        of_bun(0.95, 0.88),
    ),
    fanout(
        "fanout-1000-deep",
        "fan-out of 64 B to 1,000, 16 in flight",
        (1000, 16, false),
        of_bun(1.00, 0.90),
    ),
    fanout(
        "plain-64",
        "plain fan-out of 64 B to 64",
        (64, 1, true),
        Goal::None,
    ),
    fanout(
        "plain-1000",
        "plain fan-out of 64 B to 1,000",
        (1000, 1, true),
        Goal::None,
    ),
    fanout(
        "plain-10000",
        "plain fan-out of 64 B to 10,000",
        (10_000, 1, true),
        Goal::None,
    ),
    other(
        "chat",
        "chat, 32 rooms of 32, all publish 64 B",
        Load::Chat,
        of_bun(1.50, 1.00),
    ),
    other(
        "connect",
        "connect, upgrade, close",
        Load::Connect,
        of_bun(1.15, 0.95),
    ),
    other(
        "idle",
        "user memory of an idle connection, 10,000 open",
        Load::Idle,
        Goal::AtMost {
            target: 2.5 * 1024.0,
            stretch: 1.3 * 1024.0,
        },
    ),
    other(
        "latency",
        "p99 of echo 20 B at half of Bun's saturation",
        Load::Latency,
        Goal::None,
    ),
    other(
        "shards",
        "messages a second of 2 shards, in those of 1: echo 20 B, 1 in flight",
        Load::Shards { in_flight: 1 },
        Goal::AtLeast(1.7),
    ),
    other(
        "shards-deep",
        "messages a second of 2 shards, in those of 1: echo 20 B, 16 in flight",
        Load::Shards { in_flight: 16 },
        Goal::AtLeast(1.7),
    ),
];

impl Row {
    /// The row that `--rows` calls `key`.
    ///
    /// # Errors
    /// When there is none, with those there are.
    pub fn named(key: &str) -> Result<&'static Self, String> {
        let row = ROWS.iter().find(|row| row.key == key);
        row.ok_or_else(|| {
            let keys: Vec<_> = ROWS.iter().map(|row| row.key).collect();
            format!("there is no row {key:?}: choose from {}", keys.join(", "))
        })
    }

    /// What its figures are.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self.load {
            Load::Echo { .. } => Unit::CpuMicros("message"),
            Load::Fanout { .. } | Load::Chat => Unit::CpuMicros("delivery"),
            Load::Connect => Unit::CpuMicros("connection"),
            Load::Idle => Unit::Bytes,
            Load::Latency => Unit::Micros,
            Load::Shards { .. } => Unit::Times,
        }
    }

    /// Whether `server` takes part.
    #[must_use]
    pub fn has(&self, server: Server) -> bool {
        match self.load {
            Load::Shards { .. } => server == Server::Tidegate,
            // The slower ones cannot keep up with the rate; a latency without bound says nothing.
            Load::Latency => !matches!(server, Server::Ws | Server::Workerd),
            _ => true,
        }
    }
}

impl Unit {
    /// The unit in words.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::CpuMicros(item) => format!("CPU µs per {item}"),
            Self::Bytes => "KiB per connection".to_owned(),
            Self::Micros => "µs".to_owned(),
            Self::Times => "times".to_owned(),
        }
    }

    /// `value` as it is printed.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        let value = self.scale(value);
        let digits = match value.abs() {
            small if small < 10.0 => 2,
            middle if middle < 100.0 => 1,
            _ => 0,
        };
        format!("{value:.digits$}")
    }

    /// `value` in the unit that is printed.
    #[must_use]
    pub fn scale(self, value: f64) -> f64 {
        if self == Self::Bytes {
            value / 1024.0
        } else {
            value
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_name_of_its_own_and_an_unknown_one_is_answered_with_all() {
        for row in &ROWS {
            assert!(std::ptr::eq(Row::named(row.key).unwrap(), row));
        }
        let error = Row::named("echo").unwrap_err();
        assert!(error.contains("echo-20-deep, echo-1k"), "{error}");
    }

    #[test]
    fn figures_keep_three_digits() {
        let unit = Unit::CpuMicros("message");
        let shown = [0.374, 6.4, 15.46, 194.2].map(|value| unit.show(value));
        assert_eq!(shown, ["0.37", "6.40", "15.5", "194"]);
        assert_eq!(Unit::Bytes.show(2560.0), "2.50");
    }
}
