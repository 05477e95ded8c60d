//! The configuration as whoever starts the gateway meets it: exit codes and words.

use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use crate::client::frame;
use crate::gateway::{Gateway, tidegate};
use crate::guests;

const EXIT_CONFIG: i32 = 78;

/// A folder with a configuration.
struct Folder {
    folder: TempDir,
}

/// What a command said and ended with.
#[derive(Debug)]
struct Outcome {
    code: i32,
    stdout: String,
    /// Without the folder's name, which is another in each run.
    stderr: String,
}

impl Folder {
    fn with(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tidegate.toml"), config).unwrap();
        Self { folder }
    }

    /// One with a sound configuration and its plugin; `more` goes before both.
    fn sound(more: &str) -> Self {
        let folder = Self::with(&format!("{more}\n{SOUND}"));
        std::fs::copy(guests::path("echo"), folder.path().join("echo.wasm")).unwrap();
        folder
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, command: &str, more: &[&str], environment: &[(&str, &str)]) -> Outcome {
        let config = self.path().join("tidegate.toml");
        let mut arguments = vec![command.as_ref(), "--config".as_ref(), config.as_os_str()];
        arguments.extend(more.iter().map(AsRef::<std::ffi::OsStr>::as_ref));
        let output = tidegate(&arguments, environment);
        let folder = format!("{}/", self.path().display());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&folder, "");
        Outcome {
            code: output.status.code().expect("it ends by itself"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

const SOUND: &str = "[[plugin]]\nname = \"echo\"\npath = \"echo.wasm\"\n\
                     [[route]]\npath = \"/\"\nplugins = [\"echo\"]\n";
const ANY_PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

const WRONG: &str = r#"[server]
lisen = "127.0.0.1:1"
connections = 0

[log]
level = "infi"

[[plugin]]
name = "echo"
path = "echo.wasm"

[[route]]
path = "/"
plugins = ["ecko"]
limits = { outbox = "1 MB per client" }
"#;
const WRONG_LINES: [&str; 5] = [
    r#"tidegate.toml:2:1: unknown key "lisen" in [server]: did you mean "listen"?"#,
    r#"tidegate.toml:3:15: "connections" in [server] is 0: write a whole number from 1 to 10000000"#,
    r#"tidegate.toml:6:9: "level" in [log] is "infi": write one of "error", "warn", "info", "debug", "trace" and "off", or for parts of it "info,tidegate::plugin=debug""#,
    r#"tidegate.toml:14:11: route "/" names an unknown plugin "ecko": did you mean "echo"?"#,
    r#"tidegate.toml:15:21: "outbox" in [route.limits] is "1 MB per client": write a size from "1B" to "1GiB""#,
];

#[test]
fn a_sound_configuration_is_called_fine() {
    let outcome = Folder::sound("").run("check", &[], &[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(
        outcome.stdout,
        "tidegate.toml is fine: plugins: 1, routes: 1\n"
    );
    assert_eq!(outcome.stderr, "");
}

#[test]
fn check_says_all_that_is_wrong_at_once_and_where() {
    let outcome = Folder::with(WRONG).run("check", &[], &[]);
    assert_eq!(outcome.code, EXIT_CONFIG, "{outcome:?}");
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(lines, WRONG_LINES);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn run_says_the_same_and_does_not_start() {
    let outcome = Folder::with(WRONG).run("run", &ANY_PORTS, &[]);
    assert_eq!(outcome.code, EXIT_CONFIG, "{outcome:?}");
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(lines, WRONG_LINES);
    assert_eq!(outcome.stdout, "", "it listens nowhere");
}

#[test]
fn a_missing_file_is_shown_how_to_make_one() {
    let folder = Folder::sound("");
    std::fs::remove_file(folder.path().join("tidegate.toml")).unwrap();
    for command in ["check", "run"] {
        let outcome = folder.run(command, &[], &[]);
        assert_eq!(outcome.code, EXIT_CONFIG, "{outcome:?}");
        let words = "tidegate.toml: failed to read the configuration: ";
        assert!(outcome.stderr.starts_with(words), "{outcome:?}");
        assert!(
            outcome.stderr.contains("create it with at least"),
            "{outcome:?}"
        );
        assert!(outcome.stderr.contains("[[plugin]]"), "{outcome:?}");
    }
}

#[test]
fn what_is_no_toml_is_said_with_its_place() {
    for text in [
        "[server\n",
        "listen = ",
        "= 3",
        "[[plugin]]\nname = \"a\" path = \"b\"\n",
    ] {
        let outcome = Folder::with(text).run("check", &[], &[]);
        assert_eq!(outcome.code, EXIT_CONFIG, "{outcome:?}");
        assert!(outcome.stderr.starts_with("tidegate.toml:"), "{outcome:?}");
        assert!(outcome.stderr.contains("not toml"), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

#[test]
fn a_level_that_is_none_is_refused_before_it_silences_the_log() {
    for level in ["loud", "inof", "info,loud", "tidegate=loud", "=", ""] {
        let folder = Folder::sound(&format!("log.level = {level:?}"));
        for command in ["check", "run"] {
            let outcome = folder.run(command, &[], &[]);
            assert_eq!(outcome.code, EXIT_CONFIG, "{level:?}: {outcome:?}");
            let words =
                format!("tidegate.toml:1:13: \"level\" in [log] is {level:?}: write one of");
            assert!(outcome.stderr.starts_with(&words), "{outcome:?}");
        }
    }
    for level in [
        "info",
        "WARN",
        "off",
        "info,guest=off",
        "error,tidegate::plugin=trace",
    ] {
        let outcome = Folder::sound(&format!("log.level = {level:?}")).run("check", &[], &[]);
        assert_eq!(outcome.code, 0, "{level:?}: {outcome:?}");
    }
}

#[test]
fn an_error_in_a_variable_names_the_variable() {
    let folder = Folder::sound("");
    let outcome = folder.run("check", &[], &[("TIDEGATE_SERVER__LISEN", "x")]);
    assert_eq!(outcome.code, EXIT_CONFIG, "{outcome:?}");
    let words =
        "TIDEGATE_SERVER__LISEN: unknown key \"lisen\" in [server]: did you mean \"listen\"?\n";
    assert_eq!(outcome.stderr, words);
}

#[test]
fn an_error_of_the_flags_says_so() {
    let both = ["--listen", "127.0.0.1:7777", "--admin", "127.0.0.1:7777"];
    let outcome = Folder::sound("").run("run", &both, &[]);
    assert_eq!(outcome.code, EXIT_CONFIG, "{outcome:?}");
    let words = "command line: [admin] and [server] both listen on 127.0.0.1:7777";
    assert!(outcome.stderr.starts_with(words), "{outcome:?}");
}

#[tokio::test]
async fn a_variable_wins_over_the_file() {
    let gateway = Gateway::with("echo")
        .route_limits("message = \"1MiB\"")
        .environment("TIDEGATE_ROUTE__0__LIMITS__MESSAGE", "100B")
        .start()
        .await;
    let mut raw = crate::client::Raw::upgraded(gateway.address, "/").await;
    raw.write(&frame(0x82, &[0; 101])).await;
    assert_eq!(raw.read(4).await[2..], 1009_u16.to_be_bytes());
    // The other route is as it was.
    let mut client = gateway.connect("/other").await;
    let long = "x".repeat(101);
    assert_eq!(client.ask(&long).await, long);
}

#[test]
fn a_port_in_use_is_said_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::sound("");
    let listen = [("TIDEGATE_SERVER__LISTEN", address.as_str())];
    let outcome = folder.run("run", &["--admin", "127.0.0.1:0"], &listen);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let words = format!("failed to listen on {address}: choose another with --listen: Address");
    assert!(outcome.stderr.contains(&words), "{outcome:?}");

    let flags = ["--listen", "127.0.0.1:0", "--admin", &address];
    let outcome = folder.run("run", &flags, &[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let words = format!("failed to listen on {address}: choose another admin address with --admin");
    assert!(outcome.stderr.contains(&words), "{outcome:?}");
}

#[test]
fn a_plugin_that_is_not_there_is_named() {
    let folder = Folder::with(SOUND);
    let outcome = folder.run("run", &ANY_PORTS, &[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let words = "plugin \"echo\": no file at \"echo.wasm\": build the plugin, or correct `path`\n";
    assert!(outcome.stderr.ends_with(words), "{outcome:?}");
}

#[test]
fn arguments_that_are_none_are_2() {
    for arguments in [
        &["fly"][..],
        &["run", "--lisen", "x"],
        &["run", "--listen", "here"],
        &[],
    ] {
        let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
        let output = tidegate(&arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("--help"),
            "{arguments:?}"
        );
    }
}
