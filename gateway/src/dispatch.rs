//! Running an event: what becomes of one that failed.

use crate::event::Event;
use crate::handler::Failure;
use crate::shard::Shard;

/// Counts an event that failed, and logs it if that may be.
pub fn failed(shard: &Shard, name: &'static str, event: &Event, failure: &Failure) {
    shard.counters().failures.count(failure.kind());
    if !shard.may_log_failure(event.owner) {
        return;
    }
    let generation = event.generation;
    match event.connection() {
        Some(connection) => {
            tracing::warn!(%connection, event = name, generation, "{failure}");
        }
        None => tracing::warn!(event = name, generation, "{failure}"),
    }
}
