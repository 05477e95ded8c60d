//! What one step of a connection came to.

use crate::close::CloseCause;

/// What became of a connection for which something was handled.
pub(super) enum Step {
    /// The connection has read all there was.
    Idle,
    /// There may be more to read, but it is others' turn.
    More,
    /// The connection is to end.
    Ended(Ended),
}

/// How a connection has ended.
pub(super) struct Ended {
    pub(super) cause: CloseCause,
    /// The peer's close frame came behind the bytes that ended the connection.
    pub(super) has_parted: bool,
}

impl From<CloseCause> for Ended {
    fn from(cause: CloseCause) -> Self {
        Self {
            cause,
            has_parted: false,
        }
    }
}
