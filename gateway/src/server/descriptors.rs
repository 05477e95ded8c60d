//! The descriptors that the process may have, and how many of them clients may take.

use std::os::fd::{AsRawFd, RawFd};

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that no client gets: for the admin side's sockets, loads, the store and plugins'
/// requests. Where there are few in all, a quarter of them.
const RESERVED: u64 = 128;

/// Which descriptors clients' sockets may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors {
    /// The first that they may not; none if the system sets no limit.
    end: Option<u64>,
}

impl Descriptors {
    /// Raises the process's limit as far as it may, and warns if `connections` do not fit.
    pub(super) fn claim(connections: usize) -> Self {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!("failed to raise the limit of open files: {error}");
        }
        let descriptors = Self::of(getrlimit(Resource::Nofile).current);
        if let Some(end) = descriptors.end.filter(|&end| (connections as u64) > end) {
            tracing::warn!(
                "\"connections\" in [server] is {connections}, but the system lets this process have sockets for some {end}: raise its limit of open files (ulimit -n, LimitNOFILE), or lower \"connections\""
            );
        }
        descriptors
    }

    fn of(limit: Option<u64>) -> Self {
        Self {
            end: limit.map(|limit| limit - RESERVED.min(limit / 4)),
        }
    }

    /// Whether a socket of a client may be kept. The system gives the lowest number that is free, so
    /// one beyond the end says that as many are in use.
    pub(super) fn allow(self, socket: &impl AsRawFd) -> bool {
        self.allows(socket.as_raw_fd())
    }

    fn allows(self, number: RawFd) -> bool {
        let number = u64::try_from(number).unwrap_or(0);
        self.end.is_none_or(|end| number < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_kept_for_the_gateway_itself() {
        for (limit, last) in [(Some(64), 47), (Some(1024), 895), (Some(1 << 20), 1048447)] {
            let descriptors = Descriptors::of(limit);
            assert!(descriptors.allows(last), "{limit:?}");
            assert!(!descriptors.allows(last + 1), "{limit:?}");
        }
        assert!(Descriptors::of(None).allows(RawFd::MAX));
    }
}
