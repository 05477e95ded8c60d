//! The results as Markdown.

use std::fmt::Write;

use clap::ValueEnum;

use super::results::{Median, Results};
use super::row::{Goal, ROWS, Row, Unit};
use super::server::Server;
use super::verdict::{OF_WORKERD, Verdict};

/// The whole of `compare.md`.
#[must_use]
pub(super) fn markdown(results: &Results) -> String {
    let mut text = String::from("# Tidegate and its peers\n\n");
    text.push_str("Made by `tidegate-load compare`; raw samples in `compare.json`.\n\n");
    text.push_str(&results.machine.markdown());
    for (program, version) in &results.versions {
        let _ = writeln!(text, "- {program} {version}");
    }
    text.push('\n');
    text.push_str(&method(results));
    text.push_str(&summary(results));
    for row in ROWS.iter().filter(|row| results.has(row)) {
        text.push_str(&details(row, results));
    }
    let failures = results.failures();
    if !failures.is_empty() {
        text.push_str("\n## Failures\n\n");
        for failure in failures {
            let _ = writeln!(text, "- {}", failure.replace('\n', " "));
        }
    }
    text
}

fn method(results: &Results) -> String {
    let Results {
        rounds,
        seconds,
        pinning,
        ..
    } = results;
    let offered = results.offered.map_or_else(String::new, |rate| {
        format!(
            "\nLatency: {rate:.0} messages a second are offered whatever the answers do, half of what Bun echoes when 64 \
             connections each wait for their answer. Servers that cannot keep up are left out.\n"
        )
    });
    format!(
        "Medians of {rounds} rounds of {seconds} s; a round runs every server once, in rotated order, each in a fresh process. \
         {pinning}\nCPU µs are run time of all threads of the server's process (`/proc/PID/task/*/schedstat`), split in user + \
         system in the proportion of its clock ticks. Tidegate runs its plugins `echo` and `chat` with one shard and default \
         limits; the peers do in their own way what these do, byte for byte (before each row of rooms one member says something, \
         and what the other receives is compared). Of those who join, which is not measured, only Tidegate's `chat` tells the room. The bare epoll server forwards without making JSON. Plain fan-out forwards \
         messages as they came.\n\nShards: on two cores the generator has none of its own, so the rate of two shards cannot be \
         seen. The figure is derived: server CPU µs per message of 1 shard and of 2 shards, generator and server on the same \
         cores both times, and two cores have twice the µs of one: 2 × cost of one ÷ cost of two. Where the generator shares their cores, messages \
         wait a little longer for two shards and are read together more often, which flatters them; with three cores or more \
         the generator is kept off the first two. The rates that were seen are in the row's table.\n{offered}\n"
    )
}

fn summary(results: &Results) -> String {
    let mut text = String::from(
        "| row | | Tidegate (user + system) | Bun (user + system) | ratio | target / stretch | | workerd ÷ Tidegate |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in ROWS.iter().filter(|row| results.has(row)) {
        let own = results.median(row, Server::Tidegate);
        let bun = results.median(row, Server::Bun);
        let workerd = results.median(row, Server::Workerd);
        let unit = row.unit();
        let times = |of: &Option<Median>, by: &Option<Median>| {
            Some(of.as_ref()?.value / by.as_ref()?.value)
        };
        let of_workerd = times(&workerd, &own).map_or_else(String::new, |times| {
            let word = if times >= OF_WORKERD {
                "**met**"
            } else {
                "missed"
            };
            format!("{times:.1}, ≥ {OF_WORKERD}: {word}")
        });
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {of_workerd} |",
            row.title,
            unit.name(),
            cell(unit, own.as_ref()),
            cell(unit, bun.as_ref()),
            times(&own, &bun).map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            row.goal.words(|value| unit.show(value)),
            Verdict::of(row, results).word(),
        );
    }
    text
}

