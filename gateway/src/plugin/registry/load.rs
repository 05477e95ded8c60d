//! A load that somebody has asked for.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Reload;
use crate::plugin::load::LoadError;

/// What a load came to; whoever asked for it while it waited has the same answer.
pub(super) type LoadOutcome = Result<Reload, Arc<LoadError>>;

/// A load that was asked for.
pub(super) struct Load {
    pub(super) only_changes: bool,
    pub(super) requested: Instant,
    pub(super) answer: oneshot::Sender<LoadOutcome>,
}
