//! permessage-deflate (RFC 7692) on the wire.

use tidegate_codec::deflate::{Deflater, Inflater};

use crate::client::{Raw, frame, upgrade_request};
use crate::gateway::{Gateway, Setup};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
/// The message is compressed.
const RSV1: u8 = 0x40;
const OFFER: &str = "permessage-deflate";

fn with(plugin: &str, compression: &str) -> Setup {
    Gateway::with(plugin).route(&format!("compression = {{ {compression} }}"))
}

/// Connects with an offer; returns the answer to it as well.
async fn connect(gateway: &Gateway, path: &str, offer: &str) -> (Raw, Option<String>) {
    let mut raw = Raw::connect(gateway.address).await;
    let head = upgrade_request(path);
    let head = head.trim_end();
    raw.write(format!("{head}\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n").as_bytes())
        .await;
    let head = raw.read_head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let answer = lines
        .filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-extensions"))
        .map(|(_, value)| value.to_owned())
        .next();
    (raw, answer)
}

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Deflater::new(6, 15).deflate(text, &mut bytes, false);
    bytes
}

/// Inflates the next message, which must be a compressed text; returns its compressed length too.
async fn inflated(raw: &mut Raw, inflater: &mut Inflater) -> (String, usize) {
    let (first, payload) = raw.read_frame().await;
    assert_eq!(first, TEXT | RSV1, "{payload:?}");
    let mut text = Vec::new();
    inflater
        .inflate(&payload, &mut text, 1 << 24, true)
        .expect("it can be inflated");
    (String::from_utf8(text).unwrap(), payload.len())
}

async fn close_code(raw: &mut Raw) -> u16 {
    let (first, payload) = raw.read_frame().await;
    assert_eq!(first, CLOSE, "{payload:?}");
    u16::from_be_bytes([payload[0], payload[1]])
}

/// Text in which there is something to find twice.
fn prose(len: usize) -> String {
    let words = ["tide ", "gate ", "topic ", "frame ", "shard "];
    let words = (0..).map(|n: usize| words[(n * n + n / 3) % words.len()]);
    words.flat_map(str::chars).take(len).collect()
}

#[tokio::test]
async fn it_is_off_unless_the_route_asks_for_it() {
    let gateway = Gateway::with("echo").start().await;
    let (mut raw, answer) = connect(&gateway, "/", OFFER).await;
    assert_eq!(answer, None);
    raw.write(&frame(TEXT | RSV1, &deflated(b"hello"))).await;
    assert_eq!(close_code(&mut raw).await, 1002);
}

#[tokio::test]
async fn a_shared_compressor_forbids_takeover_and_leaves_short_messages_alone() {
    let gateway = with("echo", "mode = \"shared\"").start().await;
    let (mut raw, answer) = connect(&gateway, "/", OFFER).await;
    assert_eq!(
        answer.as_deref(),
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    );
    let long = prose(1024);
    for _ in 0..3 {
        raw.write(&frame(TEXT | RSV1, &deflated(long.as_bytes())))
            .await;
        let (text, len) = inflated(&mut raw, &mut Inflater::new()).await;
        assert_eq!(text, long);
        assert!(len < 700, "{len} bytes");
    }
    // Below the minimum, whatever way it came.
    for first in [TEXT, TEXT | RSV1] {
        let payload = match first {
            TEXT => b"short".to_vec(),
            _ => deflated(b"short"),
        };
        raw.write(&frame(first, &payload)).await;
        assert_eq!(raw.read_frame().await, (TEXT, b"short".to_vec()));
    }
    assert_eq!(gateway.metric("compressions_total").await, 3);
}

#[tokio::test]
async fn a_client_that_offers_nothing_gets_nothing() {
    let gateway = with("echo", "mode = \"shared\"").start().await;
    let mut client = gateway.connect("/").await;
    let long = prose(4096);
    assert_eq!(client.ask(&long).await, long);
    assert_eq!(gateway.metric("compressions_total").await, 0);
}

#[tokio::test]
async fn fragments_of_a_compressed_message_are_joined() {
    let gateway = with("echo", "mode = \"shared\"").start().await;
    let (mut raw, _) = connect(&gateway, "/", OFFER).await;
    let long = prose(3000);
    let bytes = deflated(long.as_bytes());
    let (begin, end) = bytes.split_at(bytes.len() / 2);
    raw.write(&frame(0x01 | RSV1, begin)).await;
    raw.write(&frame(0x89, b"in between")).await;
    raw.write(&frame(0x80, end)).await;
    assert_eq!(raw.read_frame().await, (0x8a, b"in between".to_vec()));
    assert_eq!(inflated(&mut raw, &mut Inflater::new()).await.0, long);
}

#[tokio::test]
async fn with_contexts_of_its_own_a_connection_says_things_twice_for_little() {
    let gateway = with("topics", "mode = \"dedicated\", minimum = 0")
        .path("/plain/{room}")
        .start()
        .await;
    let (mut raw, answer) = connect(&gateway, "/plain/a", OFFER).await;
    assert_eq!(answer.as_deref(), Some(OFFER));
    // A publish stands alone, and what is inflated behind it must still be right.
    let mut speaker = gateway.connect("/plain/a").await;
    gateway.until_metric("connections_open", 2).await;
    let mut inflater = Inflater::new();
    for _ in 0..3 {
        let long = prose(2000);
        speaker.send(&long).await;
        assert_eq!(inflated(&mut raw, &mut inflater).await.0, long);
    }
    let gateway = with("echo", "mode = \"dedicated\"").start().await;
    let (mut raw, _) = connect(&gateway, "/", OFFER).await;
    let (mut inflater, mut lens) = (Inflater::new(), Vec::new());
    // Nothing in it is there twice.
    let mut seed = 1_u32;
    let long: String = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'0' + (seed >> 16) as u8 % 64)
    })
    .take(2000)
    .collect();
    for _ in 0..3 {
        raw.write(&frame(TEXT, long.as_bytes())).await;
        let (text, len) = inflated(&mut raw, &mut inflater).await;
        assert_eq!(text, long);
        lens.push(len);
    }
    assert!(lens[1] * 4 < lens[0], "{lens:?}");
}

