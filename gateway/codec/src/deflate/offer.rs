//! The handshake of permessage-deflate: which of a client's offers we take, and what we answer.

use std::fmt;
use std::mem::replace;

use super::extension::{Extension, elements};

/// The extension's registered name (RFC 7692 section 7).
const NAME: &str = "permessage-deflate";
/// The smallest window that zlib compresses raw data with, as a power of two in bytes.
const MIN_SERVER_BITS: u8 = 9;
/// The largest window of DEFLATE, which holds where nothing else was agreed.
const MAX_BITS: u8 = 15;

/// What both sides agreed on (RFC 7692 section 7.1). Its `Display` is our answer: the value of the
/// response's Sec-WebSocket-Extensions.
///
/// There is no word in it on the client's window: an [`Inflater`](super::Inflater) reads every
/// size with the same memory, so we never ask for a smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// Whether our messages may refer to earlier ones of ours (section 7.1.1.1): `keep` of the
    /// [`Deflater`](super::Deflater).
    pub server_takeover: bool,
    /// Whether the client's messages may refer to earlier ones of its own (section 7.1.1.2):
    /// `keep` of the [`Inflater`](super::Inflater).
    pub client_takeover: bool,
    /// The bound that the client put on our window, as a power of two in bytes, 9 to 15; `None` if
    /// it put none (section 7.1.2.1). See [`server_bits`](Self::server_bits).
    pub server_max_bits: Option<u8>,
}

impl Agreement {
    /// The largest window to compress with, as a power of two in bytes: 9 to 15. A smaller one
    /// keeps to the agreement too.
    pub fn server_bits(&self) -> u8 {
        self.server_max_bits.unwrap_or(MAX_BITS)
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if !self.server_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if !self.client_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        match self.server_max_bits {
            Some(bits) => write!(f, "; server_max_window_bits={bits}"),
            None => Ok(()),
        }
    }
}

/// Takes the first offer of permessage-deflate that can be met, in the client's order of
/// preference (RFC 7692 section 5). `fields` are the values of all Sec-WebSocket-Extensions fields
/// of the request, in order. `takeover` says whether this connection may have coders of its own;
/// otherwise the answer forbids context takeover to both sides, which it may do unasked (section
/// 7.1.1).
///
/// `None` means to go on without compression. Other extensions are passed over, and an offer that
/// is malformed, has an unknown or repeated parameter or a bad value is declined (section 7.1),
/// as is a window of 256 bytes for the server, which zlib cannot do.
pub fn negotiate<'a>(fields: impl Iterator<Item = &'a str>, takeover: bool) -> Option<Agreement> {
    fields
        .flat_map(elements)
        .filter_map(Offer::parse)
        .find_map(|offer| offer.meet(takeover))
}

/// An offer that follows the rules.
#[derive(Debug, Default)]
struct Offer {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_max_bits: Option<u8>,
    /// The client knows the parameter. We never use it, but it must not come twice.
    client_max_bits: bool,
}

impl Offer {
    fn parse(element: &str) -> Option<Self> {
        let mut extension = Extension::parse(element)?;
        if extension.name() != NAME {
            return None;
        }
        let mut offer = Self::default();
        while let Some((name, value)) = extension.next_param().ok()? {
            offer.take(name, value.as_deref())?;
        }
        Some(offer)
    }

    /// Takes a parameter in. `None` if it is unknown, comes again or has a value that it must not
    /// have (section 7.1).
    fn take(&mut self, name: &str, value: Option<&str>) -> Option<()> {
        let bits = value.map(window_bits);
        let again = match (name, bits) {
            ("server_no_context_takeover", None) => replace(&mut self.server_no_takeover, true),
            ("client_no_context_takeover", None) => replace(&mut self.client_no_takeover, true),
            ("server_max_window_bits", Some(bits)) => self.server_max_bits.replace(bits?).is_some(),
            // Without a value it says that the client knows the parameter, with one also how
            // large its window will be at most (section 7.1.2.2).
            ("client_max_window_bits", None | Some(Some(_))) => {
                replace(&mut self.client_max_bits, true)
            }
            _ => return None,
        };
        (!again).then_some(())
    }

    fn meet(self, takeover: bool) -> Option<Agreement> {
        if self
            .server_max_bits
            .is_some_and(|bits| bits < MIN_SERVER_BITS)
        {
            return None;
        }
        Some(Agreement {
            server_takeover: takeover && !self.server_no_takeover,
            // From a client this is a hint, which we could ignore: but a context that it will not
            // use is not worth its memory.
            client_takeover: takeover && !self.client_no_takeover,
            server_max_bits: self.server_max_bits,
        })
    }
}

