//! Logs a message "<level> <context> <text>", with "-" for no context, then echoes it. "many <level>" is 10,000 lines,
//! "long" a line of 1 MiB, "lines" three lines at once; "print <text>" is a line on stdout.

use tidegate_sdk::{Connection, Handler, Message, Result, error, log};

struct Logger;

impl Handler for Logger {
    fn on_load() -> Result {
        log::info!("a line of the check");
        Ok(())
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        match text.split_once(' ') {
            Some(("print", text)) => println!("{text}"),
            Some(("many", "debug")) => (0..10_000).for_each(|line| log::debug!("line {line}")),
            Some(("many", _)) => (0..10_000).for_each(|line| log::warn!("line {line}")),
            None if text == "long" => log::info!("{}", "x".repeat(1 << 20)),
            None if text == "lines" => log::info!("one of three\ntwo of three\nthree of three\n"),
            Some((level, rest)) => {
                let (context, text) = rest.split_once(' ').unwrap_or(("-", rest));
                write(level, context.trim_matches('-'), text)?;
            }
            None => return Err(error!("no level in {text:?}")),
        }
        connection.send(message);
        Ok(())
    }
}

fn write(level: &str, context: &str, text: &str) -> Result {
    match level {
        "trace" => log::trace!(context: context, "{text}"),
        "debug" => log::debug!(context: context, "{text}"),
        "info" => log::info!(context: context, "{text}"),
        "warn" => log::warn!(context: context, "{text}"),
        "error" => log::error!(context: context, "{text}"),
        "critical" => log::critical!(context: context, "{text}"),
        _ => return Err(error!("no level {level:?}")),
    }
    Ok(())
}

tidegate_sdk::export!(Logger);
