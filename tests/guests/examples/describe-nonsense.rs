//! Describes its messages by something else than a schema.

#[cfg(target_family = "wasm")]
use tidegate_sdk::bindings::describing::export_described_plugin;
use tidegate_sdk::export::Describer;
use tidegate_sdk::{Connection, Handler, Message, Result};

struct DescribeNonsense;

impl Handler for DescribeNonsense {
    fn on_message(connection: &Connection, message: Message) -> Result {
        connection.send(message);
        Ok(())
    }
}

impl Describer for DescribeNonsense {
    fn describe() -> String {
        "messages of all kinds".to_owned()
    }
}

tidegate_sdk::export!(DescribeNonsense);
#[cfg(target_family = "wasm")]
export_described_plugin!(DescribeNonsense with_types_in tidegate_sdk::bindings::describing);
