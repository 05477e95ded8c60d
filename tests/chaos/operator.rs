//! What happens to the gateway itself meanwhile: reloads, rollbacks, a log that nobody reads, a disk
//! that is full.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::dice::Dice;
use crate::gateway::Gateway;
use crate::guests;

/// Does one thing after another until it is told to stop; returns how many.
pub async fn operate(gateway: &Gateway, stop: &AtomicBool, mut dice: Dice) -> u64 {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        match dice.below(4) {
            0 => reload(gateway, done).await,
            1 => {
                // The first generation has none before it.
                gateway.rollback().await;
            }
            2 => {
                gateway.hold_log(true);
                moments(&mut dice).await;
                gateway.hold_log(false);
            }
            _ => {
                fill_disk(gateway, true);
                moments(&mut dice).await;
                fill_disk(gateway, false);
            }
        }
        done += 1;
        moments(&mut dice).await;
    }
    done
}

/// Loads the same component under another digest.
async fn reload(gateway: &Gateway, number: u64) {
    let mut bytes = guests::bytes("chaos");
    // A custom section: its id, its length, its name and what it holds.
    bytes.extend([0, 10, 1, b'n']);
    bytes.extend(number.to_le_bytes());
    gateway.put(&bytes);
    gateway.reload().await;
}

/// Lets files grow no further, as on a full disk, or as far as they like.
fn fill_disk(gateway: &Gateway, full: bool) {
    let pid = Pid::from_raw(gateway.pid() as i32).expect("a process has a number");
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit {
        current: if full { Some(4096) } else { maximum },
        maximum,
    };
    prlimit(Some(pid), Resource::Fsize, limit).expect("a child's limit can be set");
}

async fn moments(dice: &mut Dice) {
    tokio::time::sleep(Duration::from_millis(200 + dice.below(1000) as u64)).await;
}
