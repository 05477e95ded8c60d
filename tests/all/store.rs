//! The store, as plugins meet it: what it does, what it refuses, and that it outlives reloads.

use crate::client::Client;
use crate::gateway::{Gateway, Setup};
use crate::guests;

mod disk;
mod watch;

const GRANTED: &str = "grants.store = [\"rooms\"]";

/// A gateway whose plugin may use the bucket "rooms".
fn granted() -> Setup {
    Gateway::with("store").plugin(GRANTED)
}

/// Asks several things; each must be answered as expected.
async fn talk(client: &mut Client, exchange: &[(&str, &str)]) {
    for (command, expected) in exchange {
        assert_eq!(client.ask(command).await, *expected, "{command}");
    }
}

#[tokio::test]
async fn a_bucket_does_what_it_is_told() {
    let gateway = granted().start().await;
    let mut client = gateway.connect("/").await;
    let exchange = [
        ("rooms get tea", "none"),
        ("rooms set tea green", "ok"),
        ("rooms get tea", "green"),
        ("rooms exists tea", "true"),
        ("rooms set tea black", "ok"),
        ("rooms get tea", "black"),
        ("rooms delete tea", "ok"),
        ("rooms delete tea", "ok"),
        ("rooms exists tea", "false"),
        ("rooms increment n 5", "5"),
        ("rooms increment n -7", "-2"),
        ("rooms get n", "-2"),
        ("rooms set-many b 2 a 1", "ok"),
        ("rooms get-many a x b n", "1 none 2 -2"),
        ("rooms keys", "a b n"),
        ("rooms delete-many a x", "ok"),
        ("rooms keys", "b n"),
    ];
    talk(&mut client, &exchange).await;
    // Everybody reads what anybody has written, on any shard.
    let (mut second, mut third) = (gateway.connect("/").await, gateway.connect("/").await);
    assert_eq!(second.ask("rooms get b").await, "2");
    assert_eq!(third.ask("rooms get b").await, "2");
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let gateway = granted().start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("rooms number 2500").await, "ok");
    let keys = client.ask("rooms keys").await;
    let expected: Vec<_> = (0..=2500).map(|number| format!("{number:05}")).collect();
    assert_eq!(keys, expected.join(" "));
    assert_eq!(gateway.metric("store_keys{bucket=\"rooms\"}").await, 2501);
    let listed = "store_operations_total{bucket=\"rooms\",operation=\"list\"}";
    assert_eq!(gateway.metric(listed).await, 3);
}

#[tokio::test]
async fn a_change_returns_what_came_of_it_or_refuses() {
    let gateway = granted().start().await;
    let mut client = gateway.connect("/").await;
    let exchange = [
        ("rooms join list a", "1 in a"),
        ("rooms join list b", "2 in a,b"),
        ("rooms join list a", "error: a is there"),
        ("rooms get list", "[\"a\",\"b\"]"),
        ("rooms set list b", "ok"),
        (
            "rooms join list a",
            "error: the value is not what was expected: expected value at line 1 column 1",
        ),
        ("rooms get list", "b"),
    ];
    talk(&mut client, &exchange).await;
}

#[tokio::test]
async fn an_update_takes_what_others_wrote_meanwhile() {
    let gateway = granted().start().await;
    let mut client = gateway.connect("/").await;
    let exchange = [
        ("rooms append list a", "a after 1"),
        ("rooms append list b", "a,b after 1"),
        ("rooms race list", "theirs,mine after 2"),
        ("rooms get list", "[\"theirs\",\"mine\"]"),
        (
            "rooms stubborn list",
            "error: others have changed the value in each of 100 tries to update it",
        ),
        ("rooms get list", "[\"100\"]"),
        ("rooms set list 1,2", "ok"),
        (
            "rooms append list c",
            "error: the value is not what was expected: invalid type: integer `1`, expected a sequence at line 1 column 1",
        ),
    ];
    talk(&mut client, &exchange).await;
}

