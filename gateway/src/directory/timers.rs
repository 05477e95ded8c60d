//! The names of the timers that plugins have set for themselves, so that every shard can tell
//! whether there is room for one more.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The plugins' own timers in the whole process. They are set and cleared by the shard on which
/// they live; events that run on several shards at once may each be told that there is room, and
/// exceed the limit by what they set.
#[derive(Debug, Default)]
pub struct PluginTimers {
    /// By the plugin's index. A std mutex: it is held for a map access, never across an await.
    names: Mutex<HashMap<usize, HashSet<Box<str>>>>,
}

impl PluginTimers {
    /// Whether a plugin may set one more timer, of that name, beside those it has and `added`, if it
    /// may have `max`.
    pub fn has_room(&self, owner: usize, name: &str, added: usize, max: usize) -> bool {
        let names = self.lock();
        let names = names.get(&owner);
        names.map_or(0, HashSet::len) + added < max
            || names.is_some_and(|names| names.contains(name))
    }

    /// A timer was set.
    pub fn add(&self, owner: usize, name: &str) {
        self.lock().entry(owner).or_default().insert(name.into());
    }

    /// A timer was cleared, or has fired for the last time.
    pub fn remove(&self, owner: usize, name: &str) {
        if let Some(names) = self.lock().get_mut(&owner) {
            names.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, HashSet<Box<str>>>> {
        // Nothing in here panics while it holds the lock, so a poisoned map is still whole.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_has_room_at_the_limit() {
        let timers = PluginTimers::default();
        assert!(!timers.has_room(0, "a", 0, 0));
        assert!(timers.has_room(0, "a", 0, 1));
        timers.add(0, "a");
        assert!(timers.has_room(0, "a", 0, 1));
        assert!(!timers.has_room(0, "b", 0, 1));
        assert!(timers.has_room(1, "b", 0, 1));
        assert!(!timers.has_room(1, "b", 1, 1));
        timers.remove(0, "a");
        assert!(timers.has_room(0, "b", 0, 1));
    }
}
