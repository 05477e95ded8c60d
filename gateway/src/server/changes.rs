//! Tells a plugin of changes in the buckets that it watches: on its home shard, one at a time and
//! in order. Each is an event without a connection.

use std::rc::Rc;
use std::sync::Arc;

use crate::handler::{Event, Handler};
use crate::shard::Shard;
use crate::store::Changes;

/// Tells the plugin `owner` of all its changes. Never ends.
pub(super) async fn tell<H: Handler>(
    shard: Rc<Shard>,
    owner: usize,
    handler: H,
    changes: Arc<Changes>,
) {
    let mut event = Box::<Event>::default();
    loop {
        let change = changes.next().await;
        shard.counters().events.count("change");
        match handler.change(&mut event, &change).await {
            Ok(()) => event.commit(&shard, owner),
            Err(failure) => {
                event.discard();
                shard.counters().failures.count(failure.name());
                if shard.may_log_failure() {
                    let (bucket, key) = (change.bucket.name(), &*change.key);
                    let generation = event.generation;
                    tracing::warn!(event = "change", bucket, key, generation, "{failure}");
                }
            }
        }
        event.reset();
        // A plugin that writes where it watches never runs out of changes: others go first.
        tokio::task::yield_now().await;
    }
}
