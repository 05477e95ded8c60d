//! Topics belong to their plugin, unless the configuration shares them.

use crate::client::{Client, http};
use crate::gateway::{Gateway, Setup};

/// Two plugins of the same component, `directory` at `/` and `second` at `/second`; the shared topics and what `second`
/// is granted of them.
fn two(topics: &str, granted: &str) -> Setup {
    Gateway::with("directory")
        .server("shards = 2")
        .more(&format!(
            "{topics}\n[[plugin]]\nname = \"second\"\npath = \"plugin.wasm\"\n{granted}\n\
             [[route]]\npath = \"/second\"\nplugins = [\"second\"]\n"
        ))
}

const NEWS: &str = "[[topic]]\nname = \"news:*\"";
const ALL: &str = "grants.topics = { publish = [\"news:*\"], subscribe = [\"news:*\"] }";

async fn tell(client: &mut Client, command: &str) {
    assert_eq!(client.ask(command).await, "ok", "{command}");
}

/// Asks until the answer is that: what another shard has to do first takes its time.
async fn until_told(client: &mut Client, question: &str, answer: &str) {
    let told = async { while client.ask(question).await != answer {} };
    let told = tokio::time::timeout(crate::PATIENCE, told).await;
    assert!(told.is_ok(), "{question} is not {answer}");
}

#[tokio::test]
async fn topics_of_two_plugins_never_meet() {
    let gateway = two("", "").start().await;
    let mut clients = Vec::new();
    for (path, label) in [
        ("/", "ann"),
        ("/", "bob"),
        ("/second", "eve"),
        ("/second", "fay"),
    ] {
        let mut client = gateway.connect(path).await;
        tell(&mut client, &format!("subscribe news {label}")).await;
        clients.push(client);
    }
    for (client, labels) in clients
        .iter_mut()
        .zip(["ann bob", "ann bob", "eve fay", "eve fay"])
    {
        assert_eq!(client.ask("count news").await, "2");
        let members = client.ask("members news").await;
        let members: Vec<_> = members
            .split(' ')
            .filter_map(|word| word.split('=').nth(1))
            .collect();
        assert_eq!(members.join(" "), labels);
    }
    clients[0].send("publish news of the first").await;
    clients[2].send("publish news of the second").await;
    // Whoever hears both hears one of them before its own.
    for (client, heard) in clients
        .iter_mut()
        .zip(["first", "first", "second", "second"])
    {
        assert_eq!(client.recv().await, format!("of the {heard}"));
    }
    for speaker in [0, 2] {
        assert_eq!(clients[speaker].recv().await, "ok");
        clients[speaker].send("publish news again").await;
    }
    for client in &mut clients {
        assert_eq!(client.recv().await, "again");
    }
    // One that leaves is counted out of its own plugin's only.
    drop(clients.remove(0));
    until_told(&mut clients[0], "count news", "1").await;
    assert_eq!(clients[1].recv().await, "ok");
    assert_eq!(clients[1].ask("count news").await, "2");
}

#[tokio::test]
async fn a_shared_topic_is_one_for_those_it_is_granted_to() {
    let gateway = two(NEWS, ALL).plugin(ALL).start().await;
    let mut one = gateway.connect("/").await;
    let mut other = gateway.connect("/second").await;
    tell(&mut one, "subscribe news:a ann").await;
    tell(&mut other, "subscribe news:a bob").await;
    // What the pattern does not take is each one's own.
    tell(&mut other, "subscribe news").await;
    assert_eq!(one.ask("count news:a").await, "2");
    assert_eq!(one.ask("count news").await, "0");
    assert_eq!(other.ask("members news:a").await.split(' ').count(), 2);
    one.send("publish news:a to both").await;
    assert_eq!(other.recv().await, "to both");
    assert_eq!((one.recv().await, one.recv().await).0, "to both");
    gateway.reload_other("second").await;
    other.send("publish news:a back").await;
    assert_eq!(one.recv().await, "back");
}

#[tokio::test]
async fn a_shared_topic_without_a_grant_is_an_error_that_names_the_key() {
    let only = "grants.topics = { publish = [\"news:*\"] }";
    let gateway = two(NEWS, only).plugin(ALL).start().await;
    let mut reader = gateway.connect("/").await;
    tell(&mut reader, "subscribe news:a ann").await;
    let mut writer = gateway.connect("/second").await;
    for command in ["subscribe news:a", "unsubscribe news:a"] {
        let refused = writer.ask(command).await;
        assert!(refused.contains("grants.topics.subscribe"), "{refused}");
    }
    // Who may not listen sees nobody who does.
    assert_eq!(writer.ask("count news:a").await, "0");
    assert_eq!(writer.ask("members news:a").await, "");
    tell(&mut writer, "publish news:a heard").await;
    assert_eq!(reader.recv().await, "heard");

    let only = "grants.topics = { subscribe = [\"news:*\"] }";
    let gateway = two(NEWS, only).plugin(ALL).start().await;
    let mut reader = gateway.connect("/second").await;
    tell(&mut reader, "subscribe news:a").await;
    let refused = reader.ask("publish news:a no").await;
    assert!(refused.contains("grants.topics.publish"), "{refused}");
}

async fn publish(gateway: &Gateway, query: &str) -> (u16, serde_json::Value) {
    let path = format!("/publish?{query}");
    let answer = http(gateway.admin, "POST", &path, &[]).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn an_operator_names_the_plugin_or_a_shared_topic() {
    let gateway = two(NEWS, ALL).plugin(ALL).start().await;
    let mut one = gateway.connect("/").await;
    let mut other = gateway.connect("/second").await;
    for client in [&mut one, &mut other] {
        tell(client, "subscribe news").await;
        tell(client, "subscribe news:a").await;
    }
    let (status, answer) = publish(&gateway, "topic=news").await;
    assert_eq!(status, 400);
    let words = answer["error"].to_string();
    assert!(
        words.contains("name the plugin") && words.contains("second"),
        "{words}"
    );
    let (status, answer) = publish(&gateway, "topic=news&plugin=third").await;
    assert_eq!(status, 400);
    let words = answer["error"].to_string();
    assert!(
        words.contains("third") && words.contains("directory"),
        "{words}"
    );

    let (status, answer) = publish(&gateway, "topic=news&plugin=second").await;
    let expected = serde_json::json!({ "plugin": "second", "topic": "news", "subscribers": 1 });
    assert_eq!((status, answer), (200, expected));
    assert_eq!(other.recv().await, "");
    let expected = serde_json::json!({ "plugin": null, "topic": "news:a", "subscribers": 2 });
    assert_eq!(publish(&gateway, "topic=news:a").await, (200, expected));
    for client in [&mut one, &mut other] {
        assert_eq!(client.recv().await, "");
    }

    let arguments = [
        "publish",
        "--admin",
        &gateway.admin.to_string(),
        "--plugin",
        "directory",
        "news",
        "hi",
    ];
    let command = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(command.status.success(), "{command:?}");
    assert_eq!(one.recv().await, "hi");
    // The other one heard nothing of it before this.
    assert_eq!(other.ask("count news").await, "1");
}
