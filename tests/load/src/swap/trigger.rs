//! Ways to make a swap: the admin API, or another file in the watched place.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};

use crate::http;

/// How long a reload by the admin API may take.
const RELOAD_WITHIN: Duration = Duration::from_secs(30);

/// Makes one swap and says what came of it. It is called on a thread of its own and may block.
pub type Trigger = Box<dyn FnMut(&Order) -> Result<Outcome> + Send>;

/// The swap to make.
pub struct Order {
    /// The swap's number, from 1.
    pub number: u32,
    /// Whether it must be refused.
    pub bad: bool,
    newest: Arc<AtomicU64>,
}

/// What came of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This generation is in place.
    Swapped(u64),
    /// The last one stayed; the reason.
    Refused(String),
}

/// How a file comes into the watched place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Write {
    /// Written beside, then renamed over it: the watcher never sees half a file.
    Rename,
    /// Written over it, as a compiler does: the watcher may see half a file.
    InPlace,
}

/// Swaps by files.
#[derive(Clone, Debug)]
pub struct Files {
    /// Good files, taken in turn: two at least, else nothing would change.
    pub good: Vec<PathBuf>,
    /// Files that must be refused, taken in turn.
    pub bad: Vec<PathBuf>,
    /// The watched place.
    pub into: PathBuf,
    /// How they get there.
    pub write: Write,
    /// How long until a newer generation must have answered a client.
    pub seen_within: Duration,
    /// How long after a bad file no newer generation may answer.
    pub bad_for: Duration,
}

impl Order {
    pub(super) fn new(number: u32, bad: bool, newest: &Arc<AtomicU64>) -> Self {
        Self {
            number,
            bad,
            newest: Arc::clone(newest),
        }
    }

    /// The newest generation that has answered a client.
    #[must_use]
    pub fn newest_seen(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }
}

/// Swaps by `POST /plugins/PLUGIN/reload`. With `files`, the file comes first, and the reload is of it.
#[must_use]
pub fn admin(address: SocketAddr, plugin: &str, files: Option<Files>) -> Trigger {
    let path = format!("/plugins/{plugin}/reload");
    let mut place = files.map(Place::new);
    Box::new(move |order| {
        if let Some(place) = &mut place {
            place.put(order)?;
        }
        let response = http::request(address, "POST", &path, RELOAD_WITHIN)?;
        if !response.is_success() {
            let body: String = response.body.chars().take(200).collect();
            return Ok(Outcome::Refused(format!("{} {body}", response.status)));
        }
        let answer: serde_json::Value = serde_json::from_str(&response.body)
            .with_context(|| format!("the reload's answer is not JSON: {:?}", response.body))?;
        let generation = answer.get("generation").and_then(serde_json::Value::as_u64);
        let generation = generation
            .with_context(|| format!("the reload's answer has no \"generation\": {answer}"))?;
        Ok(Outcome::Swapped(generation))
    })
}

impl Files {
    /// Swaps by putting files into the watched place and waiting until a client sees the newer generation.
    #[must_use]
    pub fn trigger(self) -> Trigger {
        let (seen_within, bad_for) = (self.seen_within, self.bad_for);
        let mut place = Place::new(self);
        Box::new(move |order| {
            let before = order.newest_seen();
            ensure!(
                before > 0,
                "no client was answered before swap {}",
                order.number
            );
            place.put(order)?;
            let wait = if order.bad { bad_for } else { seen_within };
            let deadline = Instant::now() + wait;
            while Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
                let seen = order.newest_seen();
                if seen > before {
                    return Ok(Outcome::Swapped(seen));
                }
            }
            let path = place.files.into.display();
            Ok(Outcome::Refused(format!(
                "no newer generation answered within {wait:?} of writing {path}"
            )))
        })
    }
}

/// The watched place, and whose turn it is.
struct Place {
    files: Files,
    good_turn: usize,
    bad_turn: usize,
}

impl Place {
    fn new(files: Files) -> Self {
        Self {
            files,
            good_turn: 0,
            bad_turn: 0,
        }
    }

    fn put(&mut self, order: &Order) -> Result<()> {
        let (files, turn) = if order.bad {
            (&self.files.bad, &mut self.bad_turn)
        } else {
            (&self.files.good, &mut self.good_turn)
        };
        ensure!(
            !files.is_empty(),
            "swap {} has no file to put in place",
            order.number
        );
        let from = &files[*turn % files.len()];
        *turn += 1;
        self.copy(from)
    }

    fn copy(&self, from: &Path) -> Result<()> {
        let into = &self.files.into;
        let failed = || format!("failed to put {} into {}", from.display(), into.display());
        let bytes = fs::read(from).with_context(failed)?;
        match self.files.write {
            Write::InPlace => fs::write(into, bytes).with_context(failed),
            Write::Rename => {
                let mut beside = into.clone().into_os_string();
                beside.push(".new");
                fs::write(&beside, bytes).with_context(failed)?;
                fs::rename(&beside, into).with_context(failed)
            }
        }
    }
}
