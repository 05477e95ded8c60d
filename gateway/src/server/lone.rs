//! Events that are no connection's: a plugin's own timers, and changes in the buckets that it watches.
//! Each plugin has them on one shard; its timers come one at a time and in order, and so do changes.

use std::rc::Rc;
use std::sync::Arc;

use crate::dispatch::failed;
use crate::event::Event;
use crate::handler::{Failure, Handler};
use crate::labels::{EventKind, Label};
use crate::shard::Shard;
use crate::store::Changes;

/// A plugin's handler for events without a connection.
pub(super) struct Lone<H> {
    shard: Rc<Shard>,
    handler: H,
    /// The plugin, as an index into the configuration.
    owner: usize,
}

impl<H: Handler> Lone<H> {
    pub(super) fn new(shard: Rc<Shard>, handler: H, owner: usize) -> Rc<Self> {
        Rc::new(Self {
            shard,
            handler,
            owner,
        })
    }

    /// Handles the plugin's own timers, for ever.
    pub(super) async fn tend_timers(self: Rc<Self>) {
        let mut event = Box::new(Event::default());
        loop {
            let name = self.shard.next_timer(self.owner).await;
            self.shard.counters().events.count(EventKind::Timer);
            let result = self.handler.timer(&mut event, self.owner, &name).await;
            self.settle(EventKind::Timer, &mut event, result);
            // A thousand may have fired at once: others go first.
            tokio::task::yield_now().await;
        }
    }

    /// Tells the plugin of what changes in the buckets that it watches, for ever.
    pub(super) async fn tell_changes(self: Rc<Self>, changes: Arc<Changes>) {
        let mut event = Box::new(Event::default());
        loop {
            let change = changes.next().await;
            self.shard.counters().events.count(EventKind::Change);
            let result = self.handler.change(&mut event, &change).await;
            self.settle(EventKind::Change, &mut event, result);
            // A plugin that writes where it watches never runs out of changes: others go first.
            tokio::task::yield_now().await;
        }
    }

    /// Puts into force what the handler did, unless it failed.
    fn settle(&self, kind: EventKind, event: &mut Event, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.shard.commit(event),
            Err(failure) => {
                event.discard();
                failed(&self.shard, kind.name(), event, &failure);
            }
        }
        event.reset();
    }
}
