//! The metrics in Prometheus' text format. Counted per shard, added up here when asked for.

mod store;

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Admin;
use crate::counters::{Counter, Counters, Family};
use crate::labels::Label;
use crate::log;
use crate::plugin::{self, Status};
use crate::store::StoreStatus;

/// Renders all metrics.
pub(super) fn render(admin: &Admin) -> String {
    let snapshot = Scrape {
        counters: admin.counters.clone(),
        pending: admin.pending.taken(),
        oversize: admin.oversize.used(),
        plugins: admin
            .registry
            .plugins()
            .iter()
            .map(plugin::Plugin::status)
            .collect(),
        publishes: admin.publishes.iter().collect(),
        store: admin.registry.store().status(),
    };
    let mut registry = prometheus_client::registry::Registry::with_prefix("tidegate");
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)
        .expect("writing to a string does not fail");
    text
}

#[derive(Debug)]
struct Scrape {
    counters: Vec<std::sync::Arc<Counters>>,
    /// Bytes of the budget `server.pending`.
    pending: usize,
    /// Bytes of the budget `server.oversize`.
    oversize: usize,
    plugins: Vec<Status>,
    store: StoreStatus,
    /// Publishes through the admin API, by what became of them.
    publishes: Vec<(&'static str, u64)>,
}

impl prometheus_client::collector::Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let encoder = &mut encoder;
        self.connections(encoder)?;
        self.ends(encoder)?;
        self.refused(encoder)?;
        self.family(
            encoder,
            "outgoing_requests",
            "HTTP requests that plugins sent",
            "result",
            |c| &c.outgoing,
        )?;
        self.compression(encoder)?;
        self.counter(encoder, "messages", "Messages received", |c| &c.messages)?;
        self.counter(encoder, "deliveries", "Messages put into outboxes", |c| {
            &c.deliveries
        })?;
        self.counter(encoder, "publishes", "Publishes that took effect", |c| {
            &c.publishes
        })?;
        self.counter(encoder, "received_bytes", "Bytes read from sockets", |c| {
            &c.bytes_in
        })?;
        self.counter(encoder, "sent_bytes", "Bytes written to sockets", |c| {
            &c.bytes_out
        })?;
        self.admin_publishes(encoder)?;
        self.log(encoder)?;
        self.plugins(encoder)?;
        store::encode(&self.store, &self.plugins, encoder)
    }
}

impl Scrape {
    /// Events, and how they and their connections ended.
    fn ends(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.family(
            encoder,
            "events",
            "Events handed to a handler",
            "event",
            |c| &c.events,
        )?;
        self.family(
            encoder,
            "failures",
            "Events whose handler did not return ok",
            "kind",
            |c| &c.failures,
        )?;
        self.family(
            encoder,
            "closes",
            "Connections ended, by close cause",
            "cause",
            |c| &c.closes,
        )?;
        self.family(
            encoder,
            "closing_handshakes",
            "Closing handshakes, by how they ended",
            "end",
            |c| &c.closings,
        )
    }

    /// What met a limit, was refused or was dropped.
    fn refused(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.family(
            encoder,
            "excesses",
            "Limits on what clients send that were met",
            "limit",
            |c| &c.excesses,
        )?;
        self.counter(
            encoder,
            "failure_replies",
            "Failed messages that the gateway answered itself",
            |c| &c.failure_replies,
        )?;
        self.family(
            encoder,
            "refusals",
            "Requests and sockets that did not become a connection",
            "reason",
            |c| &c.refusals,
        )?;
        self.family(
            encoder,
            "drops",
            "Messages not delivered, and timers not set",
            "reason",
            |c| &c.drops,
        )
    }

