//! Configuration: what `[plugin.config]` of the gateway's configuration says.
//!
//! ```toml
//! [plugin.config]
//! greeting = "hello"
//! history = 50
//! tick = "15s"
//! ```
//!
//! All values come as text. They are those the gateway was started with; a reload of the plugin does not read them anew.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use tidegate_sdk::{Result, config};
//! # fn on_load() -> Result {
//! let greeting = config::get("greeting").unwrap_or_else(|| "welcome".to_owned());
//! let history: usize = config::parse("history")?.unwrap_or(100);
//! let tick = config::duration("tick")?.unwrap_or(Duration::from_secs(30));
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use crate::bindings::wasi::config::store;
use crate::{Result, error};

/// The value of a key, as text: `50` and `true` come as `"50"` and `"true"`.
pub fn get(key: &str) -> Option<String> {
    // The gateway has them in memory, so there is no error of the standard's two to have.
    store::get(key).ok().flatten()
}

/// The value of a key, read as a `T`; none if the key is not there. The error names the key and the value. Called in
/// [`Handler::on_load`](crate::Handler::on_load) it refuses a configuration that is wrong before clients meet it.
pub fn parse<T>(key: &str) -> Result<Option<T>>
where
    T: FromStr,
    T::Err: Display,
{
    get(key).map(|value| read(key, &value)).transpose()
}

/// The value of a key, read as a duration written like the gateway's own, such as `"500ms"` or `"2m"`; none if the key is
/// not there. A bare number other than 0 is refused: nobody remembers whether it was seconds or milliseconds.
pub fn duration(key: &str) -> Result<Option<Duration>> {
    let duration = parse::<humantime::Duration>(key)?;
    Ok(duration.map(Duration::from))
}

/// All values by key.
pub fn all() -> BTreeMap<String, String> {
    store::get_all()
        .map(BTreeMap::from_iter)
        .unwrap_or_default()
}

fn read<T>(key: &str, value: &str) -> Result<T>
where
    T: FromStr,
    T::Err: Display,
{
    value
        .parse()
        .map_err(|why| error!("{key:?} in [plugin.config] is {value:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_does_not_parse_is_named_with_its_key() {
        assert_eq!(read::<u16>("port", "80").unwrap(), 80);
        assert_eq!(
            read::<u16>("port", "http").unwrap_err().to_string(),
            r#""port" in [plugin.config] is "http": invalid digit found in string"#
        );
        let error = read::<humantime::Duration>("tick", "15").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#""tick" in [plugin.config] is "15": time unit needed, for example 15sec or 15ms"#
        );
    }
}
