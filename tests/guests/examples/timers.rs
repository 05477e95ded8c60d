//! Sets timers as its messages say: "after NAME MS", "every NAME MS", "keep NAME MS" (a repeating one that stays), "plugin
//! NAME MS", "plugin-every NAME MS", "clear NAME", "clear-plugin NAME", "fail NAME MS" (sets it, then fails), "many N"
//! (how many of N it can set), "same N" (how often of N it can set one of the same name). A timer of the connection answers
//! "GENERATION NAME"; one named "trap" traps, "stop" clears itself after it fired, "slow" takes 60 ms on the clock. A
//! plugin's own publishes "GENERATION NAME" to "plugin", to which every connection listens.

use std::thread;
use std::time::Duration;

use tidegate_sdk::{
    Connection, Handler, Message, Request, Result, Timer, clear_timer, error, generation, publish,
};

struct Timers;

impl Handler for Timers {
    fn on_open(connection: &Connection, _request: Request) -> Result {
        Ok(connection.subscribe("plugin")?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        let mut words = text.split(' ');
        let (verb, name) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let time = Duration::from_millis(words.next().unwrap_or("0").parse()?);
        let set = match verb {
            "after" => Timer::after(name, time).on(connection),
            "every" => Timer::every(name, time).on(connection),
            "keep" => Timer::every(name, time).keep().on(connection),
            "plugin" => Timer::after(name, time).of_plugin(),
            "plugin-every" => Timer::every(name, time).of_plugin(),
            "clear" => connection.clear_timer(name),
            "clear-plugin" => clear_timer(name),
            "fail" => {
                Timer::after(name, time).on(connection)?;
                return Err(error!("as asked"));
            }
            "many" | "same" => {
                let far = Duration::from_secs(3600);
                let name_of = |n: &u32| {
                    if verb == "many" {
                        n.to_string()
                    } else {
                        "0".to_owned()
                    }
                };
                let set = (0..name.parse()?)
                    .filter(|n: &u32| Timer::after(&name_of(n), far).on(connection).is_ok());
                connection.send(format!("set {}", set.count()));
                return Ok(());
            }
            _ => Ok(()),
        };
        connection.send(match set {
            Ok(()) => format!("ok {text}"),
            Err(error) => error.to_string(),
        });
        Ok(())
    }

    fn on_timer(connection: Option<&Connection>, name: &str) -> Result {
        let text = format!("{} {name}", generation());
        let Some(connection) = connection else {
            return Ok(publish("plugin", text)?);
        };
        match name {
            "trap" => panic!("as asked"),
            "stop" => connection.clear_timer(name)?,
            "slow" => thread::sleep(Duration::from_millis(60)),
            _ => {}
        }
        connection.send(text);
        Ok(())
    }
}

tidegate_sdk::export!(Timers);
