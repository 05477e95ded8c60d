//! The server that one writes first: tokio-tungstenite with its default settings, a task and a channel a connection.
//! The server is a peer in the comparison, so it stays as plain as the crate's own examples.
//!
//! `/echo` echoes; `/rooms/NAME?username=NAME` does with a message what `plugins/chat` does; on `/plain/NAME` the others
//! get it as it came.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt, stream};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// Members of all rooms, by path. The lock is held while a message is handed to a room's channels.
type Rooms = Arc<Mutex<HashMap<String, Room>>>;
type Room = HashMap<SocketAddr, UnboundedSender<Message>>;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Event<'a> {
    Message { from: &'a str, text: &'a str },
}

/// Serves on `address` for good; prints the port found.
///
/// # Errors
/// When the address cannot be listened on.
pub fn serve(address: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start a runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("failed to listen on {address}"))?;
        println!("{}", listener.local_addr()?.port());
        let rooms = Rooms::default();
        loop {
            let (socket, peer) = listener.accept().await.context("failed to accept")?;
            tokio::spawn(accept(socket, peer, rooms.clone()));
        }
    })
}

async fn accept(socket: TcpStream, peer: SocketAddr, rooms: Rooms) {
    let _ = socket.set_nodelay(true);
    let (mut path, mut name) = (String::new(), String::new());
    #[expect(clippy::result_large_err, reason = "the crate's own error type")]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default();
        name = query
            .strip_prefix("username=")
            .unwrap_or_default()
            .to_owned();
        Ok(response)
    };
    let Ok(socket) = tokio_tungstenite::accept_hdr_async(socket, look).await else {
        return;
    };
    if path.starts_with("/rooms/") || path.starts_with("/plain/") {
        chat(socket, peer, &path, &name, &rooms).await;
    } else {
        echo(socket).await;
    }
}

async fn echo(mut socket: WebSocketStream<TcpStream>) {
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            let sent = socket.send(message).await;
            if sent.is_err() {
                return;
            }
        }
    }
}

async fn chat(
    socket: WebSocketStream<TcpStream>,
    peer: SocketAddr,
    path: &str,
    from: &str,
    rooms: &Rooms,
) {
    let (outgoing, mut incoming) = socket.split();
    let (sender, mut messages) = unbounded_channel();
    let messages = stream::poll_fn(move |context| messages.poll_recv(context));
    tokio::spawn(messages.map(Ok).forward(outgoing));
    with_room(rooms, path, |room| room.insert(peer, sender));
    while let Some(Ok(message)) = incoming.next().await {
        if let Message::Text(text) = message {
            let message = if path.starts_with("/plain/") {
                Message::Text(text)
            } else {
                let text = &text;
                json(&Event::Message { from, text })
            };
            with_room(rooms, path, |room| {
                for (_, member) in room.iter().filter(|(other, _)| **other != peer) {
                    let _ = member.send(message.clone());
                }
            });
        }
    }
    with_room(rooms, path, |room| room.remove(&peer));
}

fn with_room<T>(rooms: &Rooms, path: &str, act: impl FnOnce(&mut Room) -> T) -> T {
    let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    act(rooms.entry(path.to_owned()).or_default())
}

fn json(event: &Event<'_>) -> Message {
    Message::text(serde_json::to_string(event).expect("an event of strings has a JSON form"))
}
