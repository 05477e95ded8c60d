//! Panics when it is to describe its messages.

use tidegate_sdk::{Connection, Handler, Message, Result, Router, Routes};

struct DescribeTrap;

impl Handler for DescribeTrap {
    fn on_message(connection: &Connection, message: Message) -> Result {
        DescribeTrap::route(connection, &message)
    }
}

impl Routes for DescribeTrap {
    fn routes(_router: &mut impl Router) {
        panic!("no routes today");
    }
}

tidegate_sdk::export!(DescribeTrap: describe);
