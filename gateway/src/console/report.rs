//! What the page is told, as JSON: one object a report, told apart by `type`.

use std::time::Duration;

use serde::Serialize;
use tidegate_codec as codec;

use super::Samples;
use crate::effects::{Effect, Effects, Encoded};
use crate::plugin::Notice;

/// Effects of one event that are described; how many more there were is said. A page is read, and
/// an event may have a hundred thousand.
const EFFECTS_SHOWN: usize = 20;
/// Bytes of one piece of text in a report. Traps come with a backtrace, requests with long paths.
const TEXT_MAX: usize = 4 << 10;

/// One thing the page is told.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Report {
    /// How things stand: the first report of every stream.
    Hello {
        /// The plugin under development.
        plugin: String,
        /// The plugin's current generation.
        generation: Option<u64>,
        /// SHA-256 of that generation.
        digest: Option<String>,
        /// Why the last load was refused, if it was.
        error: Option<String>,
        /// How the last build went.
        build: Option<Build>,
        /// Open connections.
        connections: usize,
        /// The file to edit.
        source: String,
        /// The paths of the routes.
        routes: Vec<String>,
        /// Ready-made messages.
        samples: Samples,
    },
    /// The ready-made messages were read anew.
    Samples(Samples),
    /// A generation took over.
    Swapped {
        /// The plugin.
        plugin: String,
        /// The plugin's new generation.
        generation: u64,
        /// SHA-256 of it.
        digest: String,
        /// From the request to the swap, in milliseconds.
        took_ms: f64,
        /// Whether it is an earlier generation that came back.
        rollback: bool,
        /// Open connections, none of which was closed for this.
        connections: usize,
    },
    /// A load was refused; the generation in place stays.
    Refused {
        /// The plugin.
        plugin: String,
        /// Why.
        error: String,
    },
    /// A build gave what was loaded last, so there was nothing to load. After a rollback that is not
    /// what is in place.
    Unchanged {
        /// The plugin.
        plugin: String,
        /// The generation it was loaded as.
        generation: u64,
    },
    /// An event of a connection was handled.
    Event(Trace),
    /// The page was too slow for this many reports.
    Lagged {
        /// How many were left out.
        missed: u64,
    },
    /// A build's beginning or end.
    #[serde(untagged)]
    Build(Build),
}

/// A build's beginning or end.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Build {
    /// A build has begun.
    Building {},
    /// A build has succeeded.
    Built {
        /// How long it took, in milliseconds.
        took_ms: f64,
    },
    /// A build has failed.
    BuildFailed {
        /// What the compiler wrote.
        output: String,
    },
}

/// An event that a handler has handled.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    /// `upgrade`, `open`, `message`, `drain` or `close`.
    pub event: &'static str,
    /// The event's connection; none for an upgrade.
    pub connection: Option<u64>,
    /// The generation that handled it; none if there was no instance to do so.
    pub generation: Option<u64>,
    /// How long the handler took, in microseconds, its wait for an instance included.
    pub took_us: f64,
    /// What the event carried, in a few words.
    pub detail: String,
    /// `ok`, or the failure's words.
    pub outcome: String,
    /// What the handler did, one line each; none of it took effect unless the outcome is `ok`.
    pub effects: Vec<String>,
}

impl Report {
    /// The report of a notice, while `connections` are open.
    pub(super) fn of(notice: Notice, connections: usize) -> Self {
        match notice {
            Notice::Swapped {
                plugin,
                generation,
                digest,
                took,
                rollback,
            } => {
                let (plugin, digest) = (plugin.to_string(), digest.to_string());
                let took_ms = milliseconds(took);
                Self::Swapped {
                    plugin,
                    generation,
                    digest,
                    took_ms,
                    rollback,
                    connections,
                }
            }
            Notice::Refused { plugin, error } => Self::Refused {
                plugin: plugin.to_string(),
                error,
            },
        }
    }
}

/// Milliseconds, to the microsecond.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Microseconds, to the tenth: a handler may take less than one.
pub(super) fn microseconds(duration: Duration) -> f64 {
    (duration.as_nanos() / 100) as f64 / 10.0
}