/// "6.40 (0.66 + 5.74)".
fn cell(unit: Unit, median: Option<&Median>) -> String {
    let Some(median) = median else {
        return String::new();
    };
    let value = unit.show(median.value);
    median.parts.map_or(value.clone(), |(user, system)| {
        format!("{value} ({} + {})", unit.show(user), unit.show(system))
    })
}

fn details(row: &Row, results: &Results) -> String {
    let unit = row.unit();
    let bun = results.median(row, Server::Bun);
    let mut names: Vec<_> = Server::value_variants()
        .iter()
        .filter_map(|server| results.median(row, *server))
        .flat_map(|median| median.figures.into_keys())
        .collect();
    names.sort();
    names.dedup();
    let goal = match row.goal {
        Goal::None => String::new(),
        goal => format!(
            " Goal: {}, {}.",
            goal.words(|value| unit.show(value)),
            Verdict::of(row, results).word()
        ),
    };
    let mut text = format!("\n## {}\n\n{}.{goal}\n\n", row.title, unit.name());
    let heads = names
        .iter()
        .map(|name| format!(" {} |", name.replace('_', " ")));
    let heads: String = heads.collect();
    let _ = writeln!(
        text,
        "| server | median | user | system | to Bun | range |{heads}"
    );
    let _ = writeln!(text, "|{}", " --- |".repeat(6 + names.len()));
    for &server in Server::value_variants() {
        let Some(median) = results.median(row, server) else {
            continue;
        };
        let (user, system) = median
            .parts
            .map_or_else(Default::default, |(user, system)| {
                (unit.show(user), unit.show(system))
            });
        let ratio = bun.as_ref().map_or_else(String::new, |bun| {
            format!("{:.2}", median.value / bun.value)
        });
        let figures = names.iter().map(|name| {
            let figure = median.figures.get(name);
            format!(
                " {} |",
                figure.map_or_else(String::new, |value| plain(*value))
            )
        });
        let _ = writeln!(
            text,
            "| {} | {} | {user} | {system} | {ratio} | {}-{} |{}",
            server.name(),
            unit.show(median.value),
            unit.show(median.range.0),
            unit.show(median.range.1),
            figures.collect::<String>(),
        );
    }
    text
}

/// A figure of unknown size in few digits.
fn plain(value: f64) -> String {
    if value.abs() < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::Sample;
    use crate::process::CpuTime;

    fn sample(row: &str, server: Server, user_us: f64, system_us: f64) -> Sample {
        let total_us = user_us + system_us;
        Sample {
            row: row.to_owned(),
            server,
            round: 1,
            value: Some(total_us),
            cpu: Some(CpuTime {
                total_us,
                user_us,
                system_us,
            }),
            figures: [("per_second".to_owned(), 1e6 / total_us)].into(),
            failures: Vec::new(),
        }
    }

    #[test]
    fn a_row_shows_parts_ratio_goal_and_verdict() {
        let mut broken = sample("echo-20", Server::Ws, 1.0, 1.0);
        broken
            .failures
            .push("2 messages were\nnot answered".to_owned());
        let results = Results {
            samples: vec![
                sample("echo-20", Server::Tidegate, 1.5, 5.0),
                sample("echo-20", Server::Bun, 0.5, 6.0),
                sample("echo-20", Server::Workerd, 14.0, 6.15),
                broken,
            ],
            versions: vec![("bun".to_owned(), "1.4.5".to_owned())],
            rounds: 1,
            ..Results::default()
        };
        let text = markdown(&results);
        let line = "| echo 20 B, 1 in flight | CPU µs per message | 6.50 (1.50 + 5.00) | 6.50 (0.50 + 6.00) | 1.00 \
                    | ≤ 1.00 / 0.90 of Bun | **met** | 3.1, ≥ 3: **met** |";
        assert!(text.contains(line), "{text}");
        let line = "| workerd | 20.1 | 14.0 | 6.15 | 3.10 | 20.1-20.1 | 49628 |";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("- echo-20 of ws on Node, round 1: 2 messages were not answered"));
        assert!(text.contains("- bun 1.4.5"));
        assert!(!text.contains("connect, upgrade"), "it was not run");
    }
}
