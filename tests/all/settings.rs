//! What `[plugin.config]` says reaches the plugin, whatever its generation.

use crate::gateway::{Gateway, Setup, tidegate};
use crate::guests;

const CONFIG: &str = "config = { greeting = \"hello\", history = 50, ratio = 0.5, strict = true }";

#[tokio::test]
async fn a_plugin_reads_its_own_values_also_after_a_reload() {
    let gateway = Gateway::with("settings")
        .plugin(CONFIG)
        .environment("TIDEGATE_PLUGIN__SETTINGS__CONFIG__FROM", "the environment")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("greeting").await, "1 hello");
    assert_eq!(client.ask("Greeting").await, "1 nothing");
    let all = r#"{"from": "the environment", "greeting": "hello", "history": "50", "ratio": "0.5", "strict": "true"}"#;
    assert_eq!(client.ask("all").await, format!("1 {all}"));
    gateway.put(&guests::variant("settings", 1));
    gateway.until_generation(2).await;
    assert_eq!(client.ask("greeting").await, "2 hello");
    assert_eq!(client.ask("all").await, format!("2 {all}"));
}

#[tokio::test]
async fn a_plugin_without_a_configuration_reads_nothing() {
    let gateway = Gateway::with("settings").start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("greeting").await, "1 nothing");
    assert_eq!(client.ask("all").await, "1 {}");
}

#[test]
fn a_plugin_refuses_a_value_that_it_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tidegate.toml");
    let path = guests::path("settings");
    let text = format!(
        "[[plugin]]\nname = \"settings\"\npath = {path:?}\nconfig.history = \"long\"\n\
         [[route]]\npath = \"/\"\nplugins = [\"settings\"]\n"
    );
    std::fs::write(&config, text).unwrap();
    let arguments = ["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    arguments.extend(["--config".as_ref(), config.as_os_str()]);
    let output = tidegate(&arguments, &[]);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr);
    let why = r#""history" in [plugin.config] is "long": invalid digit found in string"#;
    assert!(words.contains(why), "{words}");
}

/// A shell that sets the limit on address space, in KiB, and becomes the gateway.
fn with_address_space(setup: Setup, kib: u32) -> Setup {
    let limit = format!("ulimit -v {kib}; exec \"$0\" \"$@\"");
    setup.within(&["sh", "-c", &limit])
}

/// Batch systems and some hosters limit the address space to less than the terabytes that are usually reserved.
#[tokio::test]
async fn with_little_address_space_there_are_fewer_instances() {
    let setup = with_address_space(Gateway::with("echo"), 16_000_000);
    let gateway = setup.start().await;
    gateway.until_log("lower `engine.instances`").await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("hello").await, "hello");
}

#[test]
fn with_far_too_little_address_space_the_keys_are_named() {
    let said = with_address_space(Gateway::with("echo"), 1_000_000).refused();
    assert!(said.contains("lower `engine.instances`"), "{said}");
}
