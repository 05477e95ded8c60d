//! Loops forever when it is to describe its messages.

use tidegate_sdk::{Connection, Handler, Message, Result, Router, Routes};

struct DescribeSpin;

impl Handler for DescribeSpin {
    fn on_message(connection: &Connection, message: Message) -> Result {
        DescribeSpin::route(connection, &message)
    }
}

impl Routes for DescribeSpin {
    fn routes(_router: &mut impl Router) {
        loop {
            std::hint::spin_loop();
        }
    }
}

tidegate_sdk::export!(DescribeSpin: describe);
