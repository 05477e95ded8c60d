//! What a guest may ask of the store: `wasi:keyvalue` 0.2.0-draft2.
//!
//! Reads and writes in memory never wait. A write that also goes to disk suspends the guest until
//! it is safe there. Store writes act at once, whatever becomes of the event (G10).

mod types;
mod watcher;

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::{
    ComponentNamedList, Lift, Linker, LinkerInstance, Lower, Resource, ResourceTable, ResourceType,
    WasmList, WasmStr,
};
use wasmtime::{Result, StoreContextMut};

use super::context::{Context, RESOURCES_MAX};
use crate::shard;
use crate::store::{Bucket, Receipt, Seen, StoreError, Swap};

pub(super) use watcher::{OnDelete, OnSet};

use types::{CasError, KeyResponse, KeyvalueError};

const STORE: &str = "wasi:keyvalue/store@0.2.0-draft2";
const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft2";
const BATCH: &str = "wasi:keyvalue/batch@0.2.0-draft2";

/// What the guest's `bucket` is here.
pub(super) type Handle = Arc<Bucket>;

/// What the guest's `cas` is here.
struct Cas {
    bucket: Handle,
    seen: Seen,
}

type Cx<'a> = StoreContextMut<'a, Context>;
type KeyvalueResult<T> = Result<T, KeyvalueError>;

/// Offers the store to guests. What is granted is looked at when a bucket is opened.
pub(super) fn add_to_linker(linker: &mut Linker<Context>) -> Result<()> {
    store(&mut linker.instance(STORE)?)?;
    atomics(&mut linker.instance(ATOMICS)?)?;
    batch(&mut linker.instance(BATCH)?)
}

fn store(store: &mut LinkerInstance<'_, Context>) -> Result<()> {
    resource::<Handle>(store, "bucket")?;
    store.func_wrap("open", |mut cx: Cx<'_>, (name,): (WasmStr,)| {
        let name = name.to_str(&cx)?.into_owned();
        Ok((open(cx.data_mut(), &name),))
    })?;
    store.func_wrap(
        "[method]bucket.get",
        |cx: Cx<'_>, (bucket, key): (Resource<Handle>, WasmStr)| {
            let value = bucket_of(&cx, &bucket)?.get(&key.to_str(&cx)?);
            Ok((KeyvalueResult::Ok(value),))
        },
    )?;
    write(
        store,
        "[method]bucket.set",
        |cx, (bucket, key, value): (Resource<Handle>, WasmStr, WasmList<u8>)| {
            let bucket = bucket_of(cx, &bucket)?;
            let value = Bytes::copy_from_slice(value.as_le_slice(cx));
            Ok(plain(bucket.set(key.to_str(cx)?.into(), value)))
        },
    )?;
    write(
        store,
        "[method]bucket.delete",
        |cx, (bucket, key): (Resource<Handle>, WasmStr)| {
            let bucket = bucket_of(cx, &bucket)?;
            Ok(plain(bucket.delete(key.to_str(cx)?.into())))
        },
    )?;
    store.func_wrap(
        "[method]bucket.exists",
        |cx: Cx<'_>, (bucket, key): (Resource<Handle>, WasmStr)| {
            let exists = bucket_of(&cx, &bucket)?.exists(&key.to_str(&cx)?);
            Ok((KeyvalueResult::Ok(exists),))
        },
    )?;
    store.func_wrap(
        "[method]bucket.list-keys",
        |cx: Cx<'_>, (bucket, cursor): (Resource<Handle>, Option<String>)| {
            let page = bucket_of(&cx, &bucket)?.page(cursor.as_deref());
            Ok((KeyvalueResult::Ok(KeyResponse::from(page)),))
        },
    )
}

fn atomics(atomics: &mut LinkerInstance<'_, Context>) -> Result<()> {
    resource::<Cas>(atomics, "cas")?;
    atomics.func_wrap(
        "[static]cas.new",
        |mut cx: Cx<'_>, (bucket, key): (Resource<Handle>, WasmStr)| {
            let bucket = bucket_of(&cx, &bucket)?.clone();
            let seen = bucket.see(key.to_str(&cx)?.into());
            Ok((push(&mut cx.data_mut().table, Cas { bucket, seen }),))
        },
    )?;
    atomics.func_wrap(
        "[method]cas.current",
        |cx: Cx<'_>, (cas,): (Resource<Cas>,)| {
            let value = cx.data().table.get(&cas)?.seen.value().cloned();
            Ok((KeyvalueResult::Ok(value),))
        },
    )?;
    write(
        atomics,
        "increment",
        |cx, (bucket, key, delta): (Resource<Handle>, WasmStr, i64)| {
            let bucket = bucket_of(cx, &bucket)?;
            Ok(bucket.increment(key.to_str(cx)?.into(), delta))
        },
    )?;
    atomics.func_wrap_async(
        "swap",
        |mut cx: Cx<'_>, (cas, value): (Resource<Cas>, WasmList<u8>)| {
            let value = Bytes::copy_from_slice(value.as_le_slice(&cx));
            let swapped = swap(cx.data_mut(), cas, value);
            Box::new(async move {
                Ok((match swapped? {
                    Ok(pending) => pending
                        .done()
                        .await
                        .map_err(|error| CasError::Store(error.into())),
                    Err(error) => Err(error),
                },))
            })
        },
    )
}

