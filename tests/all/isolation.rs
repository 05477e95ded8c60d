//! A handler that misbehaves ends its own event, and at worst its own connection; nobody else notices.

use futures_util::future::join_all;

use crate::client::Client;
use crate::gateway::{Gateway, Setup};
use crate::guests;

/// Has one of two connections of a shard misbehave. It alone is closed, its failure is counted, and all else goes on.
async fn only_the_culprit_pays(setup: Setup, command: &str, kind: &str) {
    let gateway = setup.server("shards = 1").start().await;
    let (mut culprit, mut other) = (gateway.connect("/").await, gateway.connect("/").await);
    assert_eq!(other.ask("before").await, "before");
    culprit.send(command).await;
    let frame = culprit.closed().await;
    assert_eq!(frame, Some((1011, "handler failed".to_owned())));
    assert_eq!(other.ask("after").await, "after");
    let mut next = gateway.connect("/").await;
    assert_eq!(next.ask("hello").await, "hello");
    let failures = format!("failures_total{{kind=\"{kind}\"}}");
    assert_eq!(gateway.metric(&failures).await, 1);
    assert_eq!(
        gateway.metric(r#"closes_total{cause="failed"}"#).await,
        1,
        "{}",
        gateway.log()
    );
}

/// Expects that a route that keeps such connections does: the next event comes to a fresh instance.
async fn the_culprit_may_stay(setup: Setup, command: &str) {
    let setup = setup.route("on_failure = \"keep\"");
    let gateway = setup.server("shards = 1").start().await;
    let (mut culprit, mut other) = (gateway.connect("/").await, gateway.connect("/").await);
    for _ in 0..3 {
        culprit.send(command).await;
        assert_eq!(culprit.ask("again").await, "again");
        assert_eq!(other.ask("hello").await, "hello");
    }
    assert_eq!(gateway.metric("connections_open").await, 2);
}

#[tokio::test]
async fn a_trap_ends_its_connection_alone() {
    only_the_culprit_pays(Gateway::with("trap"), "trap", "trap").await;
    the_culprit_may_stay(Gateway::with("trap"), "trap").await;
}

#[tokio::test]
async fn a_loop_without_end_is_ended_at_the_deadline() {
    only_the_culprit_pays(Gateway::with("spin"), "spin", "deadline").await;
    the_culprit_may_stay(Gateway::with("spin"), "spin").await;
}

#[tokio::test]
async fn a_recursion_without_end_is_a_trap() {
    only_the_culprit_pays(Gateway::with("recurse"), "recurse", "trap").await;
    the_culprit_may_stay(Gateway::with("recurse"), "recurse").await;
}

#[tokio::test]
async fn a_hoarder_meets_the_memory_limit() {
    let hoard = || Gateway::with("hoard").limits("memory = \"8MiB\"\ndeadline = \"5s\"");
    only_the_culprit_pays(hoard(), "hoard", "memory").await;
    the_culprit_may_stay(hoard(), "hoard").await;
}

#[tokio::test]
async fn a_handler_that_waits_too_long_is_ended() {
    let sleep = || Gateway::with("sleep").limits("wait = \"300ms\"");
    only_the_culprit_pays(sleep(), "sleep-long", "wait").await;
    the_culprit_may_stay(sleep(), "sleep-long").await;
}

#[tokio::test]
async fn running_is_not_waiting() {
    let limits = "deadline = \"30s\"\nwait = \"100ms\"";
    let gateway = Gateway::with("directory").limits(limits).start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("spin-ms 400").await, "ok");
}

/// Two dozen compute at once on one shard, each for as long as all of them take: nobody waits in a host function.
#[tokio::test]
async fn waiting_for_a_turn_is_not_waiting() {
    let setup = Gateway::with("directory").server("shards = 1");
    let limits = "deadline = \"30s\"\nwait = \"50ms\"";
    let gateway = setup.limits(limits).start().await;
    let mut clients = join_all((0..24).map(|_| gateway.connect("/"))).await;
    for client in &mut clients {
        client.send("spin-ms 300").await;
    }
    for client in &mut clients {
        assert_eq!(client.recv().await, "ok");
    }
}

