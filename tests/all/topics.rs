//! Topics, and sends from one connection to another: on one shard, and across shards.

use futures_util::future::join_all;

use crate::client::Client;
use crate::gateway::{Gateway, Setup};
use crate::guests;

/// Consecutive connections are on consecutive shards.
fn on_shards(shards: usize) -> Setup {
    Gateway::with("directory").server(&format!("shards = {shards}"))
}

async fn connect<const N: usize>(gateway: &Gateway) -> [Client; N] {
    let mut clients = Vec::new();
    for _ in 0..N {
        clients.push(gateway.connect("/").await);
    }
    clients
        .try_into()
        .unwrap_or_else(|_| unreachable!("there are N"))
}

async fn tell(client: &mut Client, command: &str) {
    assert_eq!(client.ask(command).await, "ok", "{command}");
}

/// Asks until the answer is that: what another shard has to do first takes its time.
async fn until_told(client: &mut Client, question: &str, answer: &str) {
    let told = async {
        loop {
            if client.ask(question).await == answer {
                return;
            }
        }
    };
    let told = tokio::time::timeout(crate::PATIENCE, told).await;
    assert!(told.is_ok(), "{question} is not {answer}");
}

#[tokio::test]
async fn a_publish_reaches_every_subscriber_once_its_publisher_included() {
    for shards in [1, 2, 4] {
        let gateway = on_shards(shards).start().await;
        let mut clients = connect::<9>(&gateway).await;
        for client in &mut clients[..8] {
            tell(client, "subscribe tea").await;
        }
        // Its own answer comes behind what it published.
        clients[0].send("publish tea hello").await;
        for client in &mut clients[..8] {
            assert_eq!(client.recv().await, "hello", "{shards} shards");
        }
        assert_eq!(clients[0].recv().await, "ok");
        for client in &mut clients {
            client.silent().await;
        }
    }
}

#[tokio::test]
async fn a_publish_to_others_leaves_its_publisher_out() {
    for shards in [1, 4] {
        let gateway = on_shards(shards).start().await;
        let mut clients = connect::<5>(&gateway).await;
        for client in &mut clients {
            tell(client, "subscribe tea").await;
        }
        for publisher in 0..5 {
            tell(&mut clients[publisher], "others tea hello").await;
            for (index, client) in clients.iter_mut().enumerate() {
                if index != publisher {
                    assert_eq!(client.recv().await, "hello", "{shards} shards");
                }
            }
        }
        clients[0].silent().await;
    }
}

#[tokio::test]
async fn one_publishes_without_being_subscribed() {
    let gateway = on_shards(2).start().await;
    let [mut publisher, mut subscriber, mut near] = connect(&gateway).await;
    tell(&mut subscriber, "subscribe tea").await;
    tell(&mut near, "subscribe tea").await;
    tell(&mut publisher, "publish tea hello").await;
    assert_eq!(subscriber.recv().await, "hello");
    assert_eq!(near.recv().await, "hello");
    tell(&mut publisher, "publish nobody hello").await;
    publisher.silent().await;
}

#[tokio::test]
async fn subscribers_are_counted_on_all_shards() {
    for shards in [1, 2, 4] {
        let gateway = on_shards(shards).start().await;
        let mut clients = connect::<6>(&gateway).await;
        assert_eq!(clients[5].ask("count tea").await, "0");
        for index in 0..5 {
            tell(&mut clients[index], "subscribe tea").await;
            // Twice is once.
            tell(&mut clients[index], "subscribe tea").await;
            for client in &mut clients {
                assert_eq!(client.ask("count tea").await, (index + 1).to_string());
            }
        }
        tell(&mut clients[0], "unsubscribe tea").await;
        tell(&mut clients[0], "unsubscribe tea").await;
        assert_eq!(clients[3].ask("count tea").await, "4");
    }
}

