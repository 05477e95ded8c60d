//! `tidegate dev`: builds, swaps on every save, and tells its console.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::client::{Client, Raw, http, upgrade_request};
use crate::gateway::Gateway;
use crate::guests;

/// A build may have to wait for another one in the same folder, and that for all it depends on.
const BUILD_PATIENCE: Duration = Duration::from_secs(240);

/// A developer's plugin and a running `tidegate dev` on it.
struct Dev {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
}

/// What the console is told.
struct Events {
    raw: Raw,
    bytes: Vec<u8>,
}

impl Dev {
    /// A package of that name with this source, outside of any workspace. The name is of the
    /// component too, so it must be the test's own.
    fn start(name: &str, source: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        write_package(folder.path(), name, "[workspace]", source);
        lock(folder.path());
        Self::run(folder, "")
    }

    /// Develops the package that is in the subfolder.
    fn run(folder: TempDir, package: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["dev", "--listen", "127.0.0.1:0"])
            .arg(folder.path().join(package))
            .env("CARGO_TARGET_DIR", target_folder())
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTFLAGS")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the gateway can be run");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let (found, address) = mpsc::channel();
        // Reads on to the end: who closes a pipe stops the one that writes to it.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = console(&line).map(|address| found.send(address));
            }
        });
        let address = address.recv();
        Self {
            child,
            folder,
            address: address.expect("it says where the console is"),
        }
    }

    /// Saves the source.
    fn save(&self, source: &str) {
        fs::write(self.folder.path().join("src/lib.rs"), source).expect("a file can be written");
    }

    async fn connect(&self) -> Client {
        Client::connect(self.address, "/").await
    }

    /// Opens the console's stream.
    async fn events(&self) -> Events {
        let mut raw = Raw::connect(self.address).await;
        raw.write(b"GET /_tidegate/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        let head = raw.read_head().await.to_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        let bytes = Vec::new();
        Events { raw, bytes }
    }

    /// Checks that a page whose name was made to lead here gets nothing.
    async fn stays_at_home(&self) {
        for path in ["/", "/_tidegate/events", "/any"] {
            let mut raw = Raw::connect(self.address).await;
            let request = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
            raw.write(request.as_bytes()).await;
            let head = raw.read_head().await;
            assert!(head.starts_with("HTTP/1.1 421 "), "{path}: {head}");
        }
        let mut raw = Raw::connect(self.address).await;
        let same = "Host: evil.example\r\nOrigin: http://evil.example\r\n";
        let request = upgrade_request("/").replace("Host: localhost\r\n", same);
        raw.write(request.as_bytes()).await;
        let head = raw.read_head().await;
        assert!(head.starts_with("HTTP/1.1 421 "), "{head}");
    }

    /// Presses Ctrl-C and waits for the prompt.
    fn interrupt(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.expect("kill can be run").success());
        assert_eq!(self.child.wait().expect("it is our child").code(), Some(0));
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Events {
    /// The next report.
    async fn next(&mut self) -> Value {
        let next = async {
            loop {
                // Between the reports are the sizes of HTTP's chunks.
                while let Some(end) = self.bytes.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<_> = self.bytes.drain(..=end).collect();
                    if let Some(json) = line.strip_prefix(b"data: ") {
                        return serde_json::from_slice(json).expect("a report is JSON");
                    }
                }
                let read = self.raw.socket().read_buf(&mut self.bytes).await;
                assert_ne!(read.expect("the stream is whole"), 0, "the stream ended");
            }
        };
        tokio::time::timeout(BUILD_PATIENCE, next)
            .await
            .expect("something is told")
    }

    /// The next report of that type; others are passed over.
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let report = self.next().await;
            if report["type"] == kind {
                return report;
            }
            let is_bad = ["refused", "build-failed"]
                .iter()
                .any(|bad| report["type"] == *bad);
            assert!(!is_bad, "waiting for {kind}: {report:#}");
        }
    }

    /// Waits until that generation has taken over; returns the report.
    async fn until_generation(&mut self, generation: u64) -> Value {
        let report = self.until("swapped").await;
        assert_eq!(report["generation"], generation, "{report:#}");
        report
    }
}

/// A package of a plugin. `more` is the end of its manifest.
fn write_package(folder: &Path, name: &str, more: &str, source: &str) {
    let sdk = guests::workspace().join("plugin-sdk").canonicalize();
    let sdk = sdk.expect("it is there");
    let manifest = format!(
        "[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [lib]\ncrate-type = [\"cdylib\"]\n\
         [dependencies]\ntidegate-sdk = {{ path = {sdk:?} }}\n{more}\n"
    );
    fs::create_dir_all(folder.join("src")).expect("a folder can be made");
    fs::write(folder.join("Cargo.toml"), manifest).expect("a file can be written");
    fs::write(folder.join("src/lib.rs"), source).expect("a file can be written");
}

