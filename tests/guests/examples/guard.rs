//! The front of a chain. Refuses an upgrade without `?user=`, else keeps the user as its state and answers with the
//! header `x-user`. Messages: "mine" it answers itself; "stamp" it answers and passes on; "err", "trap" and "kick" do
//! that; everything else it passes on. Publishes "opened USER" and "closed USER" to "guard", to which "watch" subscribes.

use tidegate_sdk::{
    Accept, CloseCause, Connection, Handler, Message, Reject, Request, Result, Verdict, error,
    publish,
};

struct Guard;

impl Handler<Verdict> for Guard {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let user = request
            .query("user")
            .ok_or_else(|| Reject::new(401, "add ?user="))?;
        publish("guard", format!("granted {user}"))?;
        Ok(Accept::default()
            .header("x-user", user.as_str())
            .state(user.as_str()))
    }

    fn on_open(connection: &Connection, _request: Request) -> Result {
        Ok(publish("guard", format!("opened {}", user(connection)))?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result<Verdict> {
        match message.as_text().unwrap_or_default() {
            "mine" => {
                connection.send("guard");
                return Ok(Verdict::Done);
            }
            "stamp" => {
                connection.send("stamped");
            }
            "watch" => connection.subscribe("guard")?,
            "err" => {
                connection.send("never");
                return Err(error!("as asked"));
            }
            "trap" => panic!("as asked"),
            "kick" => connection.close(4001, "as asked")?,
            _ => {}
        }
        Ok(Verdict::Next)
    }

    fn on_close(connection: &Connection, _cause: CloseCause) -> Result {
        Ok(publish("guard", format!("closed {}", user(connection)))?)
    }
}

fn user(connection: &Connection) -> String {
    String::from_utf8_lossy(&connection.state()).into_owned()
}

tidegate_sdk::export!(Guard);
