//! What a handler did takes effect when it returns `ok`, and not at all when it does not.

use crate::client::Client;
use crate::gateway::{Gateway, Setup};

fn fail() -> Setup {
    Gateway::with("fail").route("on_failure = \"keep\"")
}

/// Has one connection do everything and fail, and checks that nothing has come of it.
async fn nothing_comes_of(gateway: &Gateway, command: &str) -> Client {
    let (mut culprit, mut listener) = (gateway.connect("/").await, gateway.connect("/").await);
    assert_eq!(listener.ask("count").await, "0");
    culprit.send(command).await;
    assert_eq!(culprit.ask("state").await, "", "neither a send nor a state");
    assert_eq!(culprit.ask("count").await, "0", "no subscription");
    culprit.silent().await;
    listener.silent().await;
    culprit
}

#[tokio::test]
async fn after_ok_everything_happens_in_order() {
    let gateway = fail().start().await;
    let (mut doer, mut listener) = (gateway.connect("/").await, gateway.connect("/").await);
    assert_eq!(listener.ask("count").await, "0");
    doer.send("succeed").await;
    assert_eq!(doer.recv().await, "sent");
    assert_eq!(doer.recv().await, "published");
    assert_eq!(doer.closed().await, Some((4000, "closed".to_owned())));
    assert_eq!(listener.recv().await, "published");
    listener.silent().await;
}

