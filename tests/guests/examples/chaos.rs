//! A chat that does its clients' worst. "spin", "trap", "hoard", "error N" (an error text of N bytes), "log N" (N lines),
//! "large N" (N bytes come back), "kick" (closes), "put N" (a value of N bytes into the store, answered with "put" or why
//! not), "news N LEN" (publishes N and LEN bytes under the id N), "id"; all else is echoed. Whoever asks for `?news` hears
//! the news, and `?audit` of every connection that opens and closes, with its id.

use tidegate_sdk::{
    CloseCause, Connection, Handler, Message, Request, Result, WithId, error, publish, store,
};

struct Chaos;

impl Handler for Chaos {
    fn on_open(connection: &Connection, request: Request) -> Result {
        for topic in ["news", "audit"] {
            if request.query(topic).is_some() {
                connection.subscribe(topic)?;
            }
        }
        Ok(publish("audit", format!("open {connection}"))?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        let mut words = text.split(' ');
        let verb = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        match verb {
            "spin" => loop {
                std::hint::spin_loop();
            },
            "trap" => panic!("as asked"),
            "hoard" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
                }
            }
            "error" => return Err(error!("{}", "forged\nline ".repeat(number() / 12))),
            "log" => (0..number()).for_each(|line| eprintln!("line {line} of a talkative guest")),
            "large" => {
                connection.send(vec![7_u8; number()]);
            }
            "kick" => connection.close(4000, "as asked")?,
            "put" => {
                let bucket = store::bucket("chaos")?;
                connection.send(match bucket.set("value", vec![7_u8; number()]) {
                    Ok(()) => "put".to_owned(),
                    Err(why) => why.to_string(),
                });
            }
            "news" => {
                let (issue, len) = (number(), number());
                let news = format!("{issue} {}", "x".repeat(len));
                publish("news", WithId(&issue.to_string(), news))?;
                connection.send("out");
            }
            "id" => {
                connection.send(connection.to_string());
            }
            _ => {
                connection.send(message);
            }
        }
        Ok(())
    }

    fn on_close(connection: &Connection, _cause: CloseCause) -> Result {
        Ok(publish("audit", format!("close {connection}"))?)
    }
}

tidegate_sdk::export!(Chaos);
