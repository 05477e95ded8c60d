//! How single values are written: durations, sizes, counts, addresses, lists of origins.
//!
//! Each reader names its range in the error it gives, so that one message both refuses a value and
//! shows a good one.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserializer;
use serde::de::{self, Unexpected, Visitor};

/// Longer waits are surely mistakes, and a clock must be able to add any of ours to now.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A value as it is written in a file.
pub(super) enum Scalar<'a> {
    Text(&'a str),
    Integer(i64),
}

/// Reads a value by `read`, which answers `None` for what is not as `expected`.
pub(super) fn scalar<'de, D, T>(
    deserializer: D,
    expected: impl Display,
    read: impl FnOnce(Scalar<'_>) -> Option<T>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(ScalarVisitor { expected, read })
}

struct ScalarVisitor<E, R> {
    expected: E,
    read: R,
}

impl<T, E, R> Visitor<'_> for ScalarVisitor<E, R>
where
    E: Display,
    R: FnOnce(Scalar<'_>) -> Option<T>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expected.fmt(f)
    }

    fn visit_str<Error: de::Error>(self, text: &str) -> Result<T, Error> {
        let expected = self.expected.to_string();
        (self.read)(Scalar::Text(text))
            .ok_or_else(|| Error::invalid_value(Unexpected::Str(text), &expected.as_str()))
    }

    fn visit_i64<Error: de::Error>(self, number: i64) -> Result<T, Error> {
        let expected = self.expected.to_string();
        (self.read)(Scalar::Integer(number))
            .ok_or_else(|| Error::invalid_value(Unexpected::Signed(number), &expected.as_str()))
    }
}

/// A duration above zero.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let expected = r#"a duration above zero and up to 365 days, like "500ms" or "2m""#;
    scalar(deserializer, expected, |value| {
        parse_duration(value).filter(|duration| !duration.is_zero())
    })
}

/// A duration for which zero has a meaning of its own.
pub(super) fn duration_or_zero<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let expected = r#"a duration up to 365 days, like "500ms" or "2m", or "0s""#;
    scalar(deserializer, expected, parse_duration)
}

/// A bare number is refused: nobody remembers whether it was seconds or milliseconds.
fn parse_duration(value: Scalar<'_>) -> Option<Duration> {
    match value {
        Scalar::Text(text) => humantime::parse_duration(text)
            .ok()
            .filter(|duration| *duration <= LONGEST),
        Scalar::Integer(_) => None,
    }
}

/// A number of bytes: `"64MiB"`, `"1.5kB"`, or a bare number.
pub(super) fn size<'de, D, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<usize, D::Error>
where
    D: Deserializer<'de>,
{
    let compact = |bytes| {
        ByteSize(bytes)
            .to_string()
            .replace(".0", "")
            .replace(' ', "")
    };
    let expected = format!("a size from {:?} to {:?}", compact(MIN), compact(MAX));
    scalar(deserializer, expected, |value| {
        let bytes = match value {
            Scalar::Text(text) => text.parse::<ByteSize>().ok()?.as_u64(),
            Scalar::Integer(number) => u64::try_from(number).ok()?,
        };
        let bytes = (MIN..=MAX).contains(&bytes).then_some(bytes)?;
        usize::try_from(bytes).ok()
    })
}

/// Messages or frames a second: `"100/s"`, or `"off"`.
pub(super) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let expected = r#"a rate from "1/s" to "4000000/s", or "off""#;
    scalar(deserializer, expected, |value| match value {
        Scalar::Text("off") => Some(None),
        Scalar::Text(text) => {
            let rate = text.strip_suffix("/s")?.trim().parse().ok()?;
            (1..=4_000_000).contains(&rate).then_some(Some(rate))
        }
        Scalar::Integer(_) => None,
    })
}

/// Bytes a second: `"1MiB/s"`, or `"off"`.
pub(super) fn byte_rate<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    let expected = r#"a rate from "1KiB/s" to "1GiB/s", or "off""#;
    scalar(deserializer, expected, |value| match value {
        Scalar::Text("off") => Some(None),
        Scalar::Text(text) => {
            let rate: ByteSize = text.strip_suffix("/s")?.trim().parse().ok()?;
            let is_sound = (1 << 10..=1 << 30).contains(&rate.as_u64());
            let rate = u32::try_from(rate.as_u64()).ok();
            rate.filter(|_| is_sound).map(Some)
        }
        Scalar::Integer(_) => None,
    })
}

/// A size where leaving the key out means something else than any size.
pub(super) fn some_size<'de, D, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<Option<usize>, D::Error>
where
    D: Deserializer<'de>,
{
    size::<D, MIN, MAX>(deserializer).map(Some)
}

/// A whole number.
pub(super) fn count<'de, D, T, const MIN: u32, const MAX: u32>(
    deserializer: D,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<usize>,
{
    let expected = format!("a whole number from {MIN} to {MAX}");
    scalar(deserializer, expected, |value| match value {
        Scalar::Integer(number) => {
            let number = u32::try_from(number).ok()?;
            let number = (MIN..=MAX).contains(&number).then_some(number)?;
            T::try_from(usize::try_from(number).ok()?).ok()
        }
        Scalar::Text(_) => None,
    })
}

/// A whole number where leaving the key out means something else than any number.
pub(super) fn some_count<'de, D, T, const MIN: u32, const MAX: u32>(
    deserializer: D,
) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<usize>,
{
    count::<D, T, MIN, MAX>(deserializer).map(Some)
}

/// A socket address.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let expected = r#"an IP address and a port, like "127.0.0.1:8080""#;
    scalar(deserializer, expected, |value| match value {
        Scalar::Text(text) => text.parse().ok(),
        Scalar::Integer(_) => None,
    })
}

/// A socket address, or `"off"`.
pub(super) fn address_or_off<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let expected = r#"an IP address and a port, like "127.0.0.1:9090", or "off""#;
    scalar(deserializer, expected, |value| match value {
        Scalar::Text("off") => Some(None),
        Scalar::Text(text) => text.parse().ok().map(Some),
        Scalar::Integer(_) => None,
    })
}
