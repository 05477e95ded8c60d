//! Loads under attack: components that are too much, files that are none, and other plugins beside
//! them.

use std::fs;

use crate::gateway::{Gateway, Setup};
use crate::guests;

/// A gateway with `generation` and, behind it, `echo`; both change without being watched.
fn two() -> Setup {
    Gateway::with("generation")
        .plugin("watch = false")
        .before("echo", "watch = false")
}

/// A component of `functions` functions of `steps` steps each: sound, and long to compile.
fn large(functions: u32, steps: u32) -> Vec<u8> {
    let body = |number: u32| {
        let mut body = vec![0, 0x20, 0];
        for step in 0..steps {
            // Of a parameter: add a number, multiply by the parameter.
            let constant = ((number + step) % 60 + 1) as u8;
            body.extend([0x41, constant, 0x6a, 0x20, 0, 0x6c]);
        }
        body.push(0x0b);
        body
    };
    let mut code = leb(functions);
    for body in (0..functions).map(body) {
        code.extend(leb(body.len() as u32));
        code.extend(body);
    }
    let mut types = leb(functions);
    types.extend(std::iter::repeat_n(0, functions as usize));
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend(section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]));
    module.extend(section(3, &types));
    module.extend(section(10, &code));
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    component.extend(section(1, &module));
    component
}

fn section(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut section = vec![kind];
    section.extend(leb(bytes.len() as u32));
    section.extend(bytes);
    section
}

fn leb(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The refusals of `generation` for that reason.
async fn refusals(gateway: &Gateway, reason: &str) -> u64 {
    let name = format!("plugin_load_refusals_total{{plugin=\"generation\",reason=\"{reason}\"}}");
    gateway.metric(&name).await
}

#[tokio::test]
async fn a_component_that_takes_long_holds_no_other_plugin_and_has_a_limit() {
    let gateway = two()
        .environment("TIDEGATE_ENGINE__LOAD_TIMEOUT", "10s")
        .start()
        .await;
    gateway.put(&large(150_000, 20));
    tokio::select! {
        biased;
        answer = gateway.reload() => {
            // Machines get faster. Then the component must get larger.
            panic!("it should still compile: {answer:?}");
        }
        answer = async {
            gateway.reload_other("echo").await;
            gateway.reload_other("echo").await
        } => assert_eq!(answer.json()["generation"], 3),
    }
    // Whoever asks while it compiles shares the next load; it comes to nothing too.
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.body.contains("took longer than 10s"), "{answer:?}");
    assert!(answer.body.contains("engine.load_timeout"), "{answer:?}");
    assert_eq!(refusals(&gateway, "compile-time").await, 2);
    assert_eq!(gateway.connect("/").await.ask("a").await, "1 a");
    // The process that compiled is gone with its memory.
    let children = format!("/proc/{0}/task/{0}/children", gateway.pid());
    assert_eq!(fs::read_to_string(children).unwrap_or_default(), "");
}

#[tokio::test]
async fn a_component_that_takes_much_memory_takes_it_from_nobody() {
    let gateway = two()
        .environment("TIDEGATE_ENGINE__COMPILE_MEMORY", "96MiB")
        .start()
        .await;
    let before = gateway.peak_memory();
    gateway.put(&large(8, 100_000));
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.body.contains("engine.compile_memory"), "{answer:?}");
    assert_eq!(refusals(&gateway, "compile-memory").await, 1);
    let grown = gateway.peak_memory() - before;
    assert!(grown < 32 << 20, "{grown} bytes for a file of 5 MB");
    assert_eq!(gateway.connect("/").await.ask("a").await, "1 a");
    assert_eq!(gateway.reload_other("echo").await.status, 200);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_read() {
    let gateway = two()
        .environment("TIDEGATE_ENGINE__COMPONENT", "8MiB")
        .start()
        .await;
    // A hole: no disk, but as long as it says.
    let file = fs::File::create(gateway.component()).expect("it is ours");
    file.set_len(1 << 40).expect("it may have holes");
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.body.contains("engine.component"), "{answer:?}");
    assert_eq!(refusals(&gateway, "too-large").await, 1);
}

#[tokio::test]
async fn what_is_no_file_is_refused_at_once() {
    let gateway = two().start().await;
    let path = gateway.component();
    fs::remove_file(&path).expect("it is there");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo can be run").success());
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.body.contains("a FIFO"), "{answer:?}");
    fs::remove_file(&path).expect("it is there");
    std::os::unix::fs::symlink("/dev/zero", &path).expect("its place is free");
    let answer = gateway.reload().await;
    assert!(answer.body.contains("a device"), "{answer:?}");
    assert_eq!(refusals(&gateway, "file").await, 2);
    assert_eq!(gateway.reload_other("echo").await.status, 200);
    gateway.put(&guests::bytes("generation"));
    assert_eq!(gateway.reload().await.status, 200);
}

#[tokio::test]
async fn callers_that_ask_at_once_share_loads() {
    let gateway = two().start().await;
    let asked = (0..40).map(|_| gateway.reload());
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let newest = gateway.status().await["generation"].as_u64();
    let newest = newest.expect("a number");
    assert!((2..=41).contains(&newest), "{newest}");
    assert_eq!(
        gateway.connect("/").await.ask("a").await,
        format!("{newest} a")
    );
}

#[tokio::test]
async fn a_signal_to_end_is_not_kept_waiting_by_a_load() {
    let mut gateway = two().start().await;
    gateway.put(&large(150_000, 20));
    gateway.signal("-HUP");
    // The other plugin's load is done, so this one's has begun.
    gateway
        .until_metric("plugin_generation{plugin=\"echo\"}", 2)
        .await;
    gateway.signal("-TERM");
    assert!(gateway.wait().await.success());
    assert!(!gateway.log().contains("took longer than"));
}
