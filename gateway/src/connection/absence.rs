//! Whether somebody is still there for what a connection is about to handle.

use super::Connection;
use crate::close::CloseCause;
use crate::handler::Handler;
use crate::shard::{Presence, SCRATCH_SIZE};

impl<H: Handler> Connection<H> {
    /// Looks whether the peer is still there, after events that took long: what it sent may wait
    /// for minutes of a core's time, and nobody be there for the answers. `rest` is what comes next
    /// of what was read.
    pub(super) fn look_for_peer(&mut self, rest: &[u8]) -> Option<CloseCause> {
        let has_failed = self.events.take_fault();
        let shard = self.events.shard();
        match shard.presence(self.events.seat) {
            Presence::Gone => Some(CloseCause::Lost("reset".to_owned())),
            // It may have said all it has to say, and then closed in form: then that counts.
            Presence::Parted if has_failed => {
                let mut bytes = vec![0; rest.len() + SCRATCH_SIZE];
                let (head, behind) = bytes.split_at_mut(rest.len());
                head.copy_from_slice(rest);
                let n = shard.peek(self.events.seat, behind);
                let is_all = n < behind.len();
                let closes = self.reader.is_closed_by(&bytes[..rest.len() + n]);
                (is_all && !closes)
                    .then(|| CloseCause::Lost("ended without a close frame".to_owned()))
            }
            Presence::Parted | Presence::Here => None,
        }
    }
}
