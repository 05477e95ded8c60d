//! The store's metrics.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::plugin::Status;
use crate::store::{BucketStatus, StoreStatus};

/// Renders what there is to show of a store. `plugins` are those of the configuration, in its order.
pub(super) fn encode(
    store: &StoreStatus,
    plugins: &[Status],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let buckets = &store.buckets;
    let keys = "Keys in a bucket";
    gauge(encoder, buckets, "store_keys", keys, |bucket| bucket.keys)?;
    let bytes = "Bytes of a bucket's keys and values, with what each entry costs beside";
    gauge(encoder, buckets, "store_bytes", bytes, |bucket| {
        bucket.bytes
    })?;
    let operations = "What plugins did with a bucket, key by key";
    family(
        encoder,
        buckets,
        "store_operations",
        operations,
        "operation",
        |bucket| &bucket.operations,
    )?;
    let refusals = "Writes to a bucket that were refused, by limit";
    family(
        encoder,
        buckets,
        "store_refusals",
        refusals,
        "limit",
        |bucket| &bucket.refusals,
    )?;
    if let Some((commits, failures)) = store.commits {
        let mut metric = encoder.encode_descriptor(
            "store_commits",
            "Commits to the store's file, by result",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in [("ok", commits), ("failed", failures)] {
            ConstCounter::new(count).encode(metric.encode_family(&[("result", result)])?)?;
        }
    }
    let mut metric = encoder.encode_descriptor(
        "store_changes_dropped",
        "Changes that a plugin did not hear of because too many waited for it",
        None,
        MetricType::Counter,
    )?;
    for (owner, dropped) in &store.dropped_changes {
        let labels = [("plugin", &*plugins[*owner].name)];
        ConstCounter::new(*dropped).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    buckets: &[BucketStatus],
    name: &str,
    help: &str,
    value: impl Fn(&BucketStatus) -> usize,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for bucket in buckets {
        let value = ConstGauge::new(i64::try_from(value(bucket)).unwrap_or(i64::MAX));
        value.encode(metric.encode_family(&[("bucket", &*bucket.name)])?)?;
    }
    Ok(())
}

fn family(
    encoder: &mut DescriptorEncoder<'_>,
    buckets: &[BucketStatus],
    name: &str,
    help: &str,
    label: &str,
    counts: impl Fn(&BucketStatus) -> &[(&'static str, u64)],
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for bucket in buckets {
        for (value, count) in counts(bucket) {
            let labels = [("bucket", &*bucket.name), (label, *value)];
            ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
