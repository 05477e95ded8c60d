//! The results as charts: one file for each kind of row.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;

use super::results::Results;
use super::row::{Goal, Load, ROWS, Row};
use super::server::Server;
use crate::chart::{self, Bar, Panel};

const LEGEND: &str = "shorter is better; of CPU time the dark part is user, the light one system; red line: the target";

/// A file, its title, and which rows it shows.
type File = (&'static str, &'static str, fn(Load) -> bool);

const FILES: [File; 5] = [
    ("echo.svg", "Echo", |load| matches!(load, Load::Echo { .. })),
    ("fanout.svg", "Fan-out and chat", |load| {
        matches!(load, Load::Fanout { .. } | Load::Chat)
    }),
    ("connect.svg", "Connecting", |load| load == Load::Connect),
    ("memory.svg", "Memory", |load| load == Load::Idle),
    ("latency.svg", "Latency", |load| load == Load::Latency),
];

/// Draws what was measured into `folder`.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn draw(results: &Results, folder: &Path) -> Result<()> {
    for (file, title, takes) in FILES {
        let rows = ROWS
            .iter()
            .filter(|row| takes(row.load) && results.has(row));
        let panels: Vec<_> = rows.map(|row| panel(row, results)).collect();
        if !panels.is_empty() {
            chart::bars(&folder.join(file), title, LEGEND, &panels)?;
        }
    }
    Ok(())
}

fn panel(row: &Row, results: &Results) -> Panel {
    let unit = row.unit();
    let bars = Server::value_variants().iter().filter_map(|&server| {
        let median = results.median(row, server)?;
        Some(Bar {
            label: server.name().to_owned(),
            value: unit.scale(median.value),
            part: median.parts.map(|(user, _)| user),
            figure: unit.show(median.value),
            ours: server == Server::Tidegate,
        })
    });
    let bun = results.median(row, Server::Bun);
    let goal = match row.goal {
        Goal::OfBun { target, .. } => bun.map(|bun| bun.value * target),
        Goal::AtMost { target, .. } => Some(target),
        Goal::AtLeast(_) | Goal::None => None,
    };
    Panel {
        title: row.title.to_owned(),
        unit: unit.name(),
        bars: bars.collect(),
        goal: goal.map(|goal| unit.scale(goal)),
    }
}
