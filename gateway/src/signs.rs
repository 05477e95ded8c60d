//! Signs of life for clients that cannot see pings: who asked for them, how often, and when the
//! next is due. Pure: it only does sums on milliseconds of the shard's coarse clock.
//!
//! A page is shown neither a WebSocket's pings nor that its network has gone; left to itself it
//! takes a dead connection for an open one for minutes. So a client may ask for signs in the query
//! of its request: `tidegate-alive=EVERY.WORD`, milliseconds and 8 to 32 letters and digits of its
//! own choice. No handler sees this part of the query, so none can know the word, and no message of
//! a handler's is taken for a sign. On a WebSocket each sign is a text:
//!
//! - `WORD every N`, once, before anything else: the gateway understood, and N milliseconds is how
//!   often signs come, which is no more often than the route allows (`limits.signs`);
//! - `WORD`, every N milliseconds, unless bytes wait for the client anyway;
//! - `WORD coming N`, before a message of N bytes, if that is so large that it takes its time.
//!
//! On a stream of events they are comments, `: every N` and `:`; there the word is not needed, and
//! what is coming shows byte by byte.
//!
//! Signs come from the clock and not as answers, so that a handler that takes long, or an upload on
//! a slow line, does not look like a dead network.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use foldhash::HashMap;

use crate::heartbeat::Millis;
use crate::message::ConnectionId;

/// The name of the query's parameter.
const PARAMETER: &str = "tidegate-alive";
/// Signs come no more seldom: common proxies drop a connection that is quiet for a minute.
const LONGEST: Millis = 60_000;

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Milliseconds from one sign to the next.
    pub every: Millis,
    /// What its signs begin with.
    pub word: Box<str>,
}

impl Wish {
    /// Takes the wish out of a request's query, whatever stands around it. What is not one stays.
    pub fn take(query: &mut Option<String>) -> Option<Self> {
        let text = query.as_deref()?;
        let (found, wish) = text
            .split('&')
            .find_map(|part| Some((part, Self::parse(part)?)))?;
        let rest: Vec<&str> = text.split('&').filter(|part| *part != found).collect();
        *query = Some(rest.join("&")).filter(|rest| !rest.is_empty());
        Some(wish)
    }

    fn parse(part: &str) -> Option<Self> {
        let (every, word) = part
            .strip_prefix(PARAMETER)?
            .strip_prefix('=')?
            .split_once('.')?;
        let is_word =
            (8..=32).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let every: Millis = every.parse().ok()?;
        is_word.then(|| Self {
            every: every.min(LONGEST),
            word: word.into(),
        })
    }
}

/// The connections of a shard that asked for signs. Others cost nothing.
#[derive(Debug, Default)]
pub struct Signs {
    wishes: HashMap<ConnectionId, Wish>,
    /// One entry for each of them; those of connections that are gone fall out when they are due.
    due: BinaryHeap<Reverse<(Millis, ConnectionId)>>,
}

impl Signs {
    /// Grants a connection's wish from `now` on.
    pub fn grant(&mut self, connection: ConnectionId, wish: Wish, now: Millis) {
        self.due.push(Reverse((now + wish.every, connection)));
        self.wishes.insert(connection, wish);
    }

    /// What a connection asked for, if it did.
    pub fn wish(&self, connection: ConnectionId) -> Option<&Wish> {
        self.wishes.get(&connection)
    }

    /// The next connection whose sign is due at `now`; the one after that is scheduled.
    pub fn pop(&mut self, now: Millis) -> Option<ConnectionId> {
        while let Some(&Reverse((when, connection))) = self.due.peek() {
            if when > now {
                return None;
            }
            self.due.pop();
            if let Some(wish) = self.wishes.get(&connection) {
                self.due.push(Reverse((now + wish.every, connection)));
                return Some(connection);
            }
        }
        None
    }

    /// Forgets a connection that is gone.
    pub fn forget(&mut self, connection: ConnectionId) {
        self.wishes.remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(query: &str) -> (Option<(Millis, String)>, Option<String>) {
        let mut query = Some(query.to_owned());
        let wish = Wish::take(&mut query);
        (wish.map(|wish| (wish.every, wish.word.into())), query)
    }

    #[test]
    fn a_wish_leaves_no_trace_in_the_query() {
        let wish = |every| Some((every, "k3x9Z2ab".to_owned()));
        let rest = |rest: &str| Some(rest.to_owned());
        assert_eq!(take("tidegate-alive=15000.k3x9Z2ab"), (wish(15_000), None));
        assert_eq!(
            take("a=%20&tidegate-alive=15000.k3x9Z2ab&b"),
            (wish(15_000), rest("a=%20&b"))
        );
        assert_eq!(
            take("quiet&tidegate-alive=1.k3x9Z2ab"),
            (wish(1), rest("quiet"))
        );
        assert_eq!(
            take("tidegate-alive=9999999999.k3x9Z2ab&a=1"),
            (wish(LONGEST), rest("a=1"))
        );
        assert_eq!(Wish::take(&mut None), None);
    }

    #[test]
    fn what_is_no_wish_is_the_handlers() {
        for query in [
            "",
            "tidegate-alive",
            "tidegate-alive=15000",
            "tidegate-alive=.k3x9z2ab",
            "tidegate-alive=-1.k3x9z2ab",
            "tidegate-alive=15000.short",
            "tidegate-alive=15000.k3x9z2ab%20",
            "x-tidegate-alive=15000.k3x9z2ab",
            "tidegate-alive=99999999999999999999999.k3x9z2ab",
        ] {
            assert_eq!(take(query), (None, Some(query.to_owned())));
        }
        let long = format!("tidegate-alive=15000.{}", "x".repeat(33));
        assert_eq!(take(&long).0, None);
    }

    #[test]
    fn signs_are_due_until_the_connection_is_gone() {
        let (mut signs, one, two) = (Signs::default(), ConnectionId(1), ConnectionId(2));
        let wish = |every| Wish {
            every,
            word: "k3x9z2ab".into(),
        };
        signs.grant(one, wish(1_000), 0);
        signs.grant(two, wish(3_000), 0);
        assert_eq!(signs.pop(999), None);
        assert_eq!((signs.pop(1_050), signs.pop(1_050)), (Some(one), None));
        assert_eq!((signs.pop(2_050), signs.pop(2_050)), (Some(one), None));
        signs.forget(one);
        assert_eq!((signs.pop(3_100), signs.pop(3_100)), (Some(two), None));
        assert_eq!((signs.due.len(), signs.wishes.len()), (1, 1));
    }
}
