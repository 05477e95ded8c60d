//! The wire: frames good and bad, as bytes.

use crate::client::{Raw, frame};
use crate::gateway::Gateway;

mod closing;
mod cuts;
mod limits;
mod liveness;
mod violations;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

async fn upgraded(gateway: &Gateway) -> Raw {
    Raw::upgraded(gateway.address, "/").await
}

/// The next frame's first byte and payload; what servers send is not masked.
async fn next(raw: &mut Raw) -> (u8, Vec<u8>) {
    let head = raw.read(2).await;
    assert_eq!(head[1] & 0x80, 0, "a server's frame is not masked");
    let len = match head[1] {
        126 => u64::from(u16::from_be_bytes(raw.read(2).await.try_into().unwrap())),
        127 => u64::from_be_bytes(raw.read(8).await.try_into().unwrap()),
        len => u64::from(len),
    };
    (head[0], raw.read(len as usize).await)
}

/// The code and reason of the close frame that must come next, and the end of the socket behind.
async fn closed_with(raw: &mut Raw) -> (u16, String) {
    let (first, payload) = next(raw).await;
    assert_eq!(first, CLOSE, "{payload:?}");
    assert_eq!(raw.read_to_end().await, b"", "nothing follows it");
    let reason = String::from_utf8(payload[2..].to_vec()).unwrap();
    (u16::from_be_bytes([payload[0], payload[1]]), reason)
}

/// The payload of a close frame.
fn reason(code: u16, words: &str) -> Vec<u8> {
    [&code.to_be_bytes(), words.as_bytes()].concat()
}

#[tokio::test]
async fn messages_of_every_length_form_are_echoed() {
    let gateway = Gateway::with("echo").start().await;
    let mut client = gateway.connect("/").await;
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
        let text = "x".repeat(len);
        assert!(client.ask(&text).await == text, "{len}");
        let bytes: Vec<u8> = (0..len).map(|index| index as u8).collect();
        client.send_binary(&bytes).await;
        assert!(client.recv_binary().await == bytes, "{len}");
    }
}

#[tokio::test]
async fn a_fragmented_message_is_one_and_pings_in_between_are_answered() {
    let gateway = Gateway::with("echo").start().await;
    let mut raw = upgraded(&gateway).await;
    raw.write(&frame(0x01, b"one ")).await;
    raw.write(&frame(PING, b"p1")).await;
    assert_eq!(next(&mut raw).await, (PONG, b"p1".to_vec()));
    // A character in two fragments, and an empty one.
    raw.write(&frame(0x00, b"tw\xc3")).await;
    raw.write(&frame(0x00, b"")).await;
    raw.write(&frame(PING, b"p2")).await;
    raw.write(&frame(0x80, b"\xb6")).await;
    assert_eq!(next(&mut raw).await, (PONG, b"p2".to_vec()));
    assert_eq!(next(&mut raw).await, (TEXT, "one twö".into()));
}

#[tokio::test]
async fn a_message_in_a_thousand_fragments_is_one() {
    let gateway = Gateway::with("echo").start().await;
    let mut raw = upgraded(&gateway).await;
    let mut bytes = frame(0x02, &[7; 100]);
    for _ in 0..998 {
        bytes.extend(frame(0x00, &[7; 100]));
    }
    bytes.extend(frame(0x80, &[7; 100]));
    raw.write(&bytes).await;
    assert_eq!(next(&mut raw).await, (BINARY, vec![7; 100_000]));
}

#[tokio::test]
async fn a_frame_may_be_cut_at_every_byte() {
    let gateway = Gateway::with("echo").start().await;
    let mut raw = upgraded(&gateway).await;
    let whole = frame(TEXT, "grün".as_bytes());
    for at in 1..whole.len() {
        let (head, tail) = whole.split_at(at);
        raw.write(head).await;
        // Whether the first part has been read yet can't be seen; the parts are sent apart.
        tokio::task::yield_now().await;
        raw.write(tail).await;
        assert_eq!(next(&mut raw).await, (TEXT, "grün".into()), "cut at {at}");
    }
    for byte in frame(BINARY, &[1; 300]) {
        raw.write(&[byte]).await;
    }
    assert_eq!(next(&mut raw).await, (BINARY, vec![1; 300]));
}

#[tokio::test]
async fn many_messages_in_one_segment_are_answered_in_order() {
    let gateway = Gateway::with("echo").start().await;
    let mut raw = upgraded(&gateway).await;
    let words: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|word| frame(TEXT, word.as_bytes()))
        .collect();
    raw.write(&bytes).await;
    for word in words {
        assert_eq!(next(&mut raw).await, (TEXT, word.into_bytes()));
    }
}

#[tokio::test]
async fn a_ping_is_answered_with_its_own_payload() {
    let gateway = Gateway::with("echo").start().await;
    let mut raw = upgraded(&gateway).await;
    for payload in [&b""[..], b"x", &[0xff; 125]] {
        raw.write(&frame(PING, payload)).await;
        assert_eq!(next(&mut raw).await, (PONG, payload.to_vec()));
    }
    // A pong that no one asked for is not answered.
    raw.write(&frame(PONG, b"unasked")).await;
    raw.write(&frame(TEXT, b"next")).await;
    assert_eq!(next(&mut raw).await, (TEXT, b"next".to_vec()));
}

#[tokio::test]
async fn a_connection_survives_100_000_pings_that_it_does_not_read_the_answers_of() {
    let unlimited = Gateway::with("echo").route_limits("control_rate = \"off\"");
    let gateway = unlimited.server("shards = 1").start().await;
    let mut raw = upgraded(&gateway).await;
    let before = resident_kb(&gateway);
    let pings = frame(PING, &[1; 125]).repeat(1000);
    for _ in 0..100 {
        raw.write(&pings).await;
    }
    // 13 MB of pongs would be far more than what sockets hold and this bound.
    let sent = (pings.len() * 100) as u64;
    let received = || gateway.metric("received_bytes_total");
    while received().await < sent {
        tokio::task::yield_now().await;
    }
    let grown = resident_kb(&gateway).saturating_sub(before);
    assert!(grown < 4096, "{grown} KB more");
    let mut other = gateway.connect("/").await;
    assert_eq!(other.ask("hello").await, "hello");

    raw.write(&frame(PING, b"last")).await;
    raw.write(&frame(TEXT, b"still here")).await;
    let (mut pongs, mut last) = (0, false);
    loop {
        match next(&mut raw).await {
            (PONG, payload) => {
                pongs += 1;
                last |= payload == b"last";
            }
            other => {
                assert_eq!(other, (TEXT, b"still here".to_vec()));
                break;
            }
        }
    }
    assert!(last, "the last ping is answered");
    assert!(pongs <= 100_001, "{pongs}");
}

fn resident_kb(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