#[tokio::test]
async fn a_publish_is_compressed_once_for_all_who_take_it_so() {
    let gateway = with("topics", "mode = \"shared\"")
        .path("/plain/{room}")
        .server("shards = 1")
        .start()
        .await;
    let mut compressed = Vec::new();
    for _ in 0..20 {
        compressed.push(connect(&gateway, "/plain/a", OFFER).await.0);
    }
    let mut plain = gateway.connect("/plain/a").await;
    let mut speaker = gateway.connect("/plain/a").await;
    gateway.until_metric("connections_open", 22).await;
    let long = prose(2000);
    speaker.send(&long).await;
    assert_eq!(plain.recv().await, long);
    for raw in &mut compressed {
        assert_eq!(inflated(raw, &mut Inflater::new()).await.0, long);
    }
    assert_eq!(gateway.metric("compressions_total").await, 1);
}

#[tokio::test]
async fn contexts_are_given_as_far_as_their_memory_goes() {
    let gateway = with("echo", "mode = \"dedicated\", memory = \"420KiB\"")
        .server("shards = 1")
        .start()
        .await;
    let (first, one) = connect(&gateway, "/", OFFER).await;
    let (_second, two) = connect(&gateway, "/", OFFER).await;
    let (_third, three) = connect(&gateway, "/", OFFER).await;
    assert_eq!((one.as_deref(), two.as_deref()), (Some(OFFER), Some(OFFER)));
    assert!(three.unwrap().contains("server_no_context_takeover"));
    let refused = "compression_contexts_refused_total";
    assert_eq!(gateway.metric(refused).await, 1);
    drop(first);
    gateway.until_metric("connections_open", 2).await;
    assert_eq!(
        connect(&gateway, "/", OFFER).await.1.as_deref(),
        Some(OFFER)
    );
    assert_eq!(gateway.metric(refused).await, 1);
}

#[tokio::test]
async fn a_bomb_is_stopped_at_the_message_limit() {
    let gateway = with("echo", "mode = \"shared\"")
        .route_limits("message = \"1MiB\"")
        .start()
        .await;
    let limit = 1 << 20;
    let (mut raw, _) = connect(&gateway, "/", OFFER).await;
    raw.write(&frame(TEXT | RSV1, &deflated(&vec![b'a'; limit])))
        .await;
    assert_eq!(
        inflated(&mut raw, &mut Inflater::new()).await.0.len(),
        limit
    );
    let before = gateway.peak_memory();
    let bomb = deflated(&vec![b'a'; 64 * limit]);
    assert!(bomb.len() < limit);
    for bytes in [deflated(&vec![b'a'; limit + 1]), bomb] {
        let (mut raw, _) = connect(&gateway, "/", OFFER).await;
        raw.write(&frame(TEXT | RSV1, &bytes)).await;
        assert_eq!(close_code(&mut raw).await, 1009);
    }
    let grown = gateway.peak_memory().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes");
}

#[tokio::test]
async fn what_inflates_beyond_its_ratio_is_refused_once_it_is_long() {
    let gateway = with("echo", "mode = \"shared\"").start().await;
    let (mut raw, _) = connect(&gateway, "/", OFFER).await;
    // A thousand times its size, but short; then long, but of a ratio that honest text has.
    raw.write(&frame(TEXT | RSV1, &deflated(&vec![b'a'; 1 << 20])))
        .await;
    let mut inflater = Inflater::new();
    assert_eq!(inflated(&mut raw, &mut inflater).await.0.len(), 1 << 20);
    let (mut raw, _) = connect(&gateway, "/", OFFER).await;
    let rows = (0..60_000).map(|n| format!("{{\"id\":{n},\"name\":\"row\",\"done\":false}},\n"));
    let rows: String = rows.collect();
    raw.write(&frame(TEXT | RSV1, &deflated(rows.as_bytes())))
        .await;
    let mut inflater = Inflater::new();
    assert_eq!(inflated(&mut raw, &mut inflater).await.0, rows);
    let (mut raw, _) = connect(&gateway, "/", OFFER).await;
    raw.write(&frame(TEXT | RSV1, &deflated(&vec![b'a'; 8 << 20])))
        .await;
    assert_eq!(close_code(&mut raw).await, 1009);
    let refused = r#"excesses_total{limit="inflation"}"#;
    assert_eq!(gateway.metric(refused).await, 1);
}

#[tokio::test]
async fn what_cannot_be_inflated_or_is_no_text_is_refused() {
    let gateway = with("echo", "mode = \"shared\"").start().await;
    let cases = [
        (TEXT | RSV1, b"\xff\xff\xff\xff".to_vec(), 1007),
        (TEXT | RSV1, deflated(b"\xff\xfe"), 1007),
        (0x80 | RSV1, deflated(b"no first frame"), 1002),
        (0x89 | RSV1, b"ping".to_vec(), 1002),
        (TEXT | 0x20, deflated(b"RSV2"), 1002),
    ];
    for (first, payload, code) in cases {
        let (mut raw, _) = connect(&gateway, "/", OFFER).await;
        raw.write(&frame(first, &payload)).await;
        assert_eq!(close_code(&mut raw).await, code, "{first:x} {payload:x?}");
    }
}
