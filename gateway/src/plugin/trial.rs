//! A generation is tried before it takes over: an instance of it is started, checked and thrown away. Such an instance
//! belongs to no shard.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::generation::Generation;
use super::instance::{Instance, StartError};
use crate::handler::Failure;

/// Starts an instance of a generation and runs its own self-check, if it has one (G4); then looks whether there is
/// room for one instance on each shard.
///
/// # Errors
/// When the instance does not start, its check refuses, or there is not enough room.
pub(super) async fn check(generation: &Generation) -> Result<(), CheckError> {
    {
        let _load = generation.engine().load().await;
        let mut instance = start(generation).await?;
        instance.on_load().await.map_err(CheckError::Refused)?;
    }
    let (places, instances) = (generation.places(), generation.engine().instances());
    let raised = generation.identity().reserve.raise(places);
    raised.map_err(|needed| CheckError::Places {
        places,
        instances,
        needed,
    })
}

/// What a generation's plugin says of its messages (`describer` of the contract): a JSON Schema. None if it does not
/// export that. It runs in an instance of its own, within `limits.load`.
///
/// # Errors
/// When the instance does not start, or the call fails.
pub async fn describe(generation: &Generation) -> Result<Option<String>, DescribeError> {
    let _load = generation.engine().load().await;
    let mut instance = start(generation).await?;
    instance.describe().await.map_err(DescribeError::Failed)
}

/// Starts an instance that shares its limits with no other. The caller is the one load that may have one.
async fn start(generation: &Generation) -> Result<Instance, StartError> {
    let requests = Arc::new(Semaphore::new(generation.limits().http_requests));
    Instance::start(generation, requests).await
}

/// Why a generation may not take over although it was linked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The first instance did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The plugin's own check failed.
    #[error("failed its self-check (on-load): {0}")]
    Refused(Failure),
    /// There are not enough places for one of its instances on each shard.
    #[error(
        "has {places} linear memories, and one instance of each plugin on each shard would take {needed} of the {instances} that `engine.instances` gives: raise it"
    )]
    Places {
        /// What one of its instances takes.
        places: usize,
        /// What there is.
        instances: u32,
        /// What there would have to be.
        needed: usize,
    },
}

/// Why a generation did not describe its messages.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// The instance did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The call failed.
    #[error("failed to describe its messages: {0}")]
    Failed(Failure),
}
