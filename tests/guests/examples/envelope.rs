//! Speaks the envelope of the browser client, by hand: a request `{type, id, timestamp, payload}` is answered with
//! `{type, requestId, success, data | error}`. What is no such object comes back as it is.

use serde_json::{Value, json};
use tidegate_sdk::{
    Connection, Handler, Message, Request, Result, generation, publish, subscriber_count,
};

struct Envelope;

impl Handler for Envelope {
    fn on_open(connection: &Connection, request: Request) -> Result {
        // What the test of a query looks for.
        Ok(connection.set_state(request.query.unwrap_or_default())?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        let parsed = message.as_text().map(serde_json::from_str::<Value>);
        let Some(Ok(request @ Value::Object(_))) = parsed else {
            connection.send(message);
            return Ok(());
        };
        let kind = request["type"].as_str().unwrap_or_default();
        let mut reply = json!({ "type": kind, "requestId": request["id"] });
        match answer(connection, kind, &request["payload"])? {
            Answer::Data(data) => (reply["success"], reply["data"]) = (true.into(), data),
            Answer::Error(error) => (reply["success"], reply["error"]) = (false.into(), error),
            Answer::Nothing => return Ok(()),
        }
        connection.send_json(&reply)?;
        Ok(())
    }
}

enum Answer {
    Data(Value),
    Error(Value),
    Nothing,
}

fn answer(connection: &Connection, kind: &str, payload: &Value) -> Result<Answer> {
    let word = |name: &str| payload[name].as_str().unwrap_or_default();
    Ok(Answer::Data(match kind {
        "echo" => payload.clone(),
        "who" => json!({
            "connection": connection.id(),
            "generation": generation(),
            "query": String::from_utf8(connection.state())?,
        }),
        "subscribe" => {
            connection.subscribe(word("topic"))?;
            json!({ "topic": word("topic") })
        }
        "unsubscribe" => {
            connection.unsubscribe(word("topic"))?;
            json!({ "topic": word("topic") })
        }
        "subscribers" => subscriber_count(word("topic")).into(),
        "publish" => {
            let event = json!({ "type": word("event"), "id": "e-1", "timestamp": 1, "payload": payload["payload"] });
            publish(word("topic"), event.to_string())?;
            Value::Null
        }
        "binary" => {
            connection.send(vec![0_u8, 1, 254, 255]);
            Value::Null
        }
        "close" => {
            let code = payload["code"].as_u64().unwrap_or_default();
            connection.close(code.try_into()?, word("reason"))?;
            return Ok(Answer::Nothing);
        }
        "never" => return Ok(Answer::Nothing),
        _ => {
            let message = format!("nothing is called {kind:?}");
            return Ok(Answer::Error(
                json!({ "code": "unknown-type", "message": message, "details": payload }),
            ));
        }
    }))
}

tidegate_sdk::export!(Envelope);
