//! The thread that removes what has expired. Reads do not see it any more before that.

use crate::supervise;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::bucket::Bucket;

/// How often it looks. Watchers hear of an entry's end this late at most; reads do not depend on it.
const SWEEP: Duration = Duration::from_millis(250);

/// The thread that removes what has expired. Ends when dropped.
pub(super) struct Sweeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Sweeps those of the buckets in which entries expire; none if there are none.
    pub(super) fn start(buckets: impl Iterator<Item = Arc<Bucket>>) -> io::Result<Option<Self>> {
        let buckets: Vec<_> = buckets.filter(|bucket| bucket.expires()).collect();
        if buckets.is_empty() {
            return Ok(None);
        }
        let (stop, stopped) = channel::<()>();
        let sweep = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(SWEEP) {
                for bucket in &buckets {
                    // In steps, so that nobody waits long for the bucket.
                    while bucket.sweep() {}
                }
            }
            Ok(())
        };
        Ok(Some(Self {
            stop: Some(stop),
            thread: Some(supervise::thread("sweeper", sweep)?),
        }))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It has ended, and not by a panic.
            let _ = thread.join();
        }
    }
}
