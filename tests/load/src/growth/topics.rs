//! More and more topics on each connection: what that does to a message, a close, and memory.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::family::{Family, Measure};
use super::{Options, Report, check_handlers, watched};
use crate::cpu::Pinned;
use crate::fleet::Fleet;
use crate::report::Report as _;
use crate::{Target, echo};

const MEASURES: [Measure; 5] = [
    Measure {
        name: "CPU µs per message",
        chart: Some("Echo of 20 B by connections with many topics"),
        unit: "CPU µs per message",
        log: false,
    },
    Measure {
        name: "CPU µs per open",
        chart: Some("Open and close of connections with many topics"),
        unit: "CPU µs per connection",
        log: true,
    },
    Measure {
        name: "CPU µs per close",
        chart: Some("Open and close of connections with many topics"),
        unit: "CPU µs per connection",
        log: true,
    },
    Measure {
        name: "RSS MiB",
        chart: None,
        unit: "MiB",
        log: true,
    },
    Measure {
        name: "bytes per subscription",
        chart: None,
        unit: "bytes",
        log: true,
    },
];

const CONNECTIONS: usize = 64;

/// Subscribing to ten thousand topics in one event takes longer than the default deadline allows.
const PLUGIN_LIMITS: &str = "deadline = \"5s\"";
const ROUTE_LIMITS: &str = "subscriptions = 1000000";

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<Family> {
    let method = format!(
        "{CONNECTIONS} connections subscribe to the same so many topics each when they open; each echoes 20 B, one in flight. Opens \
         (handshake and subscribing) and closes (close handshake and leaving) are measured on connections that sent nothing. \
         Raised limits: `{PLUGIN_LIMITS}`, `{ROUTE_LIMITS}`."
    );
    let mut family = Family {
        title: "Topics of a connection",
        method,
        grows: "topics per connection",
        measures: &MEASURES,
        samples: BTreeMap::new(),
    };
    family.fill(&options.topics, options.rounds, |size| {
        one(options, report, size)
    })?;
    Ok(family)
}

fn one(options: &Options, report: &mut Report, size: usize) -> Result<Vec<f64>> {
    let gateway = options.start("/topics", "topics", [PLUGIN_LIMITS, ROUTE_LIMITS])?;
    let _pinned = Pinned::to(&options.cpus.generator())?;
    let target = Target::new(gateway.address, &format!("/topics?topics={size}"))?;
    let watched = watched(&gateway);
    let processes = watched.required()?;
    let cpu = |cost: crate::measure::Cost| {
        let cpu = cost.server_cpu_us.context("no CPU time was read")?;
        anyhow::Ok(cpu.total_us)
    };

    let empty = processes.rss_bytes()?;
    let mut fleet = Fleet::new()?;
    let meter = watched.meter()?;
    let targets = std::iter::repeat_n(&target, CONNECTIONS);
    fleet.connect_all(targets, Duration::from_secs(120))?;
    // An upgrade is answered before the handler of the open has run.
    fleet.rest(settled(size))?;
    let open = cpu(meter.finish(CONNECTIONS as u64)?)?;
    let full = processes.rss_bytes()?;
    let meter = watched.meter()?;
    let unclean = fleet.close_all(Duration::from_secs(60))?;
    ensure!(
        unclean.is_empty(),
        "connections with {size} topics did not close: {unclean:?}"
    );
    std::thread::sleep(settled(size));
    let close = cpu(meter.finish(CONNECTIONS as u64)?)?;

    let echoed = echo::run(&echo::Options {
        url: target,
        connections: CONNECTIONS,
        in_flight: None,
        size: 20,
        rate: None,
        span: options.span(),
        watched,
    })?;
    report.fail(&format!("{size} topics"), echoed.failures());
    check_handlers(&gateway)?;
    let subscriptions = (size * CONNECTIONS).max(1) as f64;
    Ok(vec![
        cpu(echoed.cost)?,
        open,
        close,
        full as f64 / f64::from(1 << 20),
        full.saturating_sub(empty) as f64 / subscriptions,
    ])
}

/// How long the server may still be busy with so many topics of each connection.
fn settled(size: usize) -> Duration {
    Duration::from_millis(200 + size as u64 / 5)
}
