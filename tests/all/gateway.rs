//! A gateway process of a test's own, on ports the system picks, stopped with the test.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::PATIENCE;
use crate::client::{Client, Raw, Response, http};

mod setup;

pub use setup::Setup;

/// A running gateway.
pub struct Gateway {
    child: Child,
    folder: TempDir,
    plugin: String,
    /// The public address.
    pub address: SocketAddr,
    /// The admin address.
    pub admin: SocketAddr,
    log: Arc<Mutex<String>>,
    /// Whether what the process logs is left unread.
    held: Arc<AtomicBool>,
}

impl Gateway {
    /// A gateway with one plugin, of that fixture's component, for every path.
    pub fn with(fixture: &str) -> Setup {
        Setup::of(fixture)
    }

    /// The component the plugin is loaded from: a copy of the fixture that the test may change.
    pub fn component(&self) -> PathBuf {
        self.folder.path().join("plugin.wasm")
    }

    /// Puts other bytes in the component's place, in one step.
    pub fn put(&self, bytes: &[u8]) {
        let beside = self.folder.path().join("plugin.wasm.new");
        std::fs::write(&beside, bytes).expect("a file can be written");
        std::fs::rename(beside, self.component()).expect("a file can be renamed");
    }

    /// The gateway's own folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The gateway's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Opens a connection.
    pub async fn connect(&self, path: &str) -> Client {
        Client::connect(self.address, path).await
    }

    /// Opens a socket and speaks bytes.
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// Sends a request to the admin API.
    pub async fn admin(&self, method: &str, path: &str) -> Response {
        http(self.admin, method, path, &[]).await
    }

    /// What the admin API says of the plugin.
    pub async fn status(&self) -> serde_json::Value {
        self.admin("GET", &format!("/plugins/{}", self.plugin))
            .await
            .json()
    }

    /// Reloads another plugin of the chain from its file.
    pub async fn reload_other(&self, name: &str) -> Response {
        self.admin("POST", &format!("/plugins/{name}/reload")).await
    }

    /// Reloads the plugin from its file.
    pub async fn reload(&self) -> Response {
        self.admin("POST", &format!("/plugins/{}/reload", self.plugin))
            .await
    }

    /// Puts the plugin's generation before this one back in place.
    pub async fn rollback(&self) -> Response {
        self.admin("POST", &format!("/plugins/{}/rollback", self.plugin))
            .await
    }

    /// The most memory the process has held so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.status_of_process("VmHWM:")
    }

    /// The memory the process holds now, in bytes.
    pub fn memory(&self) -> u64 {
        self.status_of_process("VmRSS:")
    }

    fn status_of_process(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the process lives");
        let value = status.lines().find_map(|line| {
            let kib = line.strip_prefix(key)?.strip_suffix("kB")?;
            kib.trim().parse::<u64>().ok()
        });
        value.expect("the kernel tells") << 10
    }

    /// Leaves what the process logs unread from now on, or reads on.
    pub fn hold_log(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// The value of a metric, as `name{label="value"}` without the prefix.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.admin("GET", "/metrics").await.body;
        let line = text.lines().find_map(|line| {
            line.strip_prefix("tidegate_")?
                .strip_prefix(name)?
                .strip_prefix(' ')
        });
        line.unwrap_or_else(|| panic!("no metric {name} in\n{text}"))
            .parse()
            .expect("a number")
    }

    /// Waits until a metric has that value.
    pub async fn until_metric(&self, name: &str, value: u64) {
        let reached = async {
            while self.metric(name).await != value {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!(
                "{name} is {}, not {value}\n{}",
                self.metric(name).await,
                self.log()
            );
        }
    }

    /// Waits until a metric has at least that value.
    pub async fn until_metric_is_at_least(&self, name: &str, value: u64) {
        let reached = async {
            while self.metric(name).await < value {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("{name} is {} only", self.metric(name).await);
        }
    }

    /// Waits until the plugin's generation is that one.
    pub async fn until_generation(&self, generation: u64) {
        let name = format!("plugin_generation{{plugin=\"{}\"}}", self.plugin);
        self.until_metric(&name, generation).await;
    }

    /// Waits until the log holds these words.
    pub async fn until_log(&self, words: &str) {
        let reached = async {
            while !self.log().contains(words) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("not in the log: {words}\n{}", self.log());
        }
    }

    /// Waits until that many lines of the log hold these words.
    pub async fn until_log_lines(&self, words: &str, lines: usize) {
        let count = || {
            self.log()
                .lines()
                .filter(|line| line.contains(words))
                .count()
        };
        let reached = async {
            while count() < lines {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!(
                "{} lines, not {lines}, with: {words}\n{}",
                count(),
                self.log()
            );
        }
    }

    /// Waits until what the admin API says of the plugin is so; returns it.
    pub async fn until_status(
        &self,
        what: &str,
        is_so: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let reached = async {
            loop {
                let status = self.status().await;
                if is_so(&status) {
                    return status;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, reached).await {
            Ok(status) => status,
            Err(_) => panic!("never {what}: {}\n{}", self.status().await, self.log()),
        }
    }

    /// What the gateway has logged.
    pub fn log(&self) -> String {
        self.log
            .lock()
            .expect("no test panics while it holds the log")
            .clone()
    }

    /// Sends the process a signal, by its number.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill can be run").success());
    }

    /// Waits for the process to end by itself.
    pub async fn wait(&mut self) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("it is our child") {
                    return status;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("the gateway ends")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the gateway's log ---\n{}", self.log());
        }
    }
}

/// Runs `tidegate` with these arguments and variables to its end; it must not be one that stays.
pub fn tidegate(arguments: &[&OsStr], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("the gateway can be run")
}
