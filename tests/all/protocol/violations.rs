//! What RFC 6455 forbids, and the code each offence is closed with.

use super::*;

/// Sends bytes on a connection of its own; it must be closed with that code and these words.
async fn offends(gateway: &Gateway, bytes: &[u8], code: u16, words: &str) {
    let mut raw = upgraded(gateway).await;
    raw.write(bytes).await;
    assert_eq!(closed_with(&mut raw).await, (code, words.to_owned()));
}

/// A frame's first bytes as they are, with a mask of noughts behind.
fn bytes(head: &[u8]) -> Vec<u8> {
    [head, &[0; 4]].concat()
}

#[tokio::test]
async fn frames_that_break_a_rule_are_closed_with_1002() {
    let gateway = Gateway::with("echo").start().await;
    let long = [0; 126];
    let offences: [(Vec<u8>, &str); 19] = [
        (b"\x81\x05hello".to_vec(), "frame not masked"),
        (b"\x89\x00".to_vec(), "frame not masked"),
        (frame(0xc1, b"rsv1"), "reserved bits set"),
        (frame(0xa1, b"rsv2"), "reserved bits set"),
        (frame(0x91, b"rsv3"), "reserved bits set"),
        (frame(0x83, b""), "unknown opcode 3"),
        (frame(0x87, b""), "unknown opcode 7"),
        (frame(0x8b, b""), "unknown opcode 11"),
        (frame(0x8f, b""), "unknown opcode 15"),
        (
            bytes(&[0x82, 0xfe, 0, 125]),
            "length not in its minimal form",
        ),
        (
            bytes(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            "length not in its minimal form",
        ),
        (
            bytes(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            "length not in its minimal form",
        ),
        (frame(PING, &long), "control frame too long"),
        (frame(CLOSE, &long), "control frame too long"),
        (frame(0x09, b""), "control frame fragmented"),
        (frame(0x08, b""), "control frame fragmented"),
        (frame(0x80, b"end"), "continuation without a message"),
        (
            [frame(0x01, b"a"), frame(TEXT, b"b")].concat(),
            "new message inside a fragmented one",
        ),
        (
            [frame(0x01, b"a"), frame(0x80, b"b"), frame(0x00, b"c")].concat(),
            "continuation without a message",
        ),
    ];
    for (index, (offence, words)) in offences.iter().enumerate() {
        // The last one is a whole message first, which is answered.
        if index == 18 {
            let mut raw = upgraded(&gateway).await;
            raw.write(offence).await;
            assert_eq!(next(&mut raw).await, (TEXT, b"ab".to_vec()));
            assert_eq!(closed_with(&mut raw).await, (1002, (*words).to_owned()));
            continue;
        }
        offends(&gateway, offence, 1002, words).await;
    }
    gateway
        .until_metric("closes_total{cause=\"protocol-error\"}", 19)
        .await;
    gateway.until_metric("connections_open", 0).await;
}

#[tokio::test]
async fn text_that_is_no_utf8_is_closed_with_1007() {
    let gateway = Gateway::with("echo").start().await;
    for offence in [
        frame(TEXT, b"\xff"),
        frame(TEXT, b"cut \xc3"),
        frame(TEXT, b"\xed\xa0\x80 a surrogate"),
        frame(TEXT, b"\xc0\xaf overlong"),
        frame(TEXT, b"\xf4\x90\x80\x80 too high"),
        [frame(0x01, b"a\xc3"), frame(0x80, b"a")].concat(),
        // Found before the message has ended.
        frame(0x01, b"\xff"),
    ] {
        offends(&gateway, &offence, 1007, "invalid utf-8").await;
    }
    // As bytes it is fine.
    let mut raw = upgraded(&gateway).await;
    raw.write(&frame(BINARY, b"\xff")).await;
    assert_eq!(next(&mut raw).await, (BINARY, b"\xff".to_vec()));
}

#[tokio::test]
async fn a_violation_behind_messages_comes_after_their_answers() {
    let gateway = Gateway::with("echo").start().await;
    let mut raw = upgraded(&gateway).await;
    let sent = [
        frame(TEXT, b"good"),
        frame(0x83, b""),
        frame(TEXT, b"ignored"),
    ];
    raw.write(&sent.concat()).await;
    assert_eq!(next(&mut raw).await, (TEXT, b"good".to_vec()));
    assert_eq!(closed_with(&mut raw).await.0, 1002);
}

#[tokio::test]
async fn a_handler_is_told_which_rule_was_broken() {
    let gateway = Gateway::with("lifecycle").start().await;
    let mut audit = gateway.connect("/?audit").await;
    // The answer comes behind its `on_open`: it listens now.
    audit.ask("ready").await;
    let mut raw = upgraded(&gateway).await;
    let opened = audit.recv().await;
    let id = opened.strip_prefix("open ").unwrap();
    raw.write(&frame(0x83, b"")).await;
    assert_eq!(closed_with(&mut raw).await.0, 1002);
    assert_eq!(
        audit.recv().await,
        format!("close {id} protocol-error unknown opcode 3")
    );
}
