//! What goes wrong: one error for everything a handler may return, and the contract's own reasons.

use std::error::Error as StdError;
use std::fmt;

use crate::bindings::tidegate::plugin::host;

/// What handlers return: `Result` alone is `Result<(), Error>`.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Any error, as the text the gateway will log.
///
/// Every type that implements [`std::error::Error`] turns into it, so `?` works on all of them; [`error!`](crate::error!)
/// makes one from a format string. For that reason it cannot implement [`std::error::Error`] itself.
///
/// ```
/// fn port(text: &str) -> tidegate_sdk::Result<u16> {
///     let port: u16 = text.parse()?;
///     if port < 1024 {
///         return Err(tidegate_sdk::error!("port {port} is reserved"));
///     }
///     Ok(port)
/// }
/// assert_eq!(port("80").unwrap_err().to_string(), "port 80 is reserved");
/// assert_eq!(port("http").unwrap_err().to_string(), "invalid digit found in string");
/// ```
pub struct Error {
    message: String,
}

impl Error {
    /// An error from its text.
    pub fn msg(message: impl fmt::Display) -> Self {
        Self {
            message: message.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: StdError> From<E> for Error {
    /// Takes the text now, with that of every cause behind it: only text crosses to the gateway.
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { message }
    }
}

/// Makes an [`Error`] from a format string: `return Err(error!("no room called {name}"))`.
#[macro_export]
macro_rules! error {
    ($($format:tt)+) => {
        $crate::Error::msg(::std::format_args!($($format)+))
    };
}

/// Declares an error enum of the contract: its cases, their words, and the way over from the generated enum, whose
/// own words are "not-this-connection (error 0)".
macro_rules! contract_error {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$case_doc])* $case,)+
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$case => $text,)+
                })
            }
        }

        impl StdError for $name {}

        impl From<host::$name> for $name {
            fn from(error: host::$name) -> Self {
                match error {
                    $(host::$name::$case => Self::$case,)+
                }
            }
        }
    };
}

contract_error! {
    /// Why a subscription was not taken.
    TopicError {
        /// Only the event's own connection can subscribe, and only from its `on_open` until its `on_close`.
        NotThisConnection => "only the event's own connection can subscribe, and only while it is open",
        /// Topics are 1 to 255 bytes long, labels at most 255.
        InvalidTopic => "topics are 1 to 255 bytes long, labels at most 255",
        /// The connection has as many subscriptions as `limits.subscriptions` of its route allows, or all that this event
        /// has done so far is over `limits.effects` of the plugin.
        TooMany => "the connection has as many subscriptions as limits.subscriptions of its route allows, or all of this event is over limits.effects of the plugin",
        /// The configuration shares the topic, and `grants.topics` of the plugin does not name it.
        NotGranted => "the topic is shared by [[topic]]: name that in grants.topics.subscribe of the plugin",
    }
}

contract_error! {
    /// Why a timer was not set or cleared.
    TimerError {
        /// Only the event's own connection can have timers set, and only from its `on_open` until its `on_close`.
        NotThisConnection => "only the event's own connection can have timers set, and only while it is open",
        /// Names are 1 to 255 bytes long.
        InvalidName => "names of timers are 1 to 255 bytes long",
        /// The period is less than `limits.timer` of the plugin.
        TooOften => "the period is less than limits.timer of the plugin",
        /// The connection has as many timers as `limits.timers` of its route allows, or the plugin as many of its own
        /// as its `limits.timers`, or all that this event has done so far is over its `limits.effects`.
        TooMany => "there are as many timers as limits.timers of the route, or of the plugin, allows, or all of this event is over limits.effects of the plugin",
    }
}

contract_error! {
    /// Why a publish was not taken.
    PublishError {
        /// Topics are 1 to 255 bytes long.
        InvalidTopic => "topics are 1 to 255 bytes long",
        /// The message, or all that this event has done so far, is over `limits.effects` of the plugin.
        TooLarge => "the message, or all of this event, is over limits.effects of the plugin",
        /// The configuration shares the topic, and `grants.topics` of the plugin does not name it.
        NotGranted => "the topic is shared by [[topic]]: name that in grants.topics.publish of the plugin",
    }
}

contract_error! {
    /// Why a state was not taken.
    StateError {
        /// Only the event's own connection has a state here.
        NotThisConnection => "only the event's own connection has a state here",
        /// Over `limits.state` of the route.
        TooLarge => "the state is over limits.state of the route",
    }
}

contract_error! {
    /// Why a close was not taken.
    CloseError {
        /// All that this event has done so far is over `limits.effects` of the plugin, or the queue to the connection's
        /// core is full.
        TooMany => "all of this event is over limits.effects of the plugin, or the queue to the connection's core (server.queue) is full",
        /// Codes an endpoint may send: 1000-1003, 1007-1014 and 3000-4999 (RFC 6455 section 7.4).
        InvalidCode => "close codes are 1000-1003, 1007-1014 and 3000-4999",
        /// Reasons are at most 123 bytes long (RFC 6455 section 5.5).
        InvalidReason => "close reasons are at most 123 bytes long",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("failed to read the room's size")
        }
    }

    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_error_names_its_causes_in_order() {
        let error = Error::from(Outer("x".parse::<u8>().unwrap_err()));
        assert_eq!(
            error.to_string(),
            "failed to read the room's size: invalid digit found in string"
        );
    }

    #[test]
    fn a_contract_error_converts_with_the_question_mark() {
        fn publish() -> Result {
            Err(PublishError::from(host::PublishError::InvalidTopic))?;
            Ok(())
        }
        assert_eq!(
            publish().unwrap_err().to_string(),
            "topics are 1 to 255 bytes long"
        );
    }
}
