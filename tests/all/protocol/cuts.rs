//! Frames cut in two, and very many of them.

use super::*;

/// The route's limit on a message.
const LIMIT: usize = 70_000;
/// The longest head of a client's frame.
const HEAD_MAX: usize = 14;

async fn limited() -> Gateway {
    let limits = format!("message = {LIMIT}");
    Gateway::with("echo").route_limits(&limits).start().await
}

/// Where to cut a frame: everywhere if it is short, else in its head and here and there behind.
fn cuts(len: usize) -> Vec<usize> {
    match len {
        0..300 => (1..len).collect(),
        _ => (1..=HEAD_MAX).chain([len / 2, len - 4, len - 1]).collect(),
    }
}

#[tokio::test]
async fn a_frame_of_any_length_may_be_cut_anywhere() {
    let gateway = limited().await;
    let mut raw = upgraded(&gateway).await;
    raw.socket().set_nodelay(true).unwrap();
    for len in [0, 125, 126, 65_535, 65_536, LIMIT] {
        let payload: Vec<u8> = (0..len).map(|index| index as u8).collect();
        let bytes = frame(BINARY, &payload);
        for cut in cuts(bytes.len()) {
            let (begin, end) = bytes.split_at(cut);
            raw.write(begin).await;
            tokio::task::yield_now().await;
            raw.write(end).await;
            assert!(
                next(&mut raw).await == (BINARY, payload.clone()),
                "{len} cut at {cut}"
            );
        }
    }
}

#[tokio::test]
async fn one_byte_too_many_is_told_wherever_the_head_is_cut() {
    let gateway = limited().await;
    let bytes = frame(BINARY, &[0; LIMIT + 1]);
    for cut in 1..=HEAD_MAX {
        let mut raw = upgraded(&gateway).await;
        raw.socket().set_nodelay(true).unwrap();
        raw.write(&bytes[..cut]).await;
        tokio::task::yield_now().await;
        // The rest of the head is enough to be told.
        raw.write(&bytes[cut..HEAD_MAX]).await;
        assert_eq!(closed_with(&mut raw).await.0, 1009, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_million_pings_are_answered() {
    const AT_ONCE: usize = 10_000;
    let unlimited = Gateway::with("echo").route_limits("control_rate = \"off\"");
    let gateway = unlimited.start().await;
    let mut raw = upgraded(&gateway).await;
    let pings = frame(PING, b"").repeat(AT_ONCE);
    let pongs = [PONG, 0].repeat(AT_ONCE);
    let before = gateway.peak_memory();
    for _ in 0..100 {
        raw.write(&pings).await;
        assert!(raw.read(pongs.len()).await == pongs);
    }
    raw.write(&frame(TEXT, b"still here")).await;
    assert_eq!(next(&mut raw).await, (TEXT, b"still here".to_vec()));
    let grown = gateway.peak_memory().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes");
}
