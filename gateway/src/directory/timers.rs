//! The names of the timers that plugins have set for themselves, so that every shard can tell
//! whether there is room for one more.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The plugins' own timers in the whole process. They live on one shard each; the shard whose event
/// sets one takes its name here first, so that no number of events on other shards exceeds the limit.
#[derive(Debug, Default)]
pub struct PluginTimers {
    /// By the plugin's index. A std mutex: it is held for a map access, never across an await.
    names: Mutex<HashMap<usize, HashSet<Box<str>>>>,
}

impl PluginTimers {
    /// Whether a plugin may set one more timer beside those it has and `added`, if it may have `max`.
    pub fn has_room(&self, owner: usize, added: isize, max: usize) -> bool {
        let count = self.lock().get(&owner).map_or(0, HashSet::len);
        count.saturating_add_signed(added) < max
    }

    /// Whether a plugin has a timer of that name.
    pub fn is_set(&self, owner: usize, name: &str) -> bool {
        let names = self.lock();
        names.get(&owner).is_some_and(|names| names.contains(name))
    }

    /// Takes a name for a timer that is to be set, if a plugin that may have `max` has room for it;
    /// returns whether it has.
    pub fn add(&self, owner: usize, name: &str, max: usize) -> bool {
        let mut owners = self.lock();
        let names = owners.entry(owner).or_default();
        let has_room = names.len() < max || names.contains(name);
        if has_room && !names.contains(name) {
            names.insert(name.into());
        }
        has_room
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
    fn each_plugin_has_room_of_its_own() {
        let timers = PluginTimers::default();
        assert!(!timers.has_room(0, 0, 0));
        assert!(timers.has_room(0, 0, 1));
        assert!(timers.add(0, "a", 1) && timers.add(0, "a", 1));
        assert!(!timers.add(0, "b", 1));
        assert!(timers.is_set(0, "a") && !timers.is_set(1, "a"));
        assert!(!timers.has_room(0, 0, 1));
        assert!(timers.has_room(0, -1, 1));
        assert!(timers.has_room(1, 0, 1));
        assert!(!timers.has_room(1, 1, 1));
        timers.remove(0, "a");
        assert!(timers.has_room(0, 0, 1));
    }
}