/// The effects in words, the first of them.
pub(super) fn describe(effects: &Effects) -> Vec<String> {
    let list = effects.list();
    let mut lines: Vec<_> = list
        .iter()
        .take(EFFECTS_SHOWN)
        .map(|effect| line(effects, effect))
        .collect();
    if let more @ 1.. = list.len().saturating_sub(EFFECTS_SHOWN) {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn line(effects: &Effects, effect: &Effect) -> String {
    match effect {
        Effect::Send { to, frame, .. } => {
            format!("send to {to} ({} B)", payload_len(effects, frame))
        }
        Effect::Publish {
            topic,
            frame,
            except,
            ..
        } => {
            let except = except.map_or_else(String::new, |id| format!(" except {id}"));
            format!(
                "publish {} ({} B){except}",
                effects.text(topic),
                payload_len(effects, frame)
            )
        }
        Effect::Subscribe {
            topic,
            label: Some(label),
            ..
        } => format!("subscribe {topic} as {label}"),
        Effect::Subscribe {
            topic, label: None, ..
        } => format!("subscribe {topic}"),
        Effect::Unsubscribe { topic, .. } => format!("unsubscribe {topic}"),
        Effect::SetTimer { name, schedule, .. } => {
            let every = schedule.every;
            let every = every.map_or_else(String::new, |every| format!(", then every {every:?}"));
            format!("set timer {name} in {:?}{every}", schedule.delay)
        }
        Effect::ClearTimer { name, .. } => format!("clear timer {name}"),
        Effect::Overflow { to } => format!("close {to}: its outbox is full"),
        Effect::Close(frame) if frame.reason.is_empty() => format!("close {}", frame.code),
        Effect::Close(frame) => format!("close {} {:?}", frame.code, frame.reason),
        Effect::Kick { to, frame, .. } => format!("close {to}: {} {:?}", frame.code, frame.reason),
    }
}

/// Bytes of payload in a frame.
fn payload_len(effects: &Effects, frame: &Encoded) -> usize {
    codec::payload(effects.frame(frame)).len()
}

/// `text`, cut at [`TEXT_MAX`].
pub(super) fn bounded(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::close::CloseFrame;
    use crate::effects::Options;
    use crate::message::{ConnectionId, Message};
    use crate::topic::{Topic, TopicOwner};

    fn json_of(report: &Report) -> Value {
        serde_json::to_value(report).unwrap()
    }

    #[test]
    fn reports_carry_their_type() {
        assert_eq!(
            json_of(&Report::Build(Build::Building {})),
            json!({ "type": "building" })
        );
        let built = Report::Build(Build::Built { took_ms: 812.5 });
        assert_eq!(
            json_of(&built),
            json!({ "type": "built", "took_ms": 812.5 })
        );
        let failed = Report::Build(Build::BuildFailed {
            output: "error: no\n".to_owned(),
        });
        assert_eq!(
            json_of(&failed),
            json!({ "type": "build-failed", "output": "error: no\n" })
        );
        assert_eq!(
            json_of(&Report::Lagged { missed: 3 }),
            json!({ "type": "lagged", "missed": 3 })
        );
        let refused = Notice::Refused {
            plugin: "chat".into(),
            error: "no".to_owned(),
        };
        let refused = json_of(&Report::of(refused, 0));
        assert_eq!(
            refused,
            json!({ "type": "refused", "plugin": "chat", "error": "no" })
        );
    }

    #[test]
    fn a_hello_holds_the_last_build() {
        let hello = Report::Hello {
            plugin: "chat".to_owned(),
            generation: None,
            digest: None,
            error: None,
            build: Some(Build::Building {}),
            connections: 0,
            source: "src/lib.rs".to_owned(),
            routes: vec!["/".to_owned()],
            samples: Samples::default(),
        };
        let hello = json_of(&hello);
        assert_eq!(hello["type"], "hello");
        assert_eq!(hello["generation"], Value::Null);
        assert_eq!(hello["build"], json!({ "type": "building" }));
    }

    #[test]
    fn a_trace_is_an_event() {
        let trace = Trace {
            event: "message",
            connection: Some(5),
            generation: Some(2),
            took_us: microseconds(Duration::from_nanos(14_260)),
            detail: "text, 3 B".to_owned(),
            outcome: "ok".to_owned(),
            effects: vec![],
        };
        let expected = json!({
            "type": "event", "event": "message", "connection": 5, "generation": 2,
            "took_us": 14.2, "detail": "text, 3 B", "outcome": "ok", "effects": [],
        });
        assert_eq!(json_of(&Report::Event(trace)), expected);
    }

    #[test]
    fn effects_are_described_with_the_sizes_of_their_payloads() {
        let owner = TopicOwner::plugin(0);
        let topic = Topic {
            owner,
            name: "room:tea",
        };
        let mut effects = Effects::default();
        effects.send(
            ConnectionId(5),
            Message::Text("hello"),
            Options::default(),
            0,
        );
        effects.publish(
            topic,
            Message::Binary(&[0; 126]),
            Some(ConnectionId(3)),
            Options::default(),
        );
        effects.publish(
            topic,
            Message::Binary(&[0; 65_536]),
            None,
            Options::default(),
        );
        effects.push(Effect::Subscribe {
            owner,
            topic: "a".into(),
            label: Some("ann".into()),
        });
        effects.push(Effect::Unsubscribe {
            owner,
            topic: "a".into(),
        });
        effects.push(Effect::Close(CloseFrame {
            code: 1008,
            reason: "enough".to_owned(),
        }));
        let expected = [
            "send to 5 (5 B)",
            "publish room:tea (126 B) except 3",
            "publish room:tea (65536 B)",
            "subscribe a as ann",
            "unsubscribe a",
            "close 1008 \"enough\"",
        ];
        assert_eq!(describe(&effects), expected);
    }

    #[test]
    fn a_flood_of_effects_is_counted_not_listed() {
        let mut effects = Effects::default();
        for _ in 0..EFFECTS_SHOWN + 7 {
            effects.send(ConnectionId(1), Message::Text(""), Options::default(), 0);
        }
        let lines = describe(&effects);
        assert_eq!(lines.len(), EFFECTS_SHOWN + 1);
        assert_eq!(lines[EFFECTS_SHOWN], "and 7 more");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = bounded("é".repeat(TEXT_MAX));
        assert!(text.len() <= TEXT_MAX + '…'.len_utf8() && text.ends_with("é…"));
    }
}