/// The size of a window, as a power of two in bytes: "a decimal integer without leading zeroes
/// between 8 to 15 inclusive" (section 7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    match *value.as_bytes() {
        [ones @ b'8'..=b'9'] => Some(ones - b'0'),
        [b'1', ones @ b'0'..=b'5'] => Some(10 + ones - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Our answer to `fields`, on a connection that may have contexts.
    fn answer(fields: &[&str]) -> Option<String> {
        negotiate(fields.iter().copied(), true).map(|agreement| agreement.to_string())
    }

    #[test]
    fn offers_are_answered() {
        for (offer, expected) in [
            ("permessage-deflate", "permessage-deflate"),
            // What Chrome sends.
            (
                "permessage-deflate; client_max_window_bits",
                "permessage-deflate",
            ),
            (
                "permessage-deflate; server_no_context_takeover",
                "permessage-deflate; server_no_context_takeover",
            ),
            (
                "permessage-deflate; client_no_context_takeover",
                "permessage-deflate; client_no_context_takeover",
            ),
            (
                "permessage-deflate; server_max_window_bits=15",
                "permessage-deflate; server_max_window_bits=15",
            ),
            (
                "permessage-deflate; server_max_window_bits=\"9\"",
                "permessage-deflate; server_max_window_bits=9",
            ),
            (
                "permessage-deflate; client_max_window_bits=8",
                "permessage-deflate",
            ),
            (
                "permessage-deflate;server_max_window_bits=12;client_max_window_bits=10;\
                 client_no_context_takeover;server_no_context_takeover",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=12",
            ),
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(expected), "{offer}");
        }
    }

    #[test]
    fn offers_that_break_a_rule_are_declined() {
        for params in [
            "server_max_window_bits",
            "server_max_window_bits=",
            "server_max_window_bits=\"\"",
            "server_max_window_bits=7",
            "server_max_window_bits=8",
            "server_max_window_bits=16",
            "server_max_window_bits=010",
            "server_max_window_bits=09",
            "server_max_window_bits=+9",
            "server_max_window_bits=1x",
            "server_max_window_bits=110",
            "server_max_window_bits=\"1 0\"",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=08",
            "client_max_window_bits; client_max_window_bits",
            "client_max_window_bits; client_max_window_bits=10",
            "server_no_context_takeover=1",
            "server_no_context_takeover=10",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover=true",
            "client_no_context_takeover; client_no_context_takeover",
            "Server_No_Context_Takeover",
            "unknown",
            "unknown=10",
            "",
        ] {
            let offer = format!("permessage-deflate; {params}");
            assert_eq!(answer(&[&offer]), None, "{offer}");
        }
    }

    #[test]
    fn other_extensions_are_passed_over() {
        assert_eq!(answer(&[]), None);
        assert_eq!(answer(&[""]), None);
        assert_eq!(answer(&["permessage-bzip2"]), None);
        assert_eq!(
            answer(&["x-webkit-deflate-frame", "mux; max-channels=4"]),
            None
        );
        assert_eq!(
            answer(&["foo; a=\"permessage-deflate, permessage-deflate\""]),
            None
        );
        assert_eq!(
            answer(&["foo; a=\"x, y\", bar, permessage-deflate"]).as_deref(),
            Some("permessage-deflate")
        );
    }

    #[test]
    fn the_first_offer_that_can_be_met_is_taken() {
        let bits = |bits| format!("permessage-deflate; server_max_window_bits={bits}");
        for (fields, expected) in [
            // The fallbacks of RFC 7692 section 7.1.3, and of 5.2 in our terms.
            (
                &["permessage-deflate; client_max_window_bits; server_max_window_bits=10"][..],
                bits(10),
            ),
            (
                &[
                    "permessage-deflate; client_max_window_bits; server_max_window_bits=10, \
                   permessage-deflate; client_max_window_bits",
                ],
                bits(10),
            ),
            (
                &["permessage-deflate; use_y, permessage-deflate"],
                NAME.to_owned(),
            ),
            (
                &["permessage-deflate; server_max_window_bits=8, permessage-deflate"],
                NAME.to_owned(),
            ),
            (
                &[
                    "permessage-deflate; server_max_window_bits=8, ,permessage-deflate; \
                   server_max_window_bits=11,permessage-deflate",
                ],
                bits(11),
            ),
            // Several fields are one list.
            (
                &[
                    "permessage-deflate; oops=\"",
                    "foo",
                    "permessage-deflate; server_max_window_bits=13",
                ],
                bits(13),
            ),
        ] {
            assert_eq!(answer(fields), Some(expected), "{fields:?}");
        }
    }

    #[test]
    fn without_contexts_the_answer_forbids_takeover() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; client_max_window_bits; server_no_context_takeover",
        ] {
            let agreement = negotiate([offer].into_iter(), false).unwrap();
            assert_eq!(
                agreement.to_string(),
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            );
            assert_eq!(agreement.server_bits(), 15);
        }
    }
}