    fn sum(&self, counter: impl Fn(&Counters) -> u64) -> u64 {
        self.counters.iter().map(|counters| counter(counters)).sum()
    }

    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let open = self.sum(|c| c.opened.get()) - self.sum(|c| c.closed.get());
        gauge(
            encoder,
            "connections_open",
            "Connections that are open",
            open,
        )?;
        gauge(
            encoder,
            "pending_bytes",
            "Messages and bodies that are not whole yet, of at most `server.pending`",
            self.pending as u64,
        )?;
        gauge(
            encoder,
            "oversize_bytes",
            "Messages longer than an outbox that wait for slow clients, of at most `server.oversize`",
            self.oversize as u64,
        )
    }

    fn compression(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.counter(
            encoder,
            "compressions",
            "Messages that were compressed, each once, however many got it",
            |c| &c.compressions,
        )?;
        self.counter(encoder, "compression_in_bytes", "Their bytes before", |c| {
            &c.compression_in
        })?;
        self.counter(encoder, "compression_out_bytes", "Their bytes after", |c| {
            &c.compression_out
        })?;
        self.counter(
            encoder,
            "compression_contexts_refused",
            "Connections without compression contexts of their own, for want of memory",
            |c| &c.contexts_refused,
        )
    }

    fn log(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let dropped = ConstCounter::new(plugin::dropped_lines());
        let help = "Lines of guest output dropped because a plugin logged too many";
        dropped.encode(encoder.encode_descriptor(
            "guest_log_lines_dropped",
            help,
            None,
            dropped.metric_type(),
        )?)?;
        let lost = log::lost();
        let help = "Lines of the log that found no room in its queue, or that stderr did not take";
        let mut metric =
            encoder.encode_descriptor("log_lines_lost", help, None, MetricType::Counter)?;
        for (reason, count) in [("queue", lost.queue), ("write", lost.write)] {
            ConstCounter::new(count).encode(metric.encode_family(&[("reason", reason)])?)?;
        }
        Ok(())
    }

    fn admin_publishes(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Publishes asked for through the admin API, by what became of them";
        let mut metric =
            encoder.encode_descriptor("admin_publishes", help, None, MetricType::Counter)?;
        for (result, count) in &self.publishes {
            let count = ConstCounter::new(*count);
            count.encode(metric.encode_family(&[("result", *result)])?)?;
        }
        Ok(())
    }

    fn counter(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        counter: impl Fn(&Counters) -> &Counter,
    ) -> Result<(), fmt::Error> {
        let sum = ConstCounter::new(self.sum(|counters| counter(counters).get()));
        sum.encode(encoder.encode_descriptor(name, help, None, sum.metric_type())?)
    }

    fn family<L: Label>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        label: &str,
        family: impl Fn(&Counters) -> &Family<L>,
    ) -> Result<(), fmt::Error> {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for &value in L::ALL {
            let sum = ConstCounter::new(self.sum(|counters| family(counters).get(value)));
            sum.encode(metric.encode_family(&[(label, value.name())])?)?;
        }
        Ok(())
    }

    fn plugins(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric = encoder.encode_descriptor(
            "plugin_generation",
            "The generation in place; 0 before the first",
            None,
            MetricType::Gauge,
        )?;
        for plugin in &self.plugins {
            let number = plugin.current.as_ref().map_or(0, |(number, ..)| *number);
            let number = ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX));
            number.encode(metric.encode_family(&[("plugin", &*plugin.name)])?)?;
        }
        let mut metric = encoder.encode_descriptor(
            "plugin_pinned_connections",
            "Connections that stay with earlier generations, because a later one refused their state",
            None,
            MetricType::Gauge,
        )?;
        for plugin in &self.plugins {
            let pinned = ConstGauge::new(i64::try_from(plugin.pinned).unwrap_or(i64::MAX));
            pinned.encode(metric.encode_family(&[("plugin", &*plugin.name)])?)?;
        }
        let mut metric = encoder.encode_descriptor(
            "plugin_loads",
            "Loads and rollbacks, by result",
            None,
            MetricType::Counter,
        )?;
        for plugin in &self.plugins {
            let refused = plugin.refusals.values().sum();
            for (result, count) in [("swapped", plugin.swaps), ("refused", refused)] {
                let count = ConstCounter::new(count);
                let labels = [("plugin", &*plugin.name), ("result", result)];
                count.encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "Loads that were refused, by reason";
        let mut metric =
            encoder.encode_descriptor("plugin_load_refusals", help, None, MetricType::Counter)?;
        for plugin in &self.plugins {
            for reason in plugin::LoadError::REASONS {
                let count = plugin.refusals.get(reason).copied().unwrap_or_default();
                let labels = [("plugin", &*plugin.name), ("reason", reason)];
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), fmt::Error> {
    let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)
}
