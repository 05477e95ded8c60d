//! A gateway process of a test's own, on ports the system picks, stopped with the test.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::client::{Client, Raw, Response, http};
use crate::{PATIENCE, guests};

/// The path of a route for every request but one for `/`.
const EVERYTHING: &str = "/{*path}";

/// How a gateway is configured; ends in [`Setup::start`].
pub struct Setup {
    plugin: String,
    path: String,
    server: String,
    limits: String,
    plugin_keys: String,
    route_keys: String,
    route_limits: String,
    more: String,
    /// The other plugins of the chain: name, lines of `[[plugin]]`, and whether it is in front.
    others: Vec<(String, String, bool)>,
    environment: Vec<(String, String)>,
}

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
}

impl Gateway {
    /// A gateway with one plugin, of that fixture's component, for every path.
    pub fn with(fixture: &str) -> Setup {
        Setup {
            plugin: fixture.to_owned(),
            path: EVERYTHING.to_owned(),
            server: String::new(),
            limits: String::new(),
            plugin_keys: String::new(),
            route_keys: String::new(),
            route_limits: String::new(),
            more: String::new(),
            others: Vec::new(),
            environment: Vec::new(),
        }
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
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the process lives");
        let peak = status.lines().find_map(|line| {
            let kib = line.strip_prefix("VmHWM:")?.strip_suffix("kB")?;
            kib.trim().parse::<u64>().ok()
        });
        peak.expect("the kernel tells") << 10
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

impl Setup {
    /// The route's path instead of one that matches all.
    pub fn path(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    /// Lines of `[server]`.
    pub fn server(mut self, lines: &str) -> Self {
        self.server = lines.to_owned();
        self
    }

    /// Lines of `[plugin.limits]`.
    pub fn limits(mut self, lines: &str) -> Self {
        self.limits = lines.to_owned();
        self
    }

    /// Lines of `[[plugin]]`.
    pub fn plugin(mut self, lines: &str) -> Self {
        self.plugin_keys = lines.to_owned();
        self
    }

    /// Lines of `[[route]]`.
    pub fn route(mut self, lines: &str) -> Self {
        self.route_keys = lines.to_owned();
        self
    }

    /// Lines of `[route.limits]`.
    pub fn route_limits(mut self, lines: &str) -> Self {
        self.route_limits = lines.to_owned();
        self
    }

    /// One more plugin, of that fixture's component, in front of the others in the route's chain; `lines`
    /// are its own of `[[plugin]]`.
    pub fn behind(mut self, fixture: &str, lines: &str) -> Self {
        self.others
            .push((fixture.to_owned(), lines.to_owned(), true));
        self
    }

    /// One more plugin, at the end of the route's chain.
    pub fn before(mut self, fixture: &str, lines: &str) -> Self {
        self.others
            .push((fixture.to_owned(), lines.to_owned(), false));
        self
    }

    /// Tables at the end of the file.
    pub fn more(mut self, lines: &str) -> Self {
        self.more = lines.to_owned();
        self
    }

    /// A variable of the process's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the gateway; returns when it is ready.
    pub async fn start(self) -> Gateway {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut child = self
            .command(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway can be run");
        let log = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take().expect("it is piped"), log.clone());
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut address = |what: &str| {
            let line = lines.next().and_then(Result::ok);
            let address = line
                .as_deref()
                .and_then(|line| line.split_once("http://")?.1.parse().ok());
            address.unwrap_or_else(|| panic!("{what}: {line:?}\n{}", log.lock().expect("whole")))
        };
        let (address, admin) = (address("listening"), address("admin"));
        Gateway {
            child,
            folder,
            plugin: self.plugin,
            address,
            admin,
            log,
        }
    }

    /// Starts the gateway, which must not come up; returns what it says.
    pub fn refused(self) -> String {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let output = self.command(&folder).output();
        let output = output.expect("the gateway can be run");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).expect("what it says is text")
    }

    /// The gateway, with its configuration and components in that folder.
    fn command(&self, folder: &TempDir) -> Command {
        let component = folder.path().join("plugin.wasm");
        std::fs::copy(guests::path(&self.plugin), component).expect("a component can be copied");
        for (name, ..) in &self.others {
            let component = folder.path().join(format!("{name}.wasm"));
            std::fs::copy(guests::path(name), component).expect("a component can be copied");
        }
        let config = folder.path().join("tidegate.toml");
        std::fs::write(&config, self.config()).expect("a file can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--config")
            .arg(config)
            .envs(self.environment.iter().cloned());
        command
    }

    fn config(&self) -> String {
        let mut text = String::new();
        let Self {
            plugin,
            path,
            server,
            limits,
            plugin_keys,
            route_keys,
            route_limits,
            more,
            others,
            ..
        } = self;
        // Compiled code is cached once for all the tests: they share the user's cache.
        write!(
            text,
            "[server]\n{server}\n\
             [[plugin]]\nname = {plugin:?}\npath = \"plugin.wasm\"\n{plugin_keys}\n\
             [plugin.limits]\n{limits}\n"
        )
        .expect("writing to a string does not fail");
        let mut chain = vec![plugin.as_str()];
        for (name, lines, is_in_front) in others {
            write!(
                text,
                "[[plugin]]\nname = {name:?}\npath = \"{name}.wasm\"\n{lines}\n"
            )
            .expect("writing to a string does not fail");
            let place = if *is_in_front { 0 } else { chain.len() };
            chain.insert(place, name);
        }
        // A path that matches all does not match the root.
        let root = (path == EVERYTHING).then_some("/");
        for path in root.into_iter().chain([path.as_str()]) {
            write!(
                text,
                "[[route]]\npath = {path:?}\nplugins = {chain:?}\n{route_keys}\n\
                 [route.limits]\n{route_limits}\n"
            )
            .expect("writing to a string does not fail");
        }
        text.push_str(more);
        text
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

/// Reads a process's output to its end, so that it never blocks on it.
fn collect(output: impl Read + Send + 'static, log: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut log = log.lock().expect("no test panics while it holds the log");
            log.push_str(&line);
            log.push('\n');
        }
    });
}