#[tokio::test]
async fn members_are_listed_with_their_labels() {
    for shards in [1, 2, 4] {
        let gateway = on_shards(shards).start().await;
        let [mut ann, mut bob, mut quiet, mut asker] = connect(&gateway).await;
        let (ann_id, bob_id) = (ann.ask("id").await, bob.ask("id").await);
        assert_eq!(asker.ask("members tea").await, "");
        tell(&mut ann, "subscribe tea ann with spaces").await;
        assert_eq!(
            asker.ask("members tea").await,
            format!("{ann_id}=ann with spaces")
        );
        tell(&mut ann, "subscribe tea ann").await;
        tell(&mut bob, "subscribe tea bób").await;
        tell(&mut quiet, "subscribe tea").await;
        let mut both = [format!("{ann_id}=ann"), format!("{bob_id}=bób")];
        both.sort_by_key(|member| member.split('=').next().unwrap().parse::<u64>().unwrap());
        for client in [&mut ann, &mut bob, &mut quiet, &mut asker] {
            assert_eq!(client.ask("members tea").await, both.join(" "));
            assert_eq!(client.ask("count tea").await, "3");
        }
        // Without a label it stays subscribed and is no longer listed.
        tell(&mut ann, "subscribe tea").await;
        assert_eq!(asker.ask("members tea").await, format!("{bob_id}=bób"));
        bob.close(1000, "").await;
        until_told(&mut asker, "members tea", "").await;
        assert_eq!(asker.ask("count tea").await, "2");
    }
}

#[tokio::test]
async fn after_unsubscribing_nothing_comes() {
    let gateway = on_shards(2).start().await;
    let [mut publisher, mut far, mut near] = connect(&gateway).await;
    for client in [&mut far, &mut near] {
        tell(client, "subscribe tea").await;
        tell(client, "subscribe cake").await;
        tell(client, "unsubscribe tea").await;
    }
    tell(&mut publisher, "publish tea tea").await;
    tell(&mut publisher, "publish cake cake").await;
    for client in [&mut far, &mut near] {
        assert_eq!(client.recv().await, "cake");
        client.silent().await;
    }
}

#[tokio::test]
async fn whoever_closes_is_unsubscribed_from_everything() {
    let gateway = on_shards(2).start().await;
    let [mut asker, mut leaver, mut lost] = connect(&gateway).await;
    for topic in ["tea", "cake"] {
        tell(&mut leaver, &format!("subscribe {topic}")).await;
        tell(&mut lost, &format!("subscribe {topic} lost")).await;
        assert_eq!(asker.ask(&format!("count {topic}")).await, "2");
    }
    leaver.close(1000, "").await;
    drop(lost);
    for topic in ["tea", "cake"] {
        until_told(&mut asker, &format!("count {topic}"), "0").await;
        assert_eq!(asker.ask(&format!("members {topic}")).await, "");
    }
}

#[tokio::test]
async fn a_send_reaches_any_connection_of_the_plugin() {
    for shards in [1, 2, 4] {
        let gateway = on_shards(shards).start().await;
        let mut clients = connect::<5>(&gateway).await;
        let mut ids = Vec::new();
        for client in &mut clients {
            ids.push(client.ask("id").await);
        }
        for (index, id) in ids.iter().enumerate().skip(1) {
            let delivery = clients[0].ask(&format!("send {id} hello {index}")).await;
            let near = index % shards == 0;
            assert_eq!(delivery, if near { "sent" } else { "queued" });
            assert_eq!(clients[index].recv().await, format!("hello {index}"));
        }
        for client in &mut clients {
            client.silent().await;
        }
    }
}

#[tokio::test]
async fn a_send_to_nobody_is_dropped() {
    let gateway = on_shards(1).start().await;
    let [mut sender, mut gone] = connect(&gateway).await;
    let id = gone.ask("id").await;
    gone.close(1000, "").await;
    until_told(&mut sender, &format!("send {id} hello"), "dropped").await;
    assert_eq!(
        sender.ask("send 18446744073709551615 hello").await,
        "dropped"
    );
}

