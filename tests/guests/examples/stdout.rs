//! Prints, then echoes. "err" goes to stderr, "part" ends without a newline, "long" is a line of 1 MiB, "many" is
//! 10,000 lines, "bytes" is no UTF-8; anything else is a line on stdout.

use std::io::Write;

use tidegate_sdk::{Connection, Handler, Message, Result};

struct Stdout;

impl Handler for Stdout {
    fn on_message(connection: &Connection, message: Message) -> Result {
        match message.as_text().unwrap_or_default() {
            "err" => eprintln!("a line on stderr"),
            "part" => {
                print!("part of a line");
                std::io::stdout().flush()?;
            }
            "long" => println!("{}", "x".repeat(1 << 20)),
            "many" => (0..10_000).for_each(|line| println!("line {line}")),
            "bytes" => std::io::stdout().write_all(b"\xff\xfe\x1b[31m\n")?,
            line => println!("{line}"),
        }
        connection.send(message);
        Ok(())
    }
}

tidegate_sdk::export!(Stdout);
