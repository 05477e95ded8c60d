//! One publisher and more and more subscribers.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::family::{Family, Measure};
use super::{Options, Report, check_handlers, watched};
use crate::cpu::Pinned;
use crate::report::Report as _;
use crate::{Target, crowd, fanout};

const MEASURES: [Measure; 4] = [
    Measure {
        name: "CPU µs per delivery",
        chart: Some("Fan-out of 64 B: a delivery"),
        unit: "CPU µs per delivery",
        log: false,
    },
    Measure {
        name: "of it user",
        chart: Some("Fan-out of 64 B: a delivery"),
        unit: "CPU µs per delivery",
        log: false,
    },
    Measure {
        name: "CPU µs per publish",
        chart: Some("Fan-out of 64 B: a publish"),
        unit: "CPU µs per publish",
        log: true,
    },
    Measure {
        name: "last delivery, median ms",
        chart: None,
        unit: "ms",
        log: true,
    },
];

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<Family> {
    let sizes: Vec<_> = options
        .subscribers
        .iter()
        .map(|&wanted| crowd::possible(wanted))
        .collect();
    let mut family = Family {
        title: "Subscribers of one topic",
        method: "One connection publishes 64 B, forwarded as they came by the fixture `topics`; the next follows when all have it."
            .to_owned(),
        grows: "subscribers",
        measures: &MEASURES,
        samples: BTreeMap::new(),
    };
    family.fill(&sizes, options.rounds, |size| one(options, report, size))?;
    Ok(family)
}

fn one(options: &Options, report: &mut Report, size: usize) -> Result<Vec<f64>> {
    let gateway = options.start("/plain/{room}", "topics", ["", ""])?;
    let _pinned = Pinned::to(&options.cpus.generator())?;
    let published = fanout::run(&fanout::Options {
        subscribe_url: Target::new(gateway.address, "/plain/1")?,
        publish_url: None,
        subscribers: size,
        size: 64,
        in_flight: 1,
        skip_texts: false,
        span: options.span(),
        watched: watched(&gateway),
    })?;
    report.fail(&format!("{size} subscribers"), published.failures());
    check_handlers(&gateway)?;
    let cpu = published
        .cost
        .server_cpu_us
        .context("no CPU time was read")?;
    Ok(vec![
        cpu.total_us,
        cpu.user_us,
        cpu.total_us * size as f64,
        published.last_delivery.p50_us / 1e3,
    ])
}