/// Takes the same versions over, so that all of them have been built already.
fn lock(folder: &Path) {
    let lock = guests::workspace().join("Cargo.lock");
    fs::copy(lock, folder.join("Cargo.lock")).expect("a file can be copied");
}

/// The console's address, if this line says it.
fn console(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once("console  http://")?;
    address.strip_suffix('/')?.parse().ok()
}

/// Where the tests' components are built too: what plugins depend on is there already.
fn target_folder() -> PathBuf {
    let component = guests::path("echo");
    let folder = component.ancestors().nth(3);
    folder
        .map(Path::to_owned)
        .expect("it is in target/wasm32-wasip2/release")
}

/// The plugin `echo` as it is.
fn echo() -> String {
    let path = guests::workspace().join("plugins/echo/src/lib.rs");
    fs::read_to_string(path).expect("the plugin is there")
}

/// The plugin `echo`, saying its version before every message.
fn version(version: &str) -> String {
    let source = echo();
    let send = "connection.send(message);";
    assert!(source.contains(send), "{source}");
    source.replace(
        send,
        &format!(
            "let text = message.as_text().unwrap_or_default();\n        \
             connection.send(format!(\"{version} {{text}}\"));"
        ),
    )
}

#[tokio::test]
async fn every_save_swaps_the_code_and_no_save_closes_a_connection() {
    let dev = Dev::start("dev-saves", &echo());
    let mut events = dev.events().await;
    let hello = events.next().await;
    assert_eq!(hello["type"], "hello", "{hello:#}");
    assert_eq!(hello["plugin"], "dev-saves");
    events.until_generation(1).await;
    let mut client = dev.connect().await;
    assert_eq!(client.ask("hello").await, "hello");

    dev.save(&version("v2"));
    let swapped = events.until_generation(2).await;
    assert_eq!(swapped["connections"], 1, "{swapped:#}");
    assert_eq!(client.ask("hello").await, "v2 hello");

    // What the compiler wrote, as it wrote it; and nothing else happens.
    dev.save(&version("v3").replace("as_text()", "as_txet()"));
    let failed = loop {
        let report = events.next().await;
        assert_ne!(report["type"], "swapped", "{report:#}");
        if report["type"] == "build-failed" {
            break report;
        }
    };
    let output = failed["output"].as_str().expect("text");
    assert!(
        output.contains("error[E0599]: no method named `as_txet`"),
        "{output}"
    );
    assert!(output.contains("--> src/lib.rs:"), "{output}");
    assert_eq!(client.ask("hello").await, "v2 hello");

    dev.save(&version("v3"));
    events.until_generation(3).await;
    assert_eq!(client.ask("hello").await, "v3 hello");
    dev.interrupt();
    assert_eq!(client.closed().await.expect("a close frame").0, 1001);
}

#[tokio::test]
async fn a_save_that_changes_nothing_swaps_nothing() {
    let dev = Dev::start("dev-same", &version("v1"));
    let mut events = dev.events().await;
    events.until_generation(1).await;
    dev.stays_at_home().await;
    // Other contents, so that it is built, and the same component.
    dev.save(&(version("v1") + "// The end.\n"));
    assert_eq!(events.until("unchanged").await["generation"], 1);
    let mut client = dev.connect().await;
    assert_eq!(client.ask("hello").await, "v1 hello");
    dev.interrupt();
}

#[tokio::test]
async fn a_plugin_that_does_not_compile_at_first_is_mended() {
    let dev = Dev::start("dev-mended", "this is no Rust\n");
    let mut events = dev.events().await;
    let mut report = events.next().await;
    // The build may have failed before the console was opened.
    while report["type"] != "build-failed" && report["build"]["type"] != "build-failed" {
        report = events.next().await;
    }
    assert!(Client::try_connect(dev.address, "/", &[]).await.is_err());
    // A console that opens now is told at once.
    let hello = dev.events().await.next().await;
    assert_eq!(hello["generation"], Value::Null);
    assert_eq!(hello["build"]["type"], "build-failed", "{hello:#}");
    let output = hello["build"]["output"].as_str().expect("text");
    assert!(output.contains("--> src/lib.rs:1"), "{output}");

    dev.save(&echo());
    events.until_generation(1).await;
    let mut client = dev.connect().await;
    assert_eq!(client.ask("hello").await, "hello");
    let event = loop {
        let report = events.until("event").await;
        if report["event"] == "message" {
            break report;
        }
    };
    assert_eq!(event["generation"], 1);
    assert_eq!(event["outcome"], "ok");
    dev.interrupt();
}

/// A plugin that answers every message with this word, and leaves it to the next one.
fn saying(word: &str) -> String {
    format!(
        "use tidegate_sdk::{{Connection, Handler, Message, Result, Verdict}};\n\
         struct Word;\n\
         impl Handler<Verdict> for Word {{\n\
             fn on_message(connection: &Connection, _: Message) -> Result<Verdict> {{\n\
                 connection.send({word:?});\n\
                 Ok(Verdict::Next)\n\
             }}\n\
         }}\n\
         tidegate_sdk::export!(Word);\n"
    )
}

