//! Clients that mean harm, and what each of them does. None looks at what comes of it.

use std::io::{ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use tidegate_codec::deflate::Deflater;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::dice::Dice;
use crate::client::{frame, upgrade_request};

/// What a client does, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Sends messages as fast as it can and reads none of the answers.
    Flood,
    /// Sends a part of a message and waits, or leaves.
    Half,
    /// Sends a message a byte at a time.
    Drip,
    /// Has itself closed and goes on sending.
    KickedFlood,
    /// Sends little that inflates to much.
    Bomb,
    /// Sends bytes that are no frames.
    Noise,
    /// Ends its sending side while the handler has work.
    HalfClose,
    /// Asks for much and does not read it.
    Stall,
    /// Opens an event stream and reads a little of it.
    EventStream,
    /// Has the guest do its worst.
    Guest,
    /// Asks for the store, the log and errors.
    Noisy,
    /// Leaves with a reset.
    Reset,
    /// Sends half a request.
    HalfRequest,
}

/// All of them.
pub const ACTS: [Act; 13] = [
    Act::Flood,
    Act::Half,
    Act::Drip,
    Act::KickedFlood,
    Act::Bomb,
    Act::Noise,
    Act::HalfClose,
    Act::Stall,
    Act::EventStream,
    Act::Guest,
    Act::Noisy,
    Act::Reset,
    Act::HalfRequest,
];

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
/// The longest an act takes.
const LONGEST: Duration = Duration::from_secs(2);

/// Noughts of 16 MiB, compressed.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = Vec::new();
    Deflater::new(6, 15).deflate(&vec![0; 16 << 20], &mut bytes, false);
    bytes
});

/// Does one act. Returns whether it came to be done at all: the gateway may have refused the client.
pub async fn commit(act: Act, address: SocketAddr, dice: &mut Dice) -> bool {
    let done = async {
        match act {
            Act::EventStream => event_stream(address, dice).await,
            Act::HalfRequest => half_request(address, dice).await,
            Act::Bomb => bomb(address, dice).await,
            _ => speak(act, address, dice).await,
        }
    };
    match tokio::time::timeout(LONGEST, done).await {
        // It went on until its time was over.
        Err(_) => true,
        Ok(Err(error)) => error.kind() != ErrorKind::ConnectionRefused,
        Ok(Ok(())) => true,
    }
}

async fn speak(act: Act, address: SocketAddr, dice: &mut Dice) -> Result<()> {
    let mut socket = upgraded(address, "").await?;
    match act {
        Act::Flood => flood(&mut socket, dice).await,
        Act::KickedFlood => {
            socket.write_all(&frame(TEXT, b"kick")).await?;
            flood(&mut socket, dice).await
        }
        Act::Half => {
            let message = frame(BINARY, &vec![7; 900_000]);
            let part = dice.below(message.len());
            socket.write_all(&message[..part]).await?;
            pause(dice, 500).await;
            Ok(())
        }
        Act::Drip => {
            for byte in frame(TEXT, b"a byte at a time") {
                socket.write_all(&[byte]).await?;
                pause(dice, 30).await;
            }
            Ok(())
        }
        Act::Noise => {
            let noise: Vec<u8> = (0..dice.below(4096)).map(|_| dice.roll() as u8).collect();
            socket.write_all(&noise).await?;
            pause(dice, 200).await;
            Ok(())
        }
        Act::HalfClose => {
            socket.write_all(&frame(TEXT, b"spin")).await?;
            let unread = frame(TEXT, b"unread").repeat(dice.below(20_000));
            socket.write_all(&unread).await?;
            socket.shutdown().await?;
            read_some(&mut socket, dice).await
        }
        Act::Stall => {
            socket2::SockRef::from(&socket).set_recv_buffer_size(64 << 10)?;
            for _ in 0..dice.below(8) {
                socket.write_all(&frame(TEXT, b"large 400000")).await?;
            }
            pause(dice, 1500).await;
            Ok(())
        }
        Act::Reset => {
            socket.write_all(&frame(TEXT, b"large 100000")).await?;
            socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO))
        }
        Act::Guest => {
            let worst = dice.one_of(&["spin", "trap", "hoard", "error 100000"]);
            socket.write_all(&frame(TEXT, worst.as_bytes())).await?;
            read_some(&mut socket, dice).await
        }
        _ => {
            let wish = dice.one_of(&["put 30000", "log 500", "error 20000"]);
            let wishes = frame(TEXT, wish.as_bytes()).repeat(20);
            socket.write_all(&wishes).await?;
            read_some(&mut socket, dice).await
        }
    }
}

async fn flood(socket: &mut TcpStream, dice: &mut Dice) -> Result<()> {
    let len = dice.one_of(&[0, 1, 100, 10_000]);
    let messages = frame(BINARY, &vec![7; len]).repeat(64);
    loop {
        socket.write_all(&messages).await?;
    }
}

async fn bomb(address: SocketAddr, dice: &mut Dice) -> Result<()> {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut socket = upgraded(address, offer).await?;
    for _ in 0..1 + dice.below(8) {
        socket.write_all(&frame(TEXT | 0x40, &BOMB)).await?;
    }
    read_some(&mut socket, dice).await
}

async fn event_stream(address: SocketAddr, dice: &mut Dice) -> Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(64 << 10)?;
    let request = "GET /?news HTTP/1.1\r\nhost: gateway\r\naccept: text/event-stream\r\n\r\n";
    socket.write_all(request.as_bytes()).await?;
    read_some(&mut socket, dice).await?;
    pause(dice, 1500).await;
    Ok(())
}

async fn half_request(address: SocketAddr, dice: &mut Dice) -> Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    let request = upgrade_request("/");
    let part = dice.below(request.len());
    socket.write_all(&request.as_bytes()[..part]).await?;
    pause(dice, 500).await;
    Ok(())
}

/// Connects and upgrades, with more fields in the request.
async fn upgraded(address: SocketAddr, fields: &str) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(address).await?;
    let request = upgrade_request("/");
    let request = request.replacen("\r\n\r\n", &format!("\r\n{fields}\r\n"), 1);
    socket.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    match head.starts_with(b"HTTP/1.1 101 ") {
        true => Ok(socket),
        false => Err(ErrorKind::ConnectionRefused.into()),
    }
}

/// Reads what comes in the first moments.
async fn read_some(socket: &mut TcpStream, dice: &mut Dice) -> Result<()> {
    let mut buffer = vec![0; 1 + dice.below(60_000)];
    let moment = Duration::from_millis(dice.below(800) as u64);
    match tokio::time::timeout(moment, socket.read(&mut buffer)).await {
        Ok(Err(error)) => Err(error),
        _ => Ok(()),
    }
}

async fn pause(dice: &mut Dice, longest: usize) {
    tokio::time::sleep(Duration::from_millis(dice.below(longest) as u64)).await;
}
