//! A constant load beside more and more idle connections.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

use super::family::{Family, Measure};
use super::{Options, Report, watched};
use crate::cpu::Pinned;
use crate::crowd::{self, Crowd};
use crate::report::Report as _;
use crate::{Target, echo};

const MEASURES: [Measure; 5] = [
    Measure {
        name: "CPU µs per message",
        chart: Some("Echo of 20 B beside idle connections: CPU"),
        unit: "CPU µs per message",
        log: false,
    },
    Measure {
        name: "of it user",
        chart: Some("Echo of 20 B beside idle connections: CPU"),
        unit: "CPU µs per message",
        log: false,
    },
    Measure {
        name: "p99 µs",
        chart: None,
        unit: "µs",
        log: false,
    },
    Measure {
        name: "RSS MiB",
        chart: Some("Resident memory beside idle connections"),
        unit: "MiB",
        log: false,
    },
    Measure {
        name: "KiB per idle connection",
        chart: None,
        unit: "KiB",
        log: false,
    },
];

/// Connections of the load.
const LOADED: usize = 64;

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<Family> {
    let mut sizes = Vec::new();
    for &wanted in &options.connections {
        let possible = crowd::possible(wanted + LOADED).saturating_sub(LOADED);
        if possible < wanted {
            report.note(format!(
                "{wanted} connections need more descriptors than a process may have here: measured {possible} instead; \
                 raise the hard limit (ulimit -Hn) for all"
            ));
        }
        if !sizes.contains(&possible) {
            sizes.push(possible);
        }
    }
    let method = format!(
        "{LOADED} connections echo 20 B at {} messages a second in all, sent by the clock, while so many others say nothing. \
         Pings to these, one every 30 s each, fall outside of the measured time.",
        options.rate
    );
    let mut family = Family {
        title: "Idle connections",
        method,
        grows: "idle connections",
        measures: &MEASURES,
        samples: BTreeMap::new(),
    };
    family.fill(&sizes, options.rounds, |size| one(options, report, size))?;
    Ok(family)
}

fn one(options: &Options, report: &mut Report, size: usize) -> Result<Vec<f64>> {
    let gateway = options.start("/echo", "echo", ["", ""])?;
    let _pinned = Pinned::to(&options.cpus.generator())?;
    let target = Target::new(gateway.address, "/echo")?;
    let watched = watched(&gateway);
    let processes = watched.required()?;
    let empty = processes.rss_bytes()?;
    let crowd = Crowd::open(&target, size, Duration::from_secs(300))?;
    std::thread::sleep(Duration::from_millis(300));
    let full = processes.rss_bytes()?;
    let echoed = echo::run(&echo::Options {
        url: target,
        connections: LOADED,
        in_flight: None,
        size: 20,
        rate: Some(options.rate),
        span: options.span(),
        watched,
    })?;
    report.fail(&format!("{size} idle connections"), echoed.failures());
    crowd.end()?;
    let cpu = echoed.cost.server_cpu_us.context("no CPU time was read")?;
    let grown = full.saturating_sub(empty) as f64;
    Ok(vec![
        cpu.total_us,
        cpu.user_us,
        echoed.latency.p99_us,
        full as f64 / f64::from(1 << 20),
        grown / 1024.0 / size.max(1) as f64,
    ])
}