fn batch(batch: &mut LinkerInstance<'_, Context>) -> Result<()> {
    batch.func_wrap(
        "get-many",
        |cx: Cx<'_>, (bucket, keys): (Resource<Handle>, Vec<String>)| {
            let values = bucket_of(&cx, &bucket)?.get_many(&keys);
            let pairs = values.map(|values| keys.into_iter().zip(values).collect::<Vec<_>>());
            Ok((pairs.map_err(KeyvalueError::from),))
        },
    )?;
    write(
        batch,
        "set-many",
        |cx, (bucket, pairs): (Resource<Handle>, Vec<(String, Bytes)>)| {
            let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value));
            Ok(plain(bucket_of(cx, &bucket)?.set_many(pairs.collect())))
        },
    )?;
    write(
        batch,
        "delete-many",
        |cx, (bucket, keys): (Resource<Handle>, Vec<String>)| {
            let keys = keys.into_iter().map(Into::into).collect();
            Ok(plain(bucket_of(cx, &bucket)?.delete_many(keys)))
        },
    )
}

/// A resource of the guest's that is a `T` in the table.
fn resource<T: Send + 'static>(
    instance: &mut LinkerInstance<'_, Context>,
    name: &str,
) -> Result<()> {
    instance.resource(name, ResourceType::host::<T>(), |mut cx, rep| {
        cx.data_mut().table.delete(Resource::<T>::new_own(rep))?;
        Ok(())
    })
}

/// A function that writes: it is done in memory at once, and answered when it is safe on disk.
fn write<P, T>(
    instance: &mut LinkerInstance<'_, Context>,
    name: &str,
    write: impl Fn(&Cx<'_>, P) -> Result<Result<(T, Receipt), StoreError>> + Send + Sync + 'static,
) -> Result<()>
where
    P: ComponentNamedList + Lift + 'static,
    T: Lower + Send + 'static,
    (KeyvalueResult<T>,): ComponentNamedList + Lower,
{
    instance.func_wrap_async(name, move |cx: Cx<'_>, params: P| {
        let written = match may_write() {
            true => write(&cx, params).map(|written| written.map_err(KeyvalueError::from)),
            false => Ok(Err(KeyvalueError::Other(CHECKED.to_owned()))),
        };
        Box::new(async move {
            Ok((match written? {
                Ok((answer, pending)) => pending
                    .done()
                    .await
                    .map(|()| answer)
                    .map_err(KeyvalueError::from),
                Err(error) => Err(error),
            },))
        })
    })
}

/// What a guest is told that writes while it is being checked.
const CHECKED: &str = "nothing is written in on-load: the generation has not taken over yet";

/// Whether writes count: a generation that is being checked runs on no shard.
fn may_write() -> bool {
    shard::with_current(|shard| shard.is_some())
}

fn plain(pending: Result<Receipt, StoreError>) -> Result<((), Receipt), StoreError> {
    pending.map(|pending| ((), pending))
}

fn open(context: &mut Context, name: &str) -> KeyvalueResult<Resource<Handle>> {
    let bucket = context
        .store()
        .bucket(name)
        .ok_or(KeyvalueError::NoSuchStore)?;
    if !context.grants.store.iter().any(|granted| granted == name) {
        return Err(KeyvalueError::AccessDenied);
    }
    let bucket = bucket.clone();
    push(&mut context.table, bucket)
}

fn push<T: Send + 'static>(table: &mut ResourceTable, value: T) -> KeyvalueResult<Resource<T>> {
    table.push(value).map_err(|_| {
        KeyvalueError::Other(format!(
            "the instance holds {RESOURCES_MAX} handles already: drop those of buckets that are no longer needed"
        ))
    })
}

fn bucket_of<'a>(cx: &'a Cx<'_>, bucket: &Resource<Handle>) -> Result<&'a Handle> {
    Ok(cx.data().table.get(bucket)?)
}

/// Outside is a handle that the guest does not hold; inside what it is told.
fn swap(
    context: &mut Context,
    cas: Resource<Cas>,
    value: Bytes,
) -> Result<Result<Receipt, CasError>> {
    let Cas { bucket, seen } = context.table.delete(cas)?;
    if !may_write() {
        return Ok(Err(CasError::Store(KeyvalueError::Other(
            CHECKED.to_owned(),
        ))));
    }
    Ok(match bucket.swap(&seen, value) {
        Ok(Swap::Done(pending)) => Ok(pending),
        Ok(Swap::Changed(seen)) => Err(match push(&mut context.table, Cas { bucket, seen }) {
            Ok(fresh) => CasError::Failed(fresh),
            Err(error) => CasError::Store(error),
        }),
        Err(error) => Err(CasError::Store(error.into())),
    })
}
