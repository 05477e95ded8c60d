//! Durations in buckets of logarithmic width.

use std::time::Duration;

use serde::Serialize;

/// Buckets per power of two: a value is known to 1/32, about 3 %.
const STEPS: usize = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// How long things took.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_ns: u64,
}

/// A histogram in five numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Values recorded.
    pub count: u64,
    /// Half took no longer, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 took no longer.
    pub p99_us: f64,
    /// 999 of 1,000 took no longer.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; STEPS * 65],
            total: 0,
            max_ns: 0,
        }
    }
}

impl Histogram {
    /// Adds one value.
    pub fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.max_ns = self.max_ns.max(nanos);
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        (self.total, self.max_ns) = (0, 0);
    }

    /// Values recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The upper bound of the bucket that holds the value at `share` (0.99 for p99).
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(index).min(self.max_ns));
            }
        }
        Duration::ZERO
    }

    /// The figures that are printed.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let micros = |took: Duration| (took.as_nanos() as f64 / 100.0).round() / 10.0;
        Summary {
            count: self.total,
            p50_us: micros(self.quantile(0.5)),
            p99_us: micros(self.quantile(0.99)),
            p999_us: micros(self.quantile(0.999)),
            max_us: micros(Duration::from_nanos(self.max_ns)),
        }
    }
}

fn bucket(nanos: u64) -> usize {
    let exponent = nanos.max(1).ilog2();
    if exponent < STEP_BITS {
        return nanos as usize;
    }
    let shift = exponent - STEP_BITS;
    let step = (nanos >> shift) as usize - STEPS;
    STEPS * (shift as usize + 1) + step
}

/// The largest value that falls into bucket `index`.
fn upper(index: usize) -> u64 {
    if index < STEPS {
        return index as u64;
    }
    let shift = index / STEPS - 1;
    let step = (index % STEPS + STEPS) as u128;
    u64::try_from(((step + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_within_three_percent() {
        let mut values: Vec<u64> = (0..63)
            .flat_map(|e| [1 << e, (1 << e) + 1, (3 << e) / 2])
            .collect();
        values.extend([0, u64::MAX]);
        for value in values {
            let (index, top) = (bucket(value), upper(bucket(value)));
            assert!(top >= value, "{value} in {index} up to {top}");
            assert!(top - value <= value / 32, "{value} in {index} up to {top}");
        }
    }

    #[test]
    fn quantiles_follow_the_ranks() {
        let mut histogram = Histogram::default();
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        let summary = histogram.summary();
        assert_eq!((summary.count, summary.max_us), (1000, 1000.0));
        assert!((500.0..516.0).contains(&summary.p50_us), "{summary:?}");
        assert!((990.0..=1000.0).contains(&summary.p99_us), "{summary:?}");
        histogram.clear();
        assert_eq!(histogram.summary(), Summary::default());
    }
}
