//! Clients that mean well, and notice whatever is lost, torn, repeated or out of order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::dice::Dice;
use crate::PATIENCE;
use crate::client::{Client, Raw};

/// Asks numbered questions until it is told to stop, and expects each answer; returns how many.
pub async fn ask(mut client: Client, stop: &AtomicBool, mut dice: Dice) -> u64 {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let question = format!("{number} {}", "?".repeat(dice.below(2000)));
        assert!(client.ask(&question).await == question, "{number}");
        number += 1;
        tokio::time::sleep(Duration::from_millis(dice.below(40) as u64)).await;
    }
    client.close(1000, "").await;
    number
}

/// Publishes numbered news of all sizes until it is told to stop, and the last one then; returns how
/// many.
pub async fn publish(mut client: Client, stop: &AtomicBool, mut dice: Dice) -> u64 {
    let mut issue = 0;
    loop {
        let is_last = stop.load(Ordering::Relaxed);
        let len = match is_last {
            true => 0,
            false => dice.one_of(&[1, 100, 10_000, 60_000]),
        };
        assert_eq!(client.ask(&format!("news {issue} {len}")).await, "out");
        issue += 1;
        if is_last {
            client.close(1000, "").await;
            return issue;
        }
        tokio::time::sleep(Duration::from_millis(dice.below(50) as u64)).await;
    }
}

/// Hears the news to the last, which is the empty one, and expects every issue from the first it
/// hears; returns how many.
pub async fn hear(mut client: Client) -> u64 {
    let mut paper = Paper::default();
    while !paper.is_last(&client.recv().await) {}
    client.close(1000, "").await;
    paper.count
}

/// Hears the news as [`hear`] does, of an event stream.
pub async fn hear_events(mut stream: Raw) -> u64 {
    let mut paper = Paper::default();
    let (mut text, mut part) = (String::new(), vec![0; 64 << 10]);
    loop {
        let read = stream.socket().read(&mut part);
        let read = tokio::time::timeout(PATIENCE, read).await;
        let read = read.expect("events come").expect("it is open");
        assert!(read > 0, "the stream ended");
        text.push_str(std::str::from_utf8(&part[..read]).expect("news are ASCII"));
        while let Some((event, rest)) = text.split_once("\n\n") {
            // Comments keep it alive.
            let is_last = !event.starts_with(':') && {
                let fields = event
                    .strip_prefix("id: ")
                    .and_then(|it| it.split_once("\ndata: "));
                let (id, news) = fields.unwrap_or_else(|| panic!("{event:.200}"));
                assert!(news.starts_with(id), "{event:.200}");
                paper.is_last(news)
            };
            if is_last {
                return paper.count;
            }
            text = rest.to_owned();
        }
    }
}

/// The news as one hears them.
#[derive(Default)]
struct Paper {
    /// The issue that comes next; none before the first.
    next: Option<u64>,
    count: u64,
}

impl Paper {
    /// Checks one of the news; returns whether it is the last.
    fn is_last(&mut self, news: &str) -> bool {
        let (issue, text) = news.split_once(' ').expect("an issue and its text");
        let issue: u64 = issue.parse().expect("a number");
        assert_eq!(issue, self.next.unwrap_or(issue), "{news:.60}");
        assert!(text.bytes().all(|byte| byte == b'x'), "{issue} is torn");
        self.next = Some(issue + 1);
        self.count += 1;
        text.is_empty()
    }
}
