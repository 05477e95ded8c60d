//! The plugin `quiz`.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::client::Client;
use crate::gateway::Gateway;

/// A gateway whose seconds have that many milliseconds.
async fn quiz(tick_ms: u32) -> Gateway {
    let keys = format!("grants.store = [\"quiz\"]\nconfig.tick_ms = {tick_ms}");
    let quiz = Gateway::with("quiz").path("/quiz/{room}").plugin(&keys);
    quiz.start().await
}

/// For rounds that run out by themselves.
const FAST: u32 = 100;
/// For rounds that do not.
const NEVER: u32 = 3_600_000;

/// Enters the room `tea` and waits until those are its players.
async fn enter(gateway: &Gateway, name: &str, players: &[&str]) -> Client {
    let mut client = gateway.connect(&format!("/quiz/tea?name={name}")).await;
    while hear(&mut client, "players").await != json!(players) {}
    client
}

/// Ann, who is the host, and two others; all know of each other.
async fn three(gateway: &Gateway) -> [Client; 3] {
    let mut ann = enter(gateway, "ann", &["ann"]).await;
    let mut ben = enter(gateway, "ben", &["ann", "ben"]).await;
    assert_eq!(hear(&mut ann, "players").await, json!(["ann", "ben"]));
    let all = ["ann", "ben", "cid"];
    let cid = enter(gateway, "cid", &all).await;
    assert_eq!(hear(&mut ann, "players").await, json!(all));
    assert_eq!(hear(&mut ben, "players").await, json!(all));
    [ann, ben, cid]
}

/// The next message, which is an event of that type: its payload.
async fn hear(client: &mut Client, kind: &str) -> Value {
    let mut event = client.recv_json().await;
    assert_eq!(event["type"], kind, "{event}");
    event["payload"].take()
}

/// The next event of that type, whatever is heard before it: its payload.
async fn until(client: &mut Client, kind: &str) -> Value {
    loop {
        let mut event = client.recv_json().await;
        if event["type"] == kind {
            return event["payload"].take();
        }
    }
}

/// Sends a message; returns its answer, which is the next thing to come.
async fn ask(client: &mut Client, mut message: Value) -> Value {
    message["id"] = json!("asked");
    client.send(&message.to_string()).await;
    let answer = client.recv_json().await;
    assert_eq!(answer["requestId"], "asked", "{answer}");
    answer
}

/// Sends a message that must be refused; returns the code and the field.
async fn fault(client: &mut Client, message: Value) -> (String, Value) {
    let mut answer = ask(client, message).await;
    assert_eq!(answer["success"], false, "{answer}");
    let code = answer["error"]["code"].as_str().expect("a code").to_owned();
    (code, answer["error"]["details"]["field"].take())
}

fn start(seconds: u32) -> Value {
    let mut start = question(seconds);
    start["type"] = json!("start");
    start["correct"] = json!(0);
    start["seconds"] = start["left"].take();
    start
}

fn question(left: u32) -> Value {
    let answers = ["China", "England", "India"];
    json!({ "question": "Where is tea from?", "answers": answers, "left": left })
}

fn answer(choice: u32) -> Value {
    json!({ "type": "answer", "choice": choice })
}

/// Starts a round: all hear the question, and not which answer is right.
async fn round(host: &mut Client, others: &mut [&mut Client]) {
    host.send(&start(5).to_string()).await;
    assert_eq!(hear(host, "question").await, question(5));
    for client in others {
        assert_eq!(hear(client, "question").await, question(5));
    }
}

/// Answers, without hearing of it: only a message with an id is answered by `null`.
async fn choose(client: &mut Client, choice: u32) {
    client.send(&answer(choice).to_string()).await;
}

#[tokio::test]
async fn a_round_counts_down_through_reloads_and_runs_out() {
    let gateway = quiz(FAST).await;
    let [mut ann, mut ben, mut cid] = three(&gateway).await;
    round(&mut ann, &mut [&mut ben, &mut cid]).await;
    for client in [&mut ann, &mut ben, &mut cid] {
        assert_eq!(hear(client, "tick").await, json!({ "left": 4 }));
    }
    for (generation, left) in [(2, 3), (3, 2), (4, 1)] {
        assert_eq!(gateway.reload().await.json()["generation"], generation);
        for client in [&mut ann, &mut ben, &mut cid] {
            assert_eq!(hear(client, "tick").await, json!({ "left": left }));
        }
    }
    for client in [&mut ann, &mut ben, &mut cid] {
        let result = json!({ "correct": 0, "scores": {} });
        assert_eq!(hear(client, "result").await, result);
    }
    assert_eq!(fault(&mut cid, answer(0)).await.0, "no-round");
    round(&mut ann, &mut [&mut ben, &mut cid]).await;
}

