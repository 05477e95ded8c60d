//! Before a row of rooms is measured: does the server send, byte for byte, what the others send?

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tidegate_codec::Opcode;

use super::bench::{NAME, Running};
use super::row::Load;
use super::server::Server;
use crate::fleet::{Event, Fleet};
use crate::frame;

/// What one member says.
const TEXT: &str = "one message of many";

/// How long a step may take, on a machine that does much else.
const WITHIN: Duration = Duration::from_secs(10);

/// How long nothing more must come after a step. A subscription may take effect after the upgrade.
const QUIET: Duration = Duration::from_millis(100);

/// Lets two members meet in a room, one say something, and compares what they receive with what the row asks for.
///
/// # Errors
/// When it differs.
pub(super) fn check(server: Server, running: &Running, load: Load) -> Result<()> {
    let plain = match load {
        Load::Fanout { plain, .. } => plain,
        Load::Chat => false,
        _ => return Ok(()),
    };
    let folder = if plain { "plain" } else { "rooms" };
    let target = running.target(&format!("/{folder}/probe?username={NAME}"))?;
    let expected = if plain || server == Server::Floor {
        TEXT.to_owned()
    } else {
        format!(r#"{{"type":"message","from":"{NAME}","text":"{TEXT}"}}"#)
    };

    let mut fleet = Fleet::new()?;
    let mut members = Members::default();
    for opened in 1..=2 {
        fleet.open(&target)?;
        members.collect(&mut fleet, opened, 0)?;
    }
    // What a server says of those who join is measured in no row.
    members.received = Default::default();
    let mut bytes = Vec::new();
    frame::push_client(&mut bytes, Opcode::Text, TEXT.as_bytes());
    fleet.send(0, &bytes);
    members.collect(&mut fleet, 2, 1)?;
    let expected = [Vec::new(), vec![expected]];
    ensure!(
        members.received == expected,
        "{} sends other bytes than the row asks for: {:?}, not {expected:?}",
        server.name(),
        members.received
    );
    Ok(())
}

/// What two members have seen.
#[derive(Default)]
struct Members {
    opened: usize,
    received: [Vec<String>; 2],
}

impl Members {
    /// Handles events until so many are connected and so many texts have come in all, and a little longer: what
    /// nobody asked for counts too.
    fn collect(&mut self, fleet: &mut Fleet, opened: usize, texts: usize) -> Result<()> {
        let deadline = Instant::now() + WITHIN;
        let mut last = Instant::now();
        loop {
            let received: usize = self.received.iter().map(Vec::len).sum();
            let complete = self.opened >= opened && received >= texts;
            if complete && last.elapsed() >= QUIET || Instant::now() >= deadline {
                return Ok(());
            }
            let mut ended = None;
            fleet.turn(QUIET / 4, |arrival, _| {
                last = Instant::now();
                match arrival.event {
                    Event::Opened => self.opened += 1,
                    Event::Message(frame) => {
                        let text = String::from_utf8_lossy(frame.payload).into_owned();
                        self.received[arrival.id].push(text);
                    }
                    Event::Ended(end) => ended = Some(end),
                }
            })?;
            if let Some(end) = ended {
                bail!("a member's connection ended: {end:?}");
            }
        }
    }
}
