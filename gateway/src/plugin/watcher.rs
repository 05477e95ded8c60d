//! Reloads plugins whose files have changed.
//!
//! Folders are watched, not files: editors and deploys put a new file in the old one's place, and a
//! watch on a file would stay with the old one. Folders are replaced too, or are links that a deploy
//! swaps, so those in which that happens are watched as well. What an event says is not trusted
//! either; the file's own stamp is looked at.
//!
//! Events do not come from everywhere: not for a file that is a mount of its own, not from another
//! machine's file system, not once the system has no watches left. So the stamp is looked at now
//! and then too. All of it happens on a thread of its own, and each look on one that may hang.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::registry::{Registry, ReloadError};
use super::stamp::Stamp;
use crate::supervise;

mod folders;

use folders::Folders;

/// A burst of events is one change: so long nothing must happen to the file.
const QUIET: Duration = Duration::from_millis(10);
/// A file that is written all the time is tried after this all the same.
const QUIET_MAX: Duration = Duration::from_secs(1);
/// How long a start waits for the first looks. Who has a disk that hangs is served without.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// Watches the files of all plugins that ask for it, until dropped.
pub struct Watch {
    _stop: Option<oneshot::Sender<()>>,
}

/// Starts watching, on a thread of its own; the loads happen on the loader's. What cannot be watched
/// is looked at now and then only, and the log says so.
pub fn watch(registry: &Arc<Registry>) -> io::Result<Watch> {
    let plugins = registry.plugins().iter().enumerate();
    let watched: Vec<_> = plugins
        .filter(|(_, plugin)| plugin.is_watched())
        .map(|(index, _)| index)
        .collect();
    if watched.is_empty() {
        return Ok(Watch { _stop: None });
    }
    // A hung look holds one thread, and each plugin has one look at a time.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(watched.len())
        .enable_time()
        .build()?;
    let (stop, stopped) = oneshot::channel();
    let registry = registry.clone();
    // What changes once this has returned must be noticed, so each file is looked at before.
    let looks = watched.len();
    let (looked, has_looked) = std::sync::mpsc::channel();
    supervise::thread("watcher", move || {
        let work = async move {
            follow_all(&registry, &watched, &looked);
            // What ends is the sender's life.
            let _ = stopped.await;
        };
        tokio::task::LocalSet::new().block_on(&runtime, work);
        runtime.shutdown_background();
        Ok(())
    })?;
    let deadline = std::time::Instant::now() + FIRST_LOOK;
    for _ in 0..looks {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        if has_looked.recv_timeout(left).is_err() {
            tracing::warn!(
                "a plugin's file cannot be looked at yet: its file system does not answer"
            );
            break;
        }
    }
    Ok(Watch { _stop: Some(stop) })
}

/// Follows the files of these plugins, each in a task; each says when it has looked once.
fn follow_all(registry: &Arc<Registry>, plugins: &[usize], looked: &std::sync::mpsc::Sender<()>) {
    // One place is enough: what matters is that something happened, not how often.
    let (senders, events): (Vec<_>, Vec<_>) = plugins.iter().map(|_| mpsc::channel(1)).unzip();
    let to = senders.clone();
    let folders = Arc::new(Folders::new(move || {
        for sender in &to {
            let _ = sender.try_send(());
        }
    }));
    for ((&index, events), sender) in plugins.iter().zip(events).zip(senders) {
        let plugin = &registry.plugins()[index];
        let file = File {
            path: plugin.path().clone(),
            folders: folders.clone(),
            events,
            _sender: sender,
            poll: plugin.poll(),
            is_covered: true,
        };
        supervise::lasting(
            "watcher",
            follow(registry.clone(), index, file, looked.clone()),
        );
    }
}

/// A plugin's file.
struct File {
    path: PathBuf,
    folders: Arc<Folders>,
    events: mpsc::Receiver<()>,
    /// Where no watcher has one, so that the events never end.
    _sender: mpsc::Sender<()>,
    /// How long without an event until it is looked at all the same; zero for never.
    poll: Duration,
    /// Whether all that can happen to it is noticed.
    is_covered: bool,
}

