//! What visitors send, with its rules, and what they get. Rules are those of `garde`; what serde reads at all, such as one
//! of an enum's names, needs none.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A picture to be hung. A field that is not known is an error too, not a typing mistake that nobody notices.
#[derive(Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct Picture {
    /// 1 to 80 characters.
    #[garde(length(chars, min = 1, max = 80))]
    title: String,
    #[garde(dive)]
    artist: Artist,
    #[garde(dive)]
    size: Size,
    #[garde(skip)]
    medium: Medium,
    /// At most 5, each 1 to 32 of a-z, 0-9 and -.
    #[serde(default)]
    #[garde(length(max = 5), inner(custom(is_slug)))]
    tags: Vec<String>,
    /// 1400 to 2100, if it is known.
    #[garde(range(min = 1400, max = 2100))]
    year: Option<u16>,
}

#[derive(Serialize, Deserialize, JsonSchema, Validate)]
struct Artist {
    #[garde(length(chars, min = 1, max = 80))]
    name: String,
    /// Where to send the picture back.
    #[garde(custom(is_email))]
    email: String,
}

/// In centimetres, 1 to 1000 each.
#[derive(Serialize, Deserialize, JsonSchema, Validate)]
struct Size {
    #[garde(range(min = 1.0, max = 1000.0))]
    width: f64,
    #[garde(range(min = 1.0, max = 1000.0))]
    height: f64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Medium {
    Oil,
    Watercolour,
    Photograph,
}

/// What the others in the room hear of.
#[derive(Serialize, JsonSchema)]
pub(super) struct Hung {
    picture: Picture,
    /// In square centimetres.
    area: f64,
}

impl Hung {
    pub(super) fn new(picture: Picture) -> Self {
        let area = picture.size.width * picture.size.height;
        Self { picture, area }
    }
}

#[derive(Deserialize, JsonSchema, Validate)]
pub(super) struct Rating {
    /// 1 to 5.
    #[garde(range(min = 1, max = 5))]
    stars: u8,
    /// At most 280 characters.
    #[garde(length(chars, max = 280))]
    comment: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Rated {
    stars: String,
    has_comment: bool,
}

impl From<Rating> for Rated {
    fn from(rating: Rating) -> Self {
        Self {
            stars: "*".repeat(rating.stars.into()),
            has_comment: rating.comment.is_some(),
        }
    }
}

/// One of several shapes; `kind` says which.
#[derive(Deserialize, JsonSchema, Validate)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Booking {
    /// By oneself.
    Visit {
        /// 9 to 17 o'clock.
        #[garde(range(min = 9, max = 17))]
        from: u8,
        /// Later than `from`, up to 18 o'clock.
        #[garde(range(max = 18), custom(is_after(from)))]
        until: u8,
    },
    /// With a guide.
    Tour {
        /// 2 to 30.
        #[garde(range(min = 2, max = 30))]
        guests: u8,
        /// One to three: each has its guide.
        #[garde(length(min = 1, max = 3))]
        languages: Vec<Language>,
    },
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    De,
    En,
    Fr,
}

/// What a booking costs, in cents.
#[derive(Serialize, JsonSchema)]
pub(super) struct Ticket {
    price: u32,
}

impl From<Booking> for Ticket {
    fn from(booking: Booking) -> Self {
        let price = match booking {
            Booking::Visit { from, until } => 400 * u32::from(until - from),
            Booking::Tour { guests, languages } => {
                let guides = languages.len() as u32;
                600 * u32::from(guests) + 5_000 * guides
            }
        };
        Self { price }
    }
}

/// A rule of one's own: a function. Its error is the reason that the client is told.
pub(super) fn is_slug<C>(text: &str, _: &C) -> garde::Result {
    let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    match (1..=32).contains(&text.len()) && text.bytes().all(is_plain) {
        true => Ok(()),
        false => Err(garde::Error::new("takes 1 to 32 of a-z, 0-9 and -")),
    }
}

/// Whether it looks like one: only mail itself can tell whether it is.
fn is_email<C>(text: &str, _: &C) -> garde::Result {
    let is_word = |byte: u8| byte.is_ascii_graphic() && byte != b'@';
    let looks_right = text.split_once('@').is_some_and(|(name, host)| {
        let mut labels = host.split('.');
        !name.is_empty()
            && host.contains('.')
            && labels.all(|label| !label.is_empty())
            && name.bytes().chain(host.bytes()).all(is_word)
    });
    match looks_right && text.len() <= 254 {
        true => Ok(()),
        false => Err(garde::Error::new("is no address like ann@example.com")),
    }
}

/// A rule over two fields: a function that makes one.
fn is_after<C>(from: &u8) -> impl FnOnce(&u8, &C) -> garde::Result + '_ {
    move |until, _| match until > from {
        true => Ok(()),
        false => Err(garde::Error::new(format!("has to be later than {from}"))),
    }
}