#[tokio::test]
async fn after_an_err_nothing_happens_but_a_log_line_and_a_count() {
    let gateway = fail().start().await;
    let mut culprit = nothing_comes_of(&gateway, "fail").await;
    assert_eq!(
        gateway.metric(r#"failures_total{kind="error"}"#).await,
        1,
        "it is counted"
    );
    gateway.until_log("handler error: failed as asked").await;
    culprit.send("succeed").await;
    assert_eq!(culprit.recv().await, "sent");
}

#[tokio::test]
async fn after_a_trap_nothing_happens() {
    let gateway = fail().start().await;
    nothing_comes_of(&gateway, "trap").await;
    assert_eq!(gateway.metric(r#"failures_total{kind="trap"}"#).await, 1);
    gateway.until_log("trapped as asked").await;
}

#[tokio::test]
async fn after_a_missed_deadline_nothing_happens() {
    let gateway = fail().start().await;
    nothing_comes_of(&gateway, "spin").await;
    let missed = r#"failures_total{kind="deadline"}"#;
    assert_eq!(gateway.metric(missed).await, 1);
    gateway.until_log("deadline missed").await;
}

#[tokio::test]
async fn an_err_keeps_the_state_of_the_event_before() {
    let gateway = Gateway::with("directory").start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("set-state kept").await, "ok");
    assert!(client.ask("nonsense").await.starts_with("error: "));
    assert_eq!(client.ask("state").await, "kept");
}

#[tokio::test]
async fn a_route_may_close_on_an_err() {
    let setup = Gateway::with("fail").route("on_error = \"close\"");
    let gateway = setup.start().await;
    let (mut culprit, mut listener) = (gateway.connect("/").await, gateway.connect("/").await);
    assert_eq!(listener.ask("count").await, "0");
    culprit.send("fail").await;
    let frame = culprit.recv_close().await;
    assert_eq!(frame, (1011, "handler failed".to_owned()));
    listener.silent().await;
    assert_eq!(gateway.metric(r#"failures_total{kind="error"}"#).await, 1);
}

#[tokio::test]
async fn of_a_refused_upgrade_nothing_happens() {
    let gateway = Gateway::with("upgrade").start().await;
    let mut watcher = gateway.connect("/?watch&state=watching").await;
    assert_eq!(watcher.ask("state").await, "watching");
    for refused in ["/refused?reject=403", "/trapped?trap", "/late?spin"] {
        let refused = Client::try_connect(gateway.address, refused, &[]).await;
        assert!(refused.is_err());
    }
    gateway.connect("/granted").await;
    assert_eq!(watcher.recv().await, "/granted");
    watcher.silent().await;
}

/// The id that a connection has.
async fn id(client: &mut Client) -> String {
    client.ask("id").await
}

#[tokio::test]
async fn another_connection_is_closed_behind_what_was_sent_to_it() {
    // On the same shard and on another.
    for shards in ["shards = 1", "shards = 2"] {
        let gateway = Gateway::with("directory").server(shards).start().await;
        let mut kicker = gateway.connect("/").await;
        for _ in 0..4 {
            let mut kicked = gateway.connect("/").await;
            let id = id(&mut kicked).await;
            assert_eq!(kicker.ask(&format!("kick {id} 4003 out")).await, "ok");
            assert_eq!(kicked.recv().await, "before");
            assert_eq!(kicked.recv_close().await, (4003, "out".to_owned()));
            // It is gone, and that is no error.
            drop(kicked);
            assert_eq!(kicker.ask(&format!("kick {id} 4003 out")).await, "ok");
        }
        gateway
            .until_metric(r#"closes_total{cause="kicked"}"#, 4)
            .await;
        gateway.until_metric("connections_open", 1).await;
        assert_eq!(gateway.metric(r#"events_total{event="close"}"#).await, 4);
    }
}

#[tokio::test]
async fn one_may_be_kicked_twice_and_hears_of_the_first() {
    let gateway = Gateway::with("directory")
        .server("shards = 2")
        .start()
        .await;
    let (mut one, mut two) = (gateway.connect("/").await, gateway.connect("/").await);
    let mut kicked = gateway.connect("/").await;
    let id = id(&mut kicked).await;
    assert_eq!(one.ask(&format!("kick {id} 4001 first")).await, "ok");
    assert_eq!(two.ask(&format!("kick {id} 4002 second")).await, "ok");
    let (code, _) = kicked.closed().await.expect("a close frame");
    assert!([4001, 4002].contains(&code), "{code}");
    gateway
        .until_metric(r#"events_total{event="close"}"#, 1)
        .await;
}

#[tokio::test]
async fn a_kick_by_an_event_that_fails_or_with_a_wrong_code_is_none() {
    let gateway = Gateway::with("directory").start().await;
    let mut kicker = gateway.connect("/").await;
    for _ in 0..2 {
        let mut other = gateway.connect("/").await;
        let id = id(&mut other).await;
        assert_eq!(kicker.ask(&format!("kick-and-fail {id}")).await, "ok");
        for code in [999, 1004, 1005, 1006, 1015, 2999, 5000] {
            let answer = kicker.ask(&format!("kick {id} {code}")).await;
            assert!(answer.starts_with("error: close codes"), "{answer}");
            assert_eq!(other.recv().await, "before");
        }
        let reason = "x".repeat(124);
        let answer = kicker.ask(&format!("kick {id} 4000 {reason}")).await;
        assert!(answer.contains("123 bytes"), "{answer}");
        assert_eq!(other.recv().await, "before");
        assert_eq!(other.ask("state").await, "");
    }
}

/// A plugin reaches the connections of its own routes only.
#[tokio::test]
async fn the_connections_of_other_plugins_are_not_closed() {
    for shards in ["shards = 1", "shards = 2"] {
        let gateway = Gateway::with("directory")
            .server(shards)
            .path("/a")
            .more(
                "[[plugin]]\nname = \"other\"\npath = \"plugin.wasm\"\n\
                 [[route]]\npath = \"/b\"\nplugins = [\"other\"]\n",
            )
            .start()
            .await;
        let mut kicker = gateway.connect("/a").await;
        for _ in 0..2 {
            let mut other = gateway.connect("/b").await;
            let id = id(&mut other).await;
            assert_eq!(kicker.ask(&format!("kick {id} 4000 out")).await, "ok");
            other.silent().await;
            assert_eq!(other.ask("state").await, "");
        }
    }
}
