//! How large a message may be.

use super::*;

const LIMIT: &str = "message = \"64KiB\"";

#[tokio::test]
async fn a_message_of_the_limit_passes_and_one_byte_more_is_1009() {
    let gateway = Gateway::with("echo").route_limits(LIMIT).start().await;
    let mut raw = upgraded(&gateway).await;
    raw.write(&frame(BINARY, &[1; 65_536])).await;
    assert_eq!(next(&mut raw).await, (BINARY, vec![1; 65_536]));
    // The gateway may be done with us before it is all sent.
    let _ = raw.try_write(&frame(BINARY, &[1; 65_537])).await;
    assert_eq!(
        closed_with(&mut raw).await,
        (1009, "message too big".to_owned())
    );
}

#[tokio::test]
async fn a_message_that_is_only_announced_as_too_large_is_1009() {
    let gateway = Gateway::with("echo").route_limits(LIMIT).start().await;
    for len in [65_537_u64, 1 << 32, i64::MAX as u64] {
        let mut raw = upgraded(&gateway).await;
        raw.write(&[&[BINARY, 0xff], &len.to_be_bytes()[..]].concat())
            .await;
        assert_eq!(
            closed_with(&mut raw).await,
            (1009, "message too big".to_owned())
        );
    }
}

#[tokio::test]
async fn fragments_count_together() {
    let gateway = Gateway::with("echo").route_limits(LIMIT).start().await;
    let mut raw = upgraded(&gateway).await;
    raw.write(&frame(0x02, &[1; 40_000])).await;
    raw.write(&frame(PING, b"between")).await;
    assert_eq!(next(&mut raw).await.0, PONG);
    // Announced, not sent.
    raw.write(&[0x00, 0xfe, 0x9c, 0x40]).await;
    assert_eq!(
        closed_with(&mut raw).await,
        (1009, "message too big".to_owned())
    );
}

#[tokio::test]
async fn a_message_far_over_the_limit_takes_no_memory() {
    let gateway = Gateway::with("echo").route_limits(LIMIT).start().await;
    let mut raw = upgraded(&gateway).await;
    let before = resident_kb(&gateway);
    raw.write(&[&[BINARY, 0xff], &(1_u64 << 30).to_be_bytes()[..], &[0; 4]].concat())
        .await;
    let chunk = vec![0; 1 << 20];
    // It is cut off at once, or read over; it must not be kept.
    for _ in 0..64 {
        if raw.try_write(&chunk).await.is_err() {
            break;
        }
    }
    let grown = resident_kb(&gateway).saturating_sub(before);
    assert!(grown < 4096, "{grown} KB more");
    let (first, payload) = next(&mut raw).await;
    assert_eq!((first, &payload[..2]), (CLOSE, &1009_u16.to_be_bytes()[..]));
}
