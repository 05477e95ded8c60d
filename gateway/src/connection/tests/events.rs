//! Events in order, one at a time, all or nothing.

use super::*;
use crate::labels::FailureKind;

#[test]
fn events_come_in_order_and_each_once() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        assert_eq!(peer.ask("send one").await, "one");
        assert_eq!(peer.ask("send two").await, "two");
        peer.write(&close_frame(4001)).await;
        assert_eq!(peer.close_frame().await, (4001, "bye".to_owned()));
        peer.end().await;
        bench.until_empty().await;
        assert_eq!(
            bench.log(),
            ["open /", "send one", "send two", "close peer 4001 \"bye\""]
        );
    });
}

#[test]
fn what_came_with_the_request_is_handled_after_open() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect_with(&frame(TEXT, b"send early")).await;
        assert_eq!(peer.text().await, "early");
        assert_eq!(peer.ask("send late").await, "late");
        assert_eq!(bench.log(), ["open /", "send early", "send late"]);
    });
}

#[test]
fn a_frame_may_begin_in_the_request_and_end_later() {
    on_a_shard(async |bench| {
        let whole = frame(TEXT, b"send parts");
        let (early, late) = whole.split_at(3);
        let mut peer = bench.connect_with(early).await;
        bench.until_logged("open /").await;
        peer.write(late).await;
        assert_eq!(peer.text().await, "parts");
    });
}

#[test]
fn nothing_more_is_handled_while_a_handler_runs() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        let mut other = bench.connect().await;
        peer.send("wait").await;
        peer.send("send second").await;
        bench.until_logged("wait").await;
        // Others go on meanwhile.
        assert_eq!(other.ask("send other").await, "other");
        let second = "send second".to_owned();
        assert!(!bench.log().contains(&second), "{:?}", bench.log());
        bench.fake.release.notify_one();
        assert_eq!(peer.text().await, "second");
    });
}

#[test]
fn what_waits_for_an_instance_keeps_its_order_and_its_bytes() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        let mut other = bench.connect().await;
        assert_eq!(peer.ask("send ready").await, "ready");
        bench.fake.busy.set(true);
        let bytes = [
            frame(TEXT, b"wait"),
            frame(TEXT, b"send one"),
            frame(TEXT, b"send two"),
        ];
        peer.write(&bytes.concat()).await;
        bench.until_logged("wait").await;
        // What others send would overwrite a shared buffer.
        assert_eq!(other.ask("send other").await, "other");
        bench.fake.release.notify_one();
        assert_eq!(peer.text().await, "one");
        assert_eq!(peer.text().await, "two");
    });
}

#[test]
fn nothing_of_a_failed_event_takes_effect() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        peer.send("send-and-err lost").await;
        assert_eq!(peer.ask("state").await, "first");
        peer.send("set-state second").await;
        assert_eq!(peer.ask("state").await, "second");
        assert_eq!(bench.shard.counters().failures.get(FailureKind::Error), 1);
    });
}

#[test]
fn an_error_closes_where_the_route_says_so() {
    on_a_shard(async |bench| {
        bench.after(OnFailure::Close, OnError::Close);
        let mut peer = bench.connect().await;
        peer.send("send-and-err lost").await;
        assert_eq!(
            peer.close_frame().await,
            (1011, "handler failed".to_owned())
        );
        peer.write(&close_frame(1011)).await;
        peer.end().await;
    });
}

#[test]
fn a_trap_keeps_where_the_route_says_so() {
    on_a_shard(async |bench| {
        bench.after(OnFailure::Keep, OnError::Close);
        let mut peer = bench.connect().await;
        peer.send("send-and-trap lost").await;
        assert_eq!(peer.ask("state").await, "first");
        assert_eq!(bench.shard.counters().failures.get(FailureKind::Trap), 1);
    });
}

#[test]
fn a_handler_that_was_told_queued_is_told_of_the_drain_once() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        peer.send("fill").await;
        bench.until_logged("fill").await;
        while let (0x82, _) = peer.next().await {}
        assert_eq!(peer.ask("send after").await, "after");
        let drains = bench.log().iter().filter(|line| *line == "drain").count();
        assert_eq!(drains, 1);
    });
}

#[test]
fn pings_are_answered_between_messages() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        peer.write(&[frame(0x89, b"are you there"), frame(TEXT, b"send yes")].concat())
            .await;
        assert_eq!(peer.next().await, (0x8a, b"are you there".to_vec()));
        assert_eq!(peer.text().await, "yes");
        assert_eq!(bench.log(), ["open /", "send yes"]);
    });
}