#[tokio::test]
async fn a_round_ends_as_soon_as_all_have_answered() {
    let gateway = quiz(NEVER).await;
    let [mut ann, mut ben, mut cid] = three(&gateway).await;
    for score in 1..=3 {
        round(&mut ann, &mut [&mut ben, &mut cid]).await;
        assert_eq!(ask(&mut ben, answer(0)).await["success"], true);
        // What was asked, answered and scored is kept beyond the instance.
        assert_eq!(gateway.reload().await.status, 200);
        choose(&mut cid, 2).await;
        for client in [&mut ann, &mut ben, &mut cid] {
            let result = json!({ "correct": 0, "scores": { "ben": score, "cid": 0 } });
            assert_eq!(hear(client, "result").await, result);
        }
    }
}

#[tokio::test]
async fn scores_wait_for_who_leaves() {
    let gateway = quiz(NEVER).await;
    let [mut ann, mut ben, mut cid] = three(&gateway).await;
    round(&mut ann, &mut [&mut ben, &mut cid]).await;
    assert_eq!(ask(&mut ben, answer(0)).await["success"], true);
    // The last who has not answered leaves, and the round need not wait any longer.
    cid.close(1000, "").await;
    for client in [&mut ann, &mut ben] {
        assert_eq!(hear(client, "players").await, json!(["ann", "ben"]));
        assert_eq!(hear(client, "result").await["scores"], json!({ "ben": 1 }));
    }
    ben.close(1000, "").await;
    assert_eq!(hear(&mut ann, "players").await, json!(["ann"]));
    ann.close(1000, "").await;
    // The room was empty, and still knows.
    let mut cid = enter(&gateway, "cid", &["cid"]).await;
    let mut ben = enter(&gateway, "ben", &["cid", "ben"]).await;
    assert_eq!(hear(&mut cid, "players").await, json!(["cid", "ben"]));
    round(&mut cid, &mut [&mut ben]).await;
    choose(&mut ben, 0).await;
    for client in [&mut cid, &mut ben] {
        assert_eq!(hear(client, "result").await["scores"], json!({ "ben": 2 }));
    }
}

#[tokio::test]
async fn who_comes_late_gets_the_question_and_the_time_left() {
    let gateway = quiz(FAST).await;
    let mut ann = enter(&gateway, "ann", &["ann"]).await;
    ann.send(&start(60).to_string()).await;
    assert_eq!(hear(&mut ann, "question").await, question(60));
    assert_eq!(hear(&mut ann, "tick").await, json!({ "left": 59 }));
    let mut dora = gateway.connect("/quiz/tea?name=dora").await;
    let asked = until(&mut dora, "question").await;
    let left = asked["left"].as_u64().expect("a number") as u32;
    assert!((1..60).contains(&left), "{left}");
    assert_eq!(asked, question(left));
    let next = until(&mut dora, "tick").await;
    // The tick may have been on its way already.
    let is_next = [left, left - 1].map(|left| json!({ "left": left }));
    assert!(is_next.contains(&next), "{next} after {left}");
    choose(&mut dora, 0).await;
    for client in [&mut ann, &mut dora] {
        assert_eq!(
            until(client, "result").await["scores"],
            json!({ "dora": 1 })
        );
    }
}