#[tokio::test]
async fn a_send_to_nobody_on_another_shard_is_counted() {
    let gateway = on_shards(2).start().await;
    let [mut sender, mut gone] = connect(&gateway).await;
    let id = gone.ask("id").await;
    gone.close(1000, "").await;
    gateway.until_metric("connections_open", 1).await;
    sender.ask(&format!("send {id} hello")).await;
    gateway
        .until_metric(r#"drops_total{reason="closing"}"#, 1)
        .await;
}

#[tokio::test]
async fn a_send_to_another_plugins_connection_is_refused() {
    for shards in [1, 2] {
        let path = guests::path("directory");
        let other = format!(
            "[[plugin]]\nname = \"other\"\npath = {path:?}\n\
             [[route]]\npath = \"/other\"\nplugins = [\"other\"]\n"
        );
        let gateway = on_shards(shards).path("/own").more(&other).start().await;
        let mut own = gateway.connect("/own").await;
        let mut others = [
            gateway.connect("/other").await,
            gateway.connect("/other").await,
        ];
        for other in &mut others {
            let id = other.ask("id").await;
            own.ask(&format!("send {id} hello")).await;
            other.silent().await;
        }
        let dropped = r#"drops_total{reason="closing"}"#;
        gateway.until_metric(dropped, 2).await;
    }
}

#[tokio::test]
async fn what_one_publishes_comes_in_order() {
    for shards in [1, 2, 4] {
        let gateway = on_shards(shards).start().await;
        let mut publishers = connect::<4>(&gateway).await;
        let mut listeners = connect::<4>(&gateway).await;
        for listener in &mut listeners {
            tell(listener, "subscribe tea").await;
        }
        let published = publishers.iter_mut().enumerate();
        join_all(
            published.map(async |(publisher, client): (usize, &mut Client)| {
                for number in 0..200 {
                    client
                        .send(&format!("publish tea {publisher} {number}"))
                        .await;
                }
                for _ in 0..200 {
                    assert_eq!(client.recv().await, "ok");
                }
            }),
        )
        .await;
        for listener in &mut listeners {
            let mut next = [0; 4];
            for _ in 0..800 {
                let message = listener.recv().await;
                let (publisher, number) = message.split_once(' ').unwrap();
                let next = &mut next[publisher.parse::<usize>().unwrap()];
                assert_eq!(number, next.to_string(), "{shards} shards");
                *next += 1;
            }
            listener.silent().await;
        }
    }
}

#[tokio::test]
async fn a_thousand_subscribers_all_hear() {
    let gateway = on_shards(2).start().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.extend(join_all((0..50).map(|_| gateway.connect("/"))).await);
    }
    let subscribed = clients
        .iter_mut()
        .map(|client| tell(client, "subscribe tea"));
    join_all(subscribed).await;
    let mut publisher = gateway.connect("/").await;
    assert_eq!(publisher.ask("count tea").await, "1000");
    for number in 0..5 {
        tell(&mut publisher, &format!("publish tea {number}")).await;
    }
    join_all(clients.iter_mut().map(async |client: &mut Client| {
        for number in 0..5 {
            assert_eq!(client.recv().await, number.to_string());
        }
    }))
    .await;
    drop(clients);
    until_told(&mut publisher, "count tea", "0").await;
}

#[tokio::test]
async fn a_subscriber_to_ten_thousand_topics_leaves_at_once() {
    let setup = on_shards(1).route_limits("subscriptions = 10000");
    let gateway = setup.start().await;
    let [mut subscriber, mut other] = connect(&gateway).await;
    for batch in 0..100 {
        for topic in 0..100 {
            let topic = batch * 100 + topic;
            subscriber.send(&format!("subscribe {topic} label")).await;
        }
        for _ in 0..100 {
            assert_eq!(subscriber.recv().await, "ok");
        }
    }
    assert_eq!(other.ask("count 9999").await, "1");
    drop(subscriber);
    gateway.until_metric("connections_open", 1).await;
    for topic in [0, 1, 5000, 9998, 9999] {
        assert_eq!(other.ask(&format!("count {topic}")).await, "0");
        assert_eq!(other.ask(&format!("members {topic}")).await, "");
    }
}