impl File {
    /// The file's stamp now. Sees to it first that whatever happens after this is noticed.
    async fn look(&mut self) -> Option<Stamp> {
        let (path, folders) = (self.path.clone(), self.folders.clone());
        let look = move || (folders.cover(&path), Stamp::of(&path));
        let (covered, stamp) = tokio::task::spawn_blocking(look).await.ok()?;
        let was_covered = std::mem::replace(&mut self.is_covered, covered.is_ok());
        if let Err(error) = covered
            && was_covered
        {
            let path = self.path.display();
            tracing::warn!(%path, "failed to watch a folder: {error}; the file is looked at now and then only (`poll`): raise the sysctl fs.inotify.max_user_watches");
        }
        stamp
    }

    /// Waits until something may have happened to it.
    async fn may_have_changed(&mut self) {
        // The events never end, as the sender is here.
        match self.poll.is_zero() {
            true => drop(self.events.recv().await),
            // No event in time is a reason to look too.
            false => drop(tokio::time::timeout(self.poll, self.events.recv()).await),
        }
    }

    /// Waits until nothing has happened to it for a while; returns its stamp then.
    async fn settle(&mut self) -> Option<Stamp> {
        let begun = Instant::now();
        let (mut seen, mut since) = (self.look().await, Instant::now());
        while since.elapsed() < QUIET && begun.elapsed() < QUIET_MAX {
            // An event may be an old one of this file, or another file's: only the stamp tells.
            let _ = tokio::time::timeout_at(since + QUIET, self.events.recv()).await;
            let now = self.look().await;
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
        seen
    }
}

/// Reloads one plugin whenever its file has changed and come to rest.
async fn follow(
    registry: Arc<Registry>,
    index: usize,
    mut file: File,
    looked: std::sync::mpsc::Sender<()>,
) {
    let mut seen = file.look().await;
    // A start that has waited long enough does not wait any more.
    let _ = looked.send(());
    drop(looked);
    loop {
        file.may_have_changed().await;
        if file.look().await == seen {
            continue;
        }
        seen = file.settle().await;
        let plugin = &*registry.plugins()[index].name().clone();
        if seen.is_none() {
            tracing::warn!(plugin, path = %file.path.display(), "the file is gone; the generation in place stays");
            continue;
        }
        match registry.reload(index, true).await {
            // The next look tries it again.
            Err(ReloadError::Load(error)) if error.may_pass() => seen = None,
            // Any other refusal is in the log and the plugin's status. With too many callers a load
            // is waiting that sees what was seen here.
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn file(folder: &Path) -> File {
        let path = folder.join("plugin.wasm");
        fs::write(&path, "half").unwrap();
        let (sender, events) = mpsc::channel(1);
        File {
            path,
            folders: Arc::new(Folders::new(|| {})),
            events,
            _sender: sender,
            poll: Duration::from_millis(1),
            is_covered: true,
        }
    }

    #[tokio::test]
    async fn events_that_change_nothing_do_not_end_the_quiet() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = file(folder.path());
        file._sender.try_send(()).unwrap();
        let begun = Instant::now();
        let seen = file.settle().await;
        assert!(begun.elapsed() >= QUIET);
        assert_eq!(seen, Stamp::of(&file.path));
    }

    #[tokio::test]
    async fn a_file_of_the_same_length_and_time_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = file(folder.path());
        let written = fs::metadata(&file.path).unwrap().modified().unwrap();
        let seen = file.look().await;
        // Older kernels' clock of files moves every few milliseconds only.
        tokio::time::sleep(QUIET).await;
        let same = fs::File::options().write(true).open(&file.path).unwrap();
        std::io::Write::write_all(&mut &same, b"flah").unwrap();
        same.set_modified(written).unwrap();
        drop(same);
        let metadata = fs::metadata(&file.path).unwrap();
        assert_eq!(metadata.modified().unwrap(), written);
        assert_ne!(file.look().await, seen);
    }

    #[tokio::test]
    async fn without_events_the_file_is_looked_at_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = file(folder.path());
        file.may_have_changed().await;
    }
}