#[tokio::test]
async fn updates_from_all_shards_lose_none() {
    const CLIENTS: usize = 6;
    const EACH: usize = 30;
    let gateway = granted().server("shards = 3").start().await;
    let mut writers = tokio::task::JoinSet::new();
    for name in 0..CLIENTS {
        let mut client = gateway.connect("/").await;
        writers.spawn(async move {
            for _ in 0..EACH {
                // Busy between reading and writing, so that others come in between.
                let answer = client
                    .ask(&format!("rooms spin-append list {name} 1"))
                    .await;
                assert!(answer.contains(" after "), "{answer}");
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let mut client = gateway.connect("/").await;
    let list = client.ask("rooms get list").await;
    let list: Vec<String> = serde_json::from_str(&list).unwrap();
    assert_eq!(list.len(), CLIENTS * EACH);
    for name in 0..CLIENTS {
        let own = list.iter().filter(|entry| **entry == name.to_string());
        assert_eq!(own.count(), EACH);
    }
}

#[tokio::test]
async fn without_a_grant_there_is_no_store() {
    let gateway = granted()
        .more(&format!(
            "[[plugin]]\nname = \"other\"\npath = {:?}\ngrants.store = [\"halls\"]",
            guests::path("echo")
        ))
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    let exchange = [
        (
            "halls get a",
            "error: the bucket is not granted: add it to grants.store of the plugin",
        ),
        (
            "cellars get a",
            "error: there is no such bucket: name it in grants.store of the plugin",
        ),
    ];
    talk(&mut client, &exchange).await;
}

#[tokio::test]
async fn what_is_over_a_limit_is_refused_with_the_key_to_raise() {
    let bucket =
        "[[bucket]]\nname = \"rooms\"\nkeys = 2\nkey = 10\nvalue = \"1KiB\"\nsize = \"1500B\"";
    let gateway = granted().more(bucket).start().await;
    let mut client = gateway.connect("/").await;
    let exchange = [
        ("rooms fill a 1024", "ok"),
        (
            "rooms fill a 1025",
            "error: the value has 1025 bytes, over the limit of 1024 of bucket \"rooms\": raise `value` of the bucket",
        ),
        (
            "rooms set abcdefghijk 1",
            "error: the key has 11 bytes, over the limit of 10 of bucket \"rooms\": raise `key` of the bucket",
        ),
        (
            "rooms fill b 300",
            "error: bucket \"rooms\" would be over its limit of 1500 bytes: delete some keys, or raise `size` of the bucket",
        ),
        (
            "rooms set-many a 1 b 2 c 3",
            "error: bucket \"rooms\" has as many keys as it may, 2: delete some, or raise `keys` of the bucket",
        ),
        ("rooms keys", "a"),
        (
            "rooms increment a 1",
            "error: the value of \"a\" in bucket \"rooms\" is not a whole number in decimal digits: it can't be incremented",
        ),
    ];
    talk(&mut client, &exchange).await;
    for limit in ["value", "key", "size", "keys", "number"] {
        let refused = format!("store_refusals_total{{bucket=\"rooms\",limit=\"{limit}\"}}");
        assert_eq!(gateway.metric(&refused).await, 1, "{limit}");
    }
}

#[tokio::test]
async fn a_guest_that_hoards_handles_is_told_so() {
    let gateway = granted().limits("deadline = \"5s\"").start().await;
    let mut client = gateway.connect("/").await;
    let answer = client.ask("rooms hoard").await;
    let words = "error: the instance holds 10000 handles already: drop those of buckets";
    assert!(answer.starts_with(words), "{answer}");
    // It has dropped them with the event.
    assert_eq!(client.ask("rooms set a 1").await, "ok");
}

#[tokio::test]
async fn the_store_outlives_a_reload() {
    let gateway = granted().start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("rooms set a 1").await, "ok");
    gateway.put(&guests::variant("store", 2));
    gateway.until_generation(2).await;
    assert_eq!(client.ask("rooms get a").await, "1");
}

#[tokio::test]
async fn a_generation_that_is_checked_reads_and_does_not_write() {
    let gateway = granted().start().await;
    let words = "exists Ok(false), set Err(Refused(\"nothing is written in on-load";
    gateway.until_log(words).await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("rooms set checked 1").await, "ok");
    gateway.put(&guests::variant("store", 2));
    gateway.until_log("exists Ok(true), set Err(Refused(").await;
    gateway.until_generation(2).await;
    assert_eq!(client.ask("rooms get checked").await, "1");
}

#[tokio::test]
async fn an_entry_ends_with_its_time() {
    let bucket = "[[bucket]]\nname = \"rooms\"\nttl = \"300ms\"";
    let gateway = granted().more(bucket).start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("rooms set a 1").await, "ok");
    gateway
        .until_metric("store_keys{bucket=\"rooms\"}", 0)
        .await;
    assert_eq!(client.ask("rooms get a").await, "none");
}
