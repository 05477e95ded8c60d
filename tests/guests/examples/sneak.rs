//! Tries what no plugin may do without a grant, and sends a line each: "<what> denied: <why>" or "<what> got: <it>".
//! The message is an address to connect to.

use std::fmt::{Debug, Display};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::{env, fs};

use tidegate_sdk::{Connection, Handler, Message, Result};

struct Sneak;

impl Handler for Sneak {
    fn on_message(connection: &Connection, message: Message) -> Result {
        let peer = message.as_text().unwrap_or("127.0.0.1:80");
        let lines = [
            line("read", fs::read("/etc/hostname")),
            line("list", fs::read_dir("/").map(|entries| entries.count())),
            line("write", fs::write("/tmp/sneak", "here")),
            line("env", env::vars().next().ok_or("nothing there")),
            line("args", env::args().next().ok_or("nothing there")),
            line("connect", TcpStream::connect(peer)),
            line("listen", TcpListener::bind("127.0.0.1:0")),
            line("udp", UdpSocket::bind("127.0.0.1:0")),
            line(
                "resolve",
                "localhost:80".to_socket_addrs().map(Iterator::count),
            ),
        ];
        connection.send(lines.join("\n"));
        Ok(())
    }
}

fn line<T: Debug, E: Display>(what: &str, tried: Result<T, E>) -> String {
    match tried {
        Ok(it) => format!("{what} got: {it:?}"),
        Err(why) => format!("{what} denied: {why}"),
    }
}

tidegate_sdk::export!(Sneak);
