//! Answers plain requests by their path: `/hello`, `/echo` (what was asked, as JSON), `/publish/{topic}` (the body to
//! that topic, 202), `/large/{bytes}`, `/status/{status}`, `/generation`; `/err`, `/trap`, `/spin` and `/sleep/{ms}` after
//! they have published "lost", or "slept", to "posts". Else 404.
//! Connections are subscribed to "posts".

use std::time::Duration;

use serde_json::json;
use tidegate_sdk::{
    Connection, Handler, HttpHandler, Message, Request, Result, error, generation, http, publish,
};

struct Http;

impl Handler for Http {
    fn on_open(connection: &Connection, _request: Request) -> Result {
        Ok(connection.subscribe("posts")?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        connection.send(message);
        Ok(())
    }
}

impl HttpHandler for Http {
    fn on_request(request: http::Incoming) -> Result<http::Response> {
        let lose = || publish("posts", "lost");
        match &request.segments()[..] {
            ["hello"] => Ok(http::Response::text("hello\n")
                .header("x-hello", "yes")
                .header("sec-websocket-accept", "mine")),
            ["echo", ..] => http::Response::json(&json!({
                "method": request.method(),
                "path": request.path(),
                "segments": request.segments(),
                "query": request.query("q"),
                "header": request.header("x-name"),
                "length": request.header("content-length"),
                "connection": request.header("connection"),
                "body": String::from_utf8_lossy(request.body()),
            })),
            ["publish", topic] => {
                publish(topic, String::from_utf8(request.body().to_vec())?)?;
                Ok(http::Response::new(202))
            }
            ["large", bytes] => Ok(http::Response::new(200).body(vec![b'x'; bytes.parse()?])),
            ["status", status] => Ok(http::Response::text("body").status(status.parse()?)),
            ["generation"] => Ok(http::Response::text(generation().to_string())),
            ["err"] => {
                lose()?;
                Err(error!(
                    "nobody is called {}",
                    request.query("name").unwrap_or_default()
                ))
            }
            ["trap"] => {
                lose()?;
                panic!("as asked");
            }
            ["spin"] => {
                lose()?;
                loop {
                    std::hint::spin_loop();
                }
            }
            ["sleep", millis] => {
                std::thread::sleep(Duration::from_millis(millis.parse()?));
                publish("posts", "slept")?;
                Ok(http::Response::text("slept\n"))
            }
            _ => Ok(http::Response::text("no such thing\n").status(404)),
        }
    }
}

tidegate_sdk::export!(Http: http);
