//! A large transfer to a slow reader, a piece at a time: connect to `/`, and ask for so many bytes by
//! `{"type": "download", "id": 1, "bytes": 100000000}`. They come as binary messages in order, then the event `done`.
//!
//! Nothing of it waits in memory: pieces are sent until one is [`Queued`](Delivery::Queued) behind what the reader has not
//! taken, and on from there in `on_drain`. How far it has come is the connection's state, so a reload in the middle goes
//! unnoticed. `cancel` ends it early.
//!
//! The bytes are made up here, each from its place; a real one would read them from the store or over HTTP.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    Call, Connection, Delivery, Fault, Handler, Message, Result, Router, Routes, State,
    Uncompressed, error, valid,
};

/// Bytes of a message: large enough that its own cost does not matter, small beside an outbox.
const PIECE: u64 = 64 << 10;

struct Transfer;

impl Handler for Transfer {
    fn on_message(connection: &Connection, message: Message) -> Result {
        Transfer::route(connection, &message)
    }

    /// The reader has caught up.
    fn on_drain(connection: &Connection) -> Result {
        go_on(connection)
    }
}

impl Routes for Transfer {
    fn routes(router: &mut impl Router) {
        router.on("download", valid(download)).on("cancel", cancel);
        router.sends::<Done>("done");
    }
}

/// What a client wants.
#[derive(Deserialize, JsonSchema, Validate)]
struct Download {
    /// Up to 1 GB.
    #[garde(range(min = 1, max = 1_000_000_000))]
    bytes: u64,
}

/// All has been sent.
#[derive(Serialize, JsonSchema)]
struct Done {
    bytes: u64,
}

/// How far it has come; a connection without a transfer has sent all of nothing.
#[derive(Default, Serialize, Deserialize)]
struct Progress {
    sent: u64,
    bytes: u64,
}

fn download(call: &Call, Download { bytes }: Download) -> Result<(), Fault> {
    let mut progress = State::<Progress>::of(call)?;
    if progress.sent < progress.bytes {
        return Err(Fault::new(
            "busy",
            "one transfer at a time: cancel the other first",
        ));
    }
    *progress = Progress { sent: 0, bytes };
    progress.save()?;
    Ok(go_on(call)?)
}

fn cancel(call: &Call, (): ()) -> Result<Done, Fault> {
    let bytes = State::<Progress>::of(call)?.sent;
    State::new(call, Progress::default()).save()?;
    Ok(Done { bytes })
}

/// Sends until the reader is behind, or all is sent.
fn go_on(connection: &Connection) -> Result {
    let mut progress = State::<Progress>::of(connection)?;
    while progress.sent < progress.bytes {
        let end = progress.bytes.min(progress.sent + PIECE);
        let piece: Vec<u8> = (progress.sent..end)
            .map(|place| (place % 251) as u8)
            .collect();
        let delivery = connection.send(Uncompressed(piece));
        if delivery == Delivery::Dropped {
            return Err(error!("the outbox is full of other messages"));
        }
        progress.sent = end;
        if delivery == Delivery::Queued {
            break;
        }
    }
    if progress.bytes > 0 && progress.sent == progress.bytes {
        let bytes = progress.bytes;
        connection.send_event("done", &Done { bytes })?;
        *progress = Progress::default();
    }
    progress.save()
}

tidegate_sdk::export!(Transfer: describe);