/// Each call takes longer than a tick, so that forty of them are far over the deadline, though the guest itself does
/// nothing.
#[tokio::test]
async fn time_in_host_functions_is_the_guests() {
    let setup = Gateway::with("reread").route_limits("state = \"16MiB\"");
    let gateway = setup.server("shards = 1").start().await;
    let (mut culprit, mut other) = (gateway.connect("/").await, gateway.connect("/").await);
    assert_eq!(culprit.ask("fill 16000000").await, "16000000");
    culprit.send("read 40").await;
    assert_eq!(other.ask("read 3").await, "0");
    assert_eq!(culprit.closed().await.map(|(code, _)| code), Some(1011));
    let failures = r#"failures_total{kind="deadline"}"#;
    assert_eq!(gateway.metric(failures).await, 1);
}

#[tokio::test]
async fn a_message_that_takes_its_handler_too_long_is_told_to_be_too_large() {
    let gateway = Gateway::with("spin").start().await;
    let mut culprit = gateway.connect("/").await;
    culprit
        .send(&format!("spin{}", " ".repeat(100 << 10)))
        .await;
    let reason = "message too large: it takes its handler too long".to_owned();
    assert_eq!(culprit.closed().await, Some((1009, reason)));
}

#[tokio::test]
async fn while_a_handler_runs_the_shards_others_are_served() {
    let setup = Gateway::with("spin").server("shards = 1");
    let gateway = setup.limits("deadline = \"1h\"").start().await;
    let (mut culprit, mut other) = (gateway.connect("/").await, gateway.connect("/").await);
    culprit.send("spin").await;
    gateway
        .until_metric(r#"events_total{event="message"}"#, 1)
        .await;
    for _ in 0..100 {
        assert_eq!(other.ask("hello").await, "hello");
    }
    let mut late = gateway.connect("/").await;
    assert_eq!(late.ask("hello").await, "hello");
    culprit.silent().await;
}

#[tokio::test]
async fn a_flood_of_publishes_is_cut_off() {
    let setup = Gateway::with("flood").server("shards = 1");
    let limits = "effects = \"64KiB\"\ndeadline = \"5s\"";
    let gateway = setup.limits(limits).start().await;
    let (mut culprit, mut listener) = (gateway.connect("/").await, gateway.connect("/").await);
    listener.send("listen").await;
    assert_eq!(listener.ask("hello").await, "hello");
    culprit.send("flood").await;
    assert_eq!(culprit.ask("hello").await, "hello");
    // 1 KiB, its head, the topic and a fixed cost each.
    let published = gateway.metric("publishes_total").await;
    assert!((55..64).contains(&published), "{published}");
    for _ in 0..published {
        assert_eq!(listener.recv_binary().await.len(), 1024);
    }
    listener.silent().await;
}

#[tokio::test]
async fn a_flood_to_oneself_is_cut_off_at_the_outbox() {
    let setup = Gateway::with("flood").limits("deadline = \"5s\"");
    let gateway = setup.route_limits("outbox = \"64KiB\"").start().await;
    let mut culprit = gateway.connect("/").await;
    culprit.send("flood-self").await;
    culprit.send("hello").await;
    let mut chunks = 0;
    while !culprit.next().await.unwrap().unwrap().is_text() {
        chunks += 1;
    }
    assert!((60..64).contains(&chunks), "{chunks} KiB");
}

#[tokio::test]
async fn of_two_closes_the_first_counts_and_nothing_is_sent_after_it() {
    let gateway = Gateway::with("double-close").start().await;
    let (mut culprit, mut other) = (gateway.connect("/").await, gateway.connect("/").await);
    culprit.send("close").await;
    assert_eq!(culprit.recv().await, "before");
    assert_eq!(culprit.recv_close().await, (4000, "first".to_owned()));
    assert_eq!(other.ask("hello").await, "hello");
}

#[tokio::test]
async fn without_a_grant_everything_is_denied() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::with("sneak").environment("SECRET", "here").start();
    let gateway = gateway.await;
    let mut client = gateway.connect("/").await;
    let report = client
        .ask(&listener.local_addr().unwrap().to_string())
        .await;
    assert_eq!(report.lines().count(), 9);
    for line in report.lines() {
        assert!(line.contains(" denied: "), "{line}");
    }
    assert!(!std::path::Path::new("/tmp/sneak").exists());
    let watched = tokio::time::timeout(crate::WATCH, listener.accept());
    assert!(watched.await.is_err(), "nobody has connected");
}

