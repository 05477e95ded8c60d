//! Values with a type.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Bucket, Result, StoreError};
use crate::bindings::wasi::keyvalue::atomics::{self, Cas, CasError};

/// How often an update is tried. Only events on other cores come in between, and each time one of them got through.
const TRIES: u32 = 100;

/// A key of a bucket whose value is a `T` in JSON.
///
/// ```no_run
/// # use tidegate_sdk::store;
/// # fn count() -> tidegate_sdk::Result {
/// let scores = store::bucket("scores")?;
/// let ada = scores.entry::<Vec<u32>>("ada");
/// ada.set(&vec![7, 9])?;
/// let all = ada.update(|scores| {
///     let mut scores = scores.unwrap_or_default();
///     scores.push(11);
///     scores
/// })?;
/// assert_eq!(all, [7, 9, 11]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Entry<'a, T> {
    bucket: &'a Bucket,
    key: &'a str,
    value: PhantomData<fn() -> T>,
}

impl<'a, T> Entry<'a, T> {
    pub(super) fn new(bucket: &'a Bucket, key: &'a str) -> Self {
        Self {
            bucket,
            key,
            value: PhantomData,
        }
    }

    /// Removes it; without it nothing happens.
    pub fn delete(&self) -> Result {
        self.bucket.delete(self.key)
    }
}

impl<T: DeserializeOwned> Entry<'_, T> {
    /// Its value, if it has one.
    pub fn get(&self) -> Result<Option<T>> {
        decode(self.bucket.get(self.key)?)
    }
}

impl<T: Serialize> Entry<'_, T> {
    /// Sets its value.
    pub fn set(&self, value: &T) -> Result {
        self.bucket.set(self.key, serde_json::to_vec(value)?)
    }
}

impl<T: Serialize + DeserializeOwned> Entry<'_, T> {
    /// Replaces the value by what `change` makes of it; returns the new one. No other event comes in between: if one
    /// has changed the value meanwhile, `change` is called again with that.
    ///
    /// # Errors
    /// Those of the store, and [`StoreError::Contended`] after 100 tries.
    pub fn update(&self, mut change: impl FnMut(Option<T>) -> T) -> Result<T> {
        self.change(|value| Ok(change(value)))
    }

    /// Like [`update`](Self::update), with a change that may refuse: nothing is written then, and its error returned.
    ///
    /// ```no_run
    /// # use tidegate_sdk::{error, store};
    /// # fn join() -> tidegate_sdk::Result {
    /// let rooms = store::bucket("rooms")?;
    /// rooms.entry::<Vec<String>>("tea").try_update(|members| {
    ///     let mut members = members.ok_or_else(|| error!("no room called tea"))?;
    ///     members.push("ada".to_owned());
    ///     Ok(members)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_update(
        &self,
        change: impl FnMut(Option<T>) -> crate::Result<T>,
    ) -> crate::Result<T> {
        self.change(change)
    }

    fn change<E: From<StoreError>>(
        &self,
        mut change: impl FnMut(Option<T>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut seen = Cas::new(&self.bucket.handle, self.key).map_err(StoreError::from)?;
        for _ in 0..TRIES {
            let value = seen.current().map_err(StoreError::from)?;
            let value = change(decode(value)?)?;
            let bytes = serde_json::to_vec(&value).map_err(StoreError::from)?;
            match atomics::swap(seen, &bytes) {
                Ok(()) => return Ok(value),
                Err(CasError::CasFailed(fresh)) => seen = fresh,
                Err(CasError::StoreError(error)) => return Err(StoreError::from(error).into()),
            }
        }
        Err(StoreError::Contended(TRIES).into())
    }
}

fn decode<T: DeserializeOwned>(value: Option<Vec<u8>>) -> Result<Option<T>> {
    let decoded = value.map(|value| serde_json::from_slice(&value));
    Ok(decoded.transpose()?)
}
