//! How a test's gateway is configured and started.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::Gateway;
use crate::guests;

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
    within: Vec<String>,
    listen: String,
}

impl Setup {
    /// A gateway with one plugin, of that fixture's component, for every path.
    pub(super) fn of(fixture: &str) -> Self {
        Self {
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
            within: Vec::new(),
            listen: "127.0.0.1:0".to_owned(),
        }
    }

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

    /// A program that is run with the gateway's command as its arguments, and becomes it.
    pub fn within(mut self, program: &[&str]) -> Self {
        self.within = program.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The address to listen on.
    pub fn listen(mut self, address: &str) -> Self {
        self.listen = address.to_owned();
        self
    }

    /// Starts the gateway; returns when it is ready.
    pub async fn start(self) -> Gateway {
        self.start_on(Stdio::piped()).await
    }

    /// Starts the gateway with another stderr than one that the test reads as the log.
    pub async fn start_on(self, stderr: Stdio) -> Gateway {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut child = self
            .command(&folder)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the gateway can be run");
        let log = Arc::new(Mutex::new(String::new()));
        let held = Arc::new(AtomicBool::new(false));
        if let Some(stderr) = child.stderr.take() {
            collect(stderr, log.clone(), held.clone());
        }
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
            held,
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
        let gateway = env!("CARGO_BIN_EXE_tidegate").to_owned();
        let mut words = self.within.iter().cloned().chain([gateway]);
        let mut command = Command::new(words.next().expect("one at least"));
        command
            .args(words)
            .current_dir(folder)
            .args(["run", "--listen", &self.listen, "--admin", "127.0.0.1:0"])
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

/// Reads a process's output to its end, so that it never blocks on it unless the reading is held.
fn collect(output: impl Read + Send + 'static, log: Arc<Mutex<String>>, held: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            while held.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let mut log = log.lock().expect("no test panics while it holds the log");
            log.push_str(&line);
            log.push('\n');
        }
    });
}