/// The plugin of that name as a second one, on a route of its own.
fn beside(name: &str) -> String {
    let path = guests::path(name);
    format!(
        "[[plugin]]\nname = {name:?}\npath = {path:?}\n\
         [[route]]\npath = \"/{name}\"\nplugins = [{name:?}]\n"
    )
}

#[tokio::test]
async fn many_bad_handlers_at_once_leave_fifty_good_connections_alone() {
    let bad = ["trap", "spin", "recurse", "hoard"];
    let setup = Gateway::with("echo").path("/echo");
    let gateway = setup.more(&bad.map(beside).concat()).start().await;
    let mut good = join_all((0..50).map(|_| gateway.connect("/echo"))).await;
    let served = join_all(good.iter_mut().map(async |client: &mut Client| {
        for message in 0..200 {
            assert_eq!(client.ask(&message.to_string()).await, message.to_string());
        }
    }));
    let culprits = join_all((0..40).map(async |turn| {
        let name = bad[turn % bad.len()];
        for _ in 0..3 {
            let mut culprit = gateway.connect(&format!("/{name}")).await;
            culprit.send(name).await;
            assert_eq!(culprit.closed().await.map(|(code, _)| code), Some(1011));
        }
    }));
    tokio::join!(served, culprits);
    assert_eq!(gateway.metric(r#"closes_total{cause="failed"}"#).await, 120);
    gateway.until_metric("connections_open", 50).await;
}

/// Has more handlers wait than there are instances: the others' events wait for them, and none is lost.
async fn all_are_answered_in_order(gateway: &Gateway) {
    let mut clients = join_all((0..6).map(|_| gateway.connect("/"))).await;
    join_all(clients.iter_mut().map(async |client: &mut Client| {
        let sent = ["sleep", "a", "b", "sleep", "c"];
        for text in sent {
            client.send(text).await;
        }
        for text in sent {
            assert_eq!(client.recv().await, text);
        }
    }))
    .await;
}

#[tokio::test]
async fn events_beyond_the_plugins_instances_wait_their_turn() {
    let setup = Gateway::with("sleep").server("shards = 1");
    let gateway = setup.limits("instances = 2").start().await;
    all_are_answered_in_order(&gateway).await;
}

#[tokio::test]
async fn events_beyond_the_engines_instances_wait_their_turn() {
    let setup = Gateway::with("sleep").server("shards = 1");
    let gateway = setup.more("[engine]\ninstances = 2\n").start().await;
    all_are_answered_in_order(&gateway).await;
}

/// A plugin whose handlers hold instances for as long as a test takes, on the route `/holder`.
fn holder() -> String {
    let path = guests::path("sleep");
    format!(
        "[[plugin]]\nname = \"holder\"\npath = {path:?}\nlimits.wait = \"60s\"\n\
         [[route]]\npath = \"/holder\"\nplugins = [\"holder\"]\n"
    )
}

/// Two connections whose handlers hold an instance each from now on.
async fn two_holders(gateway: &Gateway) -> [Client; 2] {
    let mut holders = [
        gateway.connect("/holder").await,
        gateway.connect("/holder").await,
    ];
    for holder in &mut holders {
        holder.send("sleep-long").await;
    }
    gateway
        .until_metric(r#"events_total{event="message"}"#, 2)
        .await;
    holders
}

/// Whatever others hold, each plugin has an instance of its own on each shard.
#[tokio::test]
async fn a_plugin_takes_no_instance_that_another_keeps() {
    let more = holder() + "[engine]\ninstances = 2\n";
    let setup = Gateway::with("echo").path("/echo").server("shards = 1");
    let gateway = setup.more(&more).start().await;
    let _holders = two_holders(&gateway).await;
    for _ in 0..3 {
        let mut client = gateway.connect("/echo").await;
        assert_eq!(client.ask("hello").await, "hello");
    }
    assert_eq!(gateway.metric(r#"failures_total{kind="busy"}"#).await, 0);
}

/// One waits for what a plugin's other event holds, one for a place in the engine.
#[tokio::test]
async fn an_event_waits_for_an_instance_as_long_as_it_may() {
    let limits = "wait = \"60s\"\nqueue_wait = \"200ms\"";
    for (own, engine) in [("instances = 1", "instances = 9"), ("", "instances = 1")] {
        let setup = Gateway::with("sleep").limits(&format!("{limits}\n{own}"));
        let engine = format!("[engine]\n{engine}\n");
        let gateway = setup.server("shards = 1").more(&engine).start().await;
        let mut clients = join_all((0..3).map(|_| gateway.connect("/"))).await;
        clients[0].send("sleep-long").await;
        let messages = r#"events_total{event="message"}"#;
        gateway.until_metric(messages, 1).await;
        for client in &mut clients[1..] {
            client.send("hello").await;
            // The socket itself ends when the on-close has had its instance.
            assert_eq!(client.recv_close().await.0, 1011);
        }
        assert_eq!(gateway.metric(r#"failures_total{kind="busy"}"#).await, 2);
        gateway.until_log("`limits.queue_wait`").await;
        // Their last events wait on: they are not over, and none has failed.
        assert_eq!(gateway.metric("connections_open").await, 3);
    }
}

/// A load has an instance of its own.
#[tokio::test]
async fn a_reload_takes_no_instance_of_others() {
    let more = beside("echo") + "[engine]\ninstances = 2\n";
    let setup = Gateway::with("sleep").path("/sleep").server("shards = 1");
    let gateway = setup.more(&more).start().await;
    let mut echo = gateway.connect("/echo").await;
    let mut sleeper = gateway.connect("/sleep").await;
    for generation in 2..5 {
        assert_eq!(echo.ask("hello").await, "hello");
        sleeper.send("sleep").await;
        sleeper.send("after").await;
        gateway.put(&guests::variant("sleep", generation));
        let reloaded = gateway.reload().await;
        assert_eq!(reloaded.status, 200, "{}", reloaded.body);
        assert_eq!(echo.ask("hello").await, "hello");
        assert_eq!(sleeper.recv().await, "sleep");
        assert_eq!(sleeper.recv().await, "after");
    }
    echo.close(1000, "").await;
    let closed = r#"events_total{event="close"}"#;
    gateway.until_metric(closed, 1).await;
    for kind in ["busy", "unavailable"] {
        let failures = format!("failures_total{{kind={kind:?}}}");
        assert_eq!(gateway.metric(&failures).await, 0);
    }
}

#[tokio::test]
async fn events_wait_for_instances_that_fail_too() {
    let setup = Gateway::with("sleep")
        .server("shards = 1")
        .route("on_failure = \"keep\"");
    let setup = setup.limits("wait = \"200ms\"");
    let gateway = setup.more("[engine]\ninstances = 1\n").start().await;
    let mut clients = join_all((0..5).map(|_| gateway.connect("/"))).await;
    for client in &mut clients {
        client.send("sleep-long").await;
        client.send("after").await;
    }
    for client in &mut clients {
        assert_eq!(client.recv().await, "after");
    }
}