#[tokio::test]
async fn the_others_of_a_chain_are_built_and_swapped_too() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let write = |path: &str, text: &str| fs::write(folder.path().join(path), text).unwrap();
    for (name, word) in [("dev-front", "front 1"), ("dev-back", "back 1")] {
        write_package(&folder.path().join(name), name, "", &saying(word));
    }
    write(
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"dev-front\", \"dev-back\"]\n",
    );
    lock(folder.path());
    // As the component lies for whoever has set no folder for what cargo builds.
    write(
        "dev-front/tidegate.toml",
        r#"
        [admin]
        listen = "127.0.0.1:0"
        [[plugin]]
        name = "dev-front"
        path = "../target/wasm32-wasip2/release/dev_front.wasm"
        [[plugin]]
        name = "dev-back"
        path = "../target/wasm32-wasip2/release/dev_back.wasm"
        [[route]]
        path = "/"
        plugins = ["dev-front", "dev-back"]
        "#,
    );
    let dev = Dev::run(folder, "dev-front");
    let mut events = dev.events().await;
    // The plugin under development comes last.
    while events.until_generation(1).await["plugin"] != "dev-front" {}
    let mut client = dev.connect().await;
    assert_eq!(client.ask("hello").await, "front 1");
    assert_eq!(client.recv().await, "back 1");

    let back = dev.folder.path().join("dev-back/src/lib.rs");
    fs::write(back, saying("back 2")).expect("a file can be written");
    // Said after the others were loaded.
    assert_eq!(events.until("unchanged").await["generation"], 1);
    assert_eq!(client.ask("hello").await, "front 1");
    assert_eq!(client.recv().await, "back 2");
    dev.interrupt();
}

#[tokio::test]
async fn the_console_is_a_page_of_dev_alone() {
    let dev = Dev::start("dev-page", &echo());
    let page = http(dev.address, "GET", "/", &[]).await;
    assert_eq!(page.status, 200);
    assert!(page.head.contains("text/html"), "{}", page.head);
    assert!(page.head.contains("default-src 'none'"), "{}", page.head);
    assert!(page.body.contains("</html>"), "{}", page.body);
    let other = http(dev.address, "GET", "/_tidegate/other", &[]).await;
    assert_eq!(other.status, 404);
    let client = http(dev.address, "GET", "/tidegate.js", &[]).await;
    assert_eq!(client.status, 200);
    dev.interrupt();

    let gateway = Gateway::with("echo").start().await;
    for path in ["/", "/_tidegate/events"] {
        let answer = http(gateway.address, "GET", path, &[]).await;
        assert_eq!(answer.status, 426, "{path}");
    }
}

#[tokio::test]
async fn the_pages_ready_made_messages_are_read_with_every_save() {
    let dev = Dev::start("dev-messages", &echo());
    let mut events = dev.events().await;
    events.until_generation(1).await;
    let none = serde_json::json!({ "list": [], "problem": null });
    assert_eq!(dev.events().await.next().await["samples"], none);

    let file = dev.folder.path().join("messages.json");
    let entries = serde_json::json!([
        { "title": "Say hello", "path": "/", "message": { "type": "hello" } },
        { "title": "Ask", "method": "POST", "path": "/ask", "body": "why" },
    ]);
    fs::write(
        &file,
        serde_json::to_vec_pretty(&entries).expect("it is JSON"),
    )
    .unwrap();
    let read = events.until("samples").await;
    assert_eq!(read["list"], entries);
    assert_eq!(read["problem"], Value::Null);
    // The component is the same, so nothing else happens.
    assert_eq!(events.until("unchanged").await["generation"], 1);

    fs::write(&file, "[\n  { \"title\": \"Say hello\" }\n]").unwrap();
    let read = events.until("samples").await;
    assert_eq!(read["list"], entries);
    let problem = r#"messages.json:2:3: entry 1 ("Say hello") has nothing to send: add a message"#;
    assert_eq!(read["problem"], problem);
    // A page that opens now is told the same at once.
    let hello = dev.events().await.next().await;
    assert_eq!(hello["samples"]["problem"], problem);
    assert_eq!(hello["samples"]["list"], entries);
    dev.interrupt();
}

#[test]
fn the_plugins_own_ready_made_messages_are_right() {
    let entries = fs::read_dir(guests::workspace().join("plugins")).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    for folder in paths.filter(|path| path.is_dir()) {
        let mut samples = tidegate::console::Samples::default();
        samples.read(&folder);
        assert_eq!(samples.problem, None, "{}", folder.display());
        let expected = folder.join("messages.json").is_file();
        assert_eq!(!samples.list.is_empty(), expected, "{}", folder.display());
    }
}
