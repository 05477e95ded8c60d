//! Values with a type.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Bucket, Result, StoreError};
use crate::bindings::wasi::keyvalue::atomics::{self, Cas, CasError};

/// How often an update is tried. Only events on other cores come in between, or on this one if the change takes more
/// than a millisecond, and each time one of them got through.
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
    /// The entry's value, if it has one.
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
    /// Errors of the store, and [`StoreError::Contended`] after 100 tries.
    pub fn update(&self, mut change: impl FnMut(Option<T>) -> T) -> Result<T> {
        self.try_update(|value| Ok(change(value)))
    }

    /// Like [`update`](Self::update), with a change that may refuse: nothing is written then, and its error returned.
    /// The error is a [`Fault`](crate::Fault) in a route, an [`Error`](crate::Error) elsewhere, or one of your own.
    ///
    /// ```no_run
    /// # use tidegate_sdk::{Fault, store};
    /// fn join(room: &str, name: &str) -> Result<Vec<String>, Fault> {
    ///     let rooms = store::bucket("rooms")?;
    ///     rooms.entry::<Vec<String>>(room).try_update(|members| {
    ///         let mut members = members.ok_or_else(|| Fault::new("not-found", "no such room"))?;
    ///         members.push(name.to_owned());
    ///         Ok(members)
    ///     })
    /// }
    /// ```
    pub fn try_update<E: From<StoreError>>(
        &self,
        mut change: impl FnMut(Option<T>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let (value, ()) = self.swap(|value| Ok::<_, E>((change(value)?, ())))?;
        Ok(value)
    }

    /// Changes the value where it is, or the default one if there is none; returns what `change` returns. Else it is like
    /// [`update`](Self::update).
    ///
    /// ```no_run
    /// # use std::collections::BTreeMap;
    /// # use tidegate_sdk::store;
    /// # fn win(name: String) -> tidegate_sdk::Result {
    /// let scores = store::bucket("scores")?;
    /// let score = scores.entry::<BTreeMap<String, u32>>("tea").change(|scores| {
    ///     let score = scores.entry(name.clone()).or_default();
    ///     *score += 1;
    ///     *score
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn change<R>(&self, mut change: impl FnMut(&mut T) -> R) -> Result<R>
    where
        T: Default,
    {
        self.try_change(|value| Ok(change(value)))
    }

    /// Like [`change`](Self::change), with a change that may refuse: nothing is written then, and its error returned, as
    /// with [`try_update`](Self::try_update). Where both are followed by `?`, the closure has to say which error it
    /// means: `|room| -> Result<_, Fault> { .. }`.
    pub fn try_change<R, E: From<StoreError>>(
        &self,
        mut change: impl FnMut(&mut T) -> std::result::Result<R, E>,
    ) -> std::result::Result<R, E>
    where
        T: Default,
    {
        let (_, returned) = self.swap(|value| {
            let mut value = value.unwrap_or_default();
            let returned = change(&mut value)?;
            Ok::<_, E>((value, returned))
        })?;
        Ok(returned)
    }

    /// Replaces the value by the one that `change` makes of it; returns both that it returns.
    fn swap<R, E: From<StoreError>>(
        &self,
        mut change: impl FnMut(Option<T>) -> std::result::Result<(T, R), E>,
    ) -> std::result::Result<(T, R), E> {
        let mut seen = Cas::new(&self.bucket.handle, self.key).map_err(StoreError::from)?;
        for _ in 0..TRIES {
            let value = seen.current().map_err(StoreError::from)?;
            let (value, returned) = change(decode(value)?)?;
            let bytes = serde_json::to_vec(&value).map_err(StoreError::from)?;
            match atomics::swap(seen, &bytes) {
                Ok(()) => return Ok((value, returned)),
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