#[tokio::test]
async fn who_leaves_as_the_host_passes_it_on() {
    let gateway = quiz(NEVER).await;
    let [mut ann, mut ben, mut cid] = three(&gateway).await;
    let (code, _) = fault(&mut ben, start(5)).await;
    assert_eq!(code, "not-host");
    round(&mut ann, &mut [&mut ben, &mut cid]).await;
    // Ann again, in another tab: she is still there when one of the two is closed.
    let mut tab = enter(&gateway, "ann", &["ann", "ben", "cid"]).await;
    assert_eq!(hear(&mut tab, "question").await, question(5));
    ann.close(1000, "").await;
    for players in [json!(["ann", "ben", "cid"]), json!(["ann", "ben", "cid"])] {
        for client in [&mut ben, &mut cid] {
            assert_eq!(hear(client, "players").await, players);
        }
    }
    drop(tab);
    for client in [&mut ben, &mut cid] {
        assert_eq!(hear(client, "players").await, json!(["ben", "cid"]));
    }
    // Her question stays, and the new host may answer it; she may not when she is back.
    let mut ann = enter(&gateway, "ann", &["ben", "cid", "ann"]).await;
    assert_eq!(hear(&mut ann, "question").await, question(5));
    assert_eq!(fault(&mut ann, answer(0)).await.0, "asked");
    assert_eq!(fault(&mut ann, start(5)).await.0, "not-host");
    for client in [&mut ben, &mut cid] {
        assert_eq!(hear(client, "players").await, json!(["ben", "cid", "ann"]));
        choose(client, 1).await;
    }
    for client in [&mut ann, &mut ben, &mut cid] {
        let scores = json!({ "ben": 0, "cid": 0 });
        assert_eq!(hear(client, "result").await["scores"], scores);
    }
    round(&mut ben, &mut [&mut ann, &mut cid]).await;
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let gateway = quiz(NEVER).await;
    let [mut ann, mut ben, mut cid] = three(&gateway).await;
    let wrong = [
        ("question", json!("")),
        ("question", json!(7)),
        ("answers", json!(["one"])),
        ("answers", json!(["a", "b", "c", "d", "e", "f", "g"])),
        ("answers[1]", json!(["one", ""])),
        ("correct", json!(3)),
        ("correct", json!(-1)),
        ("seconds", json!(4)),
        ("seconds", json!(61)),
    ];
    for (field, value) in wrong {
        let mut message = start(5);
        message[field.split('[').next().expect("a name")] = value;
        let (code, named) = fault(&mut ann, message).await;
        assert_eq!((code.as_str(), named), ("invalid-message", json!(field)));
    }
    assert_eq!(
        fault(&mut ann, json!({ "type": "start" })).await.1,
        "question"
    );
    assert_eq!(fault(&mut ben, answer(0)).await.0, "no-round");

    round(&mut ann, &mut [&mut ben, &mut cid]).await;
    assert_eq!(fault(&mut ann, start(5)).await.0, "round-running");
    assert_eq!(fault(&mut ann, answer(0)).await.0, "asked");
    for choice in [json!(3), json!("China"), json!(null)] {
        let message = json!({ "type": "answer", "choice": choice });
        let (code, named) = fault(&mut ben, message).await;
        assert_eq!((code.as_str(), named), ("invalid-message", json!("choice")));
    }
    assert_eq!(ask(&mut ben, answer(1)).await["data"], json!(null));
    assert_eq!(fault(&mut ben, answer(0)).await.0, "answered-already");
    assert_eq!(
        fault(&mut cid, json!({ "type": "guess" })).await.0,
        "unknown-type"
    );
    choose(&mut cid, 0).await;
    for client in [&mut ann, &mut ben, &mut cid] {
        let scores = json!({ "ben": 0, "cid": 1 });
        assert_eq!(hear(client, "result").await["scores"], scores);
    }
}

#[tokio::test]
async fn rooms_play_by_themselves() {
    let gateway = quiz(NEVER).await;
    let [mut ann, mut ben, mut cid] = three(&gateway).await;
    let mut other = gateway.connect("/quiz/cake?name=ann").await;
    assert_eq!(hear(&mut other, "players").await, json!(["ann"]));
    round(&mut ann, &mut [&mut ben, &mut cid]).await;
    assert_eq!(fault(&mut other, answer(0)).await.0, "no-round");
    other.silent().await;
}

#[tokio::test]
async fn without_a_name_nobody_plays() {
    let gateway = quiz(NEVER).await;
    let long = "x".repeat(33);
    for path in [
        "/quiz/tea".to_owned(),
        "/quiz/tea?name=".to_owned(),
        format!("/quiz/tea?name={long}"),
        format!("/quiz/{long}?name=ann"),
    ] {
        let refused = Client::try_connect(gateway.address, &path, &[]).await;
        let Err(Error::Http(response)) = refused else {
            panic!("{path}: not refused");
        };
        assert_eq!(response.status(), 400, "{path}");
        let words = String::from_utf8(response.body().clone().unwrap_or_default());
        assert!(words.expect("text").contains("name take 1 to 32"));
    }
}
