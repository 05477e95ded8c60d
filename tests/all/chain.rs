//! Several plugins on one route: order, state, isolation, and a reload of each by itself.

use tokio_tungstenite::tungstenite::Error;

use crate::WATCH;
use crate::client::{Client, http};
use crate::gateway::{Gateway, Setup};

/// `guard` in front of `inner`, which may read its state.
fn chain() -> Setup {
    Gateway::with("inner")
        .plugin("[plugin.grants]\nstate = [\"guard\"]")
        .behind("guard", "")
}

async fn ann(gateway: &Gateway) -> Client {
    let mut client = gateway.connect("/?user=ann").await;
    assert_eq!(client.recv().await, "open");
    client
}

#[tokio::test]
async fn a_message_goes_on_until_a_plugin_is_done_with_it() {
    let gateway = chain().start().await;
    let mut client = ann(&gateway).await;
    for (message, answers) in [
        ("mine", &["guard"][..]),
        ("hello", &["1 hello by ann "]),
        ("stamp", &["stamped", "1 stamp by ann "]),
    ] {
        client.send(message).await;
        for answer in answers {
            assert_eq!(client.recv().await, *answer);
        }
    }
    client.silent().await;
}

#[tokio::test]
async fn an_upgrade_is_granted_by_all_or_refused_by_one() {
    let gateway = chain().start().await;
    let mut watcher = ann(&gateway).await;
    watcher.send("watch").await;
    watcher.recv().await;
    for (path, status) in [("/", 401), ("/?user=bob&inner=no", 403)] {
        match Client::try_connect(gateway.address, path, &[]).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status),
            other => panic!("{path}: {:?}", other.err()),
        }
    }
    // What `guard` published for bob came to nothing, as `inner` refused him.
    let cid = gateway.connect("/?user=cid").await;
    let headers = cid.response.headers();
    assert_eq!(
        (&headers["x-user"], &headers["x-inner"]),
        (&"cid".parse().unwrap(), &"cid".parse().unwrap())
    );
    assert_eq!(watcher.recv().await, "granted cid");
    assert_eq!(watcher.recv().await, "opened cid");
}

#[tokio::test]
async fn each_has_its_own_state_and_sees_what_it_is_granted() {
    let gateway = chain().start().await;
    let mut client = ann(&gateway).await;
    client.send("set x").await;
    assert_eq!(client.recv().await, "1 set x by ann x");
    // Also before there is a connection, and where there is none to be.
    assert_eq!(client.response.headers()["x-inner"], "ann");
    let answer = http(gateway.address, "GET", "/?user=bob", &[]).await;
    assert_eq!(answer.body, "bob asks");

    let ungranted = Gateway::with("inner").behind("guard", "").start().await;
    let answer = http(ungranted.address, "GET", "/?user=bob", &[]).await;
    assert_eq!(answer.body, "nobody asks");
    let mut client = ann(&ungranted).await;
    assert_eq!(client.response.headers()["x-inner"], "nobody");
    client.send("hello").await;
    assert_eq!(client.recv().await, "1 hello by nobody ");
}

#[tokio::test]
async fn each_is_reloaded_by_itself() {
    let gateway = chain().start().await;
    let mut client = ann(&gateway).await;
    client.send("set x").await;
    assert_eq!(client.recv().await, "1 set x by ann x");
    assert_eq!(gateway.reload().await.json()["generation"], 2);
    client.send("a").await;
    assert_eq!(client.recv().await, "2 a by ann x");
    assert_eq!(gateway.reload_other("guard").await.json()["generation"], 2);
    client.send("b").await;
    assert_eq!(client.recv().await, "2 b by ann x");
}

#[tokio::test]
async fn one_that_fails_hides_the_message_from_those_behind_it() {
    let gateway = chain().route("on_failure = \"keep\"").start().await;
    let mut client = ann(&gateway).await;
    for message in ["err", "trap"] {
        client.send(message).await;
        client.send("hello").await;
        assert_eq!(client.recv().await, "1 hello by ann ");
    }
    gateway
        .until_metric("failures_total{kind=\"error\"}", 1)
        .await;
    gateway
        .until_metric("failures_total{kind=\"trap\"}", 1)
        .await;
    gateway.until_log("plugin \"guard\": as asked").await;
}

#[tokio::test]
async fn a_kick_ends_the_way_through_the_chain() {
    let gateway = chain().start().await;
    let mut client = ann(&gateway).await;
    client.send("kick").await;
    assert_eq!(client.recv_close().await, (4001, "as asked".to_owned()));
}

#[tokio::test]
async fn all_see_the_end_of_what_one_failed_to_open() {
    let gateway = chain().start().await;
    let mut watcher = ann(&gateway).await;
    watcher.send("watch").await;
    watcher.recv().await;
    let mut client = gateway.connect("/?user=bob&fail-open").await;
    assert_eq!(watcher.recv().await, "granted bob");
    assert_eq!(watcher.recv().await, "opened bob");
    client.send("hello").await;
    assert_eq!(client.recv().await, "1 hello by bob ");
    client.close(1000, "").await;
    assert_eq!(watcher.recv().await, "closed bob");
    gateway.until_log_lines("inner closed", 1).await;
    tokio::time::sleep(WATCH).await;
    gateway.until_log_lines("inner closed", 1).await;
}

#[tokio::test]
async fn one_that_passes_everything_on_is_not_noticed() {
    let gateway = Gateway::with("echo")
        .behind("pass", "")
        .before("inner", "")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.recv().await, "open");
    // `echo` is done with it, so `inner` does not see it.
    assert_eq!(client.ask("hello").await, "hello");
    client.silent().await;
}
