//! The HTTP upgrade, written by hand for both sides.

use crate::Target;

/// The key every client sends: the RFC's example, whose answer is known without hashing.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A head longer than this is refused, so that a peer that never ends it cannot grow a buffer.
pub const HEAD_LIMIT: usize = 16 << 10;

/// The bytes that ask `target` for a WebSocket.
#[must_use]
pub fn request(target: &Target) -> Vec<u8> {
    let (resource, host) = (target.resource(), target.host());
    format!(
        "GET {resource} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// The length of the HTTP head at the front of `buffer`, once it is whole.
#[must_use]
pub fn head_length(buffer: &[u8]) -> Option<usize> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(end + 4)
}

/// Whether a server's answer to [`request`] is an upgrade; if not, why.
///
/// # Errors
/// The first line of a refusal, or what is wrong with an acceptance.
pub fn check_response(head: &[u8]) -> Result<(), String> {
    let head = String::from_utf8_lossy(head);
    let first = head.lines().next().unwrap_or_default();
    if first.split(' ').nth(1) != Some("101") {
        return Err(format!("the server refused the upgrade: {first}"));
    }
    match header(&head, "sec-websocket-accept") {
        Some(ACCEPT) => Ok(()),
        other => Err(format!(
            "the server's sec-websocket-accept is {other:?}, not {ACCEPT:?}"
        )),
    }
}

/// The value of the first header called `name` (lowercase).
#[must_use]
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The bytes that accept the upgrade a client asked for with `key`.
#[must_use]
pub fn acceptance(key: &str) -> Vec<u8> {
    let digest = sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes());
    let accept = base64(&digest);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// FIPS 180-4. Only the floor server needs it, once a connection: not worth a dependency.
fn sha1(input: &[u8]) -> [u8; 20] {
    let mut message = input.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend_from_slice(&(input.len() as u64 * 8).to_be_bytes());

    let mut state: [u32; 5] = [
        0x6745_2301,
        0xefcd_ab89,
        0x98ba_dcfe,
        0x1032_5476,
        0xc3d2_e1f0,
    ];
    for block in message.chunks_exact(64) {
        let mut words = [0_u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        for i in 16..80 {
            words[i] = (words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in words.iter().enumerate() {
            let (mixed, constant) = match i / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next = a
                .rotate_left(5)
                .wrapping_add(mixed)
                .wrapping_add(e)
                .wrapping_add(constant)
                .wrapping_add(*word);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        for (total, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *total = total.wrapping_add(part);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

fn base64(input: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in input.chunks(3) {
        let bytes = [
            chunk[0],
            chunk.get(1).copied().unwrap_or(0),
            chunk.get(2).copied().unwrap_or(0),
        ];
        let group = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        for i in 0..4 {
            let six = (group >> (18 - 6 * i)) as usize & 63;
            let used = i <= chunk.len();
            text.push(if used { ALPHABET[six] as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_acceptance_of_our_own_key_is_the_one_we_expect() {
        let bytes = acceptance(KEY);
        assert_eq!(head_length(&bytes), Some(bytes.len()));
        assert_eq!(check_response(&bytes), Ok(()));
        assert!(check_response(&acceptance("another key")).is_err());
    }

    #[test]
    fn a_refusal_shows_its_status_line() {
        let error = check_response(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap_err();
        assert!(error.ends_with("HTTP/1.1 403 Forbidden"), "{error}");
    }

    #[test]
    fn sha1_spans_blocks() {
        // FIPS 180 test vector of two blocks.
        let digest = sha1(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
        assert_eq!(digest[..4], [0x84, 0x98, 0x3e, 0x44]);
    }
}
