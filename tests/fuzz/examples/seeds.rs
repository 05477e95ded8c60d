//! Writes the seeds of both targets into `corpus/`: what the codec must be asked in any case,
//! however much of it a fuzzer would find by itself. `cargo run --example seeds`.

use std::fs;
use std::path::Path;

use tidegate_fuzz::stream::{DEFLATE, FILL, FRAGMENT, LIMITS, MUTATED};

const TEXT: u8 = 0;
const BINARY: u8 = 1;
const PING: u8 = 2;
const PONG: u8 = 3;
const CLOSE: u8 = 4;
const RAW: u8 = 5;
/// The fixed mask.
const MASK: u8 = 1 << 6;

/// Every length at which the encoding changes, and their neighbours.
const LENGTHS: [usize; 9] = [0, 1, 124, 125, 126, 127, 65_535, 65_536, 65_537];
/// The ends of every range of close codes.
const CODES: [u16; 15] = [
    0, 999, 1000, 1003, 1004, 1006, 1007, 1014, 1015, 2999, 3000, 3999, 4000, 4999, 5000,
];
/// Bytes that no text may contain, or that may not be its end.
const SPOILS: [(&str, &[u8]); 9] = [
    ("lone-continuation", b"\x80"),
    ("never-a-byte", b"\xff"),
    ("overlong-2", b"\xc0\xaf"),
    ("overlong-3", b"\xe0\x9f\xbf"),
    ("overlong-4", b"\xf0\x8f\xbf\xbf"),
    ("surrogate", b"\xed\xa0\x80"),
    ("beyond-unicode", b"\xf4\x90\x80\x80"),
    ("cut-3", b"\xe2\x82"),
    ("cut-4", b"\xf0\x9f\x92"),
];

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    write(&corpus.join("reader"), &reader());
    write(&corpus.join("outbound"), &outbound());
}

type Seed = (String, Vec<u8>);

fn write(dir: &Path, seeds: &[Seed]) {
    fs::create_dir_all(dir).expect("the corpus can be written");
    for (name, bytes) in seeds {
        assert!(bytes.len() < 1024, "{name} is {} bytes", bytes.len());
        fs::write(dir.join(format!("seed-{name}")), bytes).expect("the corpus can be written");
    }
}

fn reader() -> Vec<Seed> {
    let mut seeds = lengths();
    seeds.extend(fragments());
    seeds.extend(texts());
    seeds.extend(closes());
    seeds.extend(faults());
    seeds.extend(deflated());
    let add = |(name, parts): (&str, Vec<Vec<u8>>)| seed(name, &parts);
    seeds.extend(
        [
            // More messages in one read than a batch takes.
            (
                "batches",
                vec![part(RAW, &b"\x82\x81mask\x00".repeat(36)); 3],
            ),
            ("noise", vec![part(RAW, b"\x13\x37 any bytes at all")]),
            (
                "controls",
                vec![part(PING | MASK, b"?"), part(PONG | MASK, b"!")],
            ),
            (
                "four-masks",
                vec![
                    part(BINARY, b"none"),
                    masked(BINARY, [1, 0, 0, 0], b"one byte"),
                    masked(TEXT, [0xff; 4], b"all of them"),
                ],
            ),
        ]
        .map(add),
    );
    seeds
}

/// A stream under no limit, cut now and then.
fn seed(name: &str, parts: &[Vec<u8>]) -> Seed {
    (name.to_owned(), input([1 << 20, 400], &[3, 1, 0, 9], parts))
}

/// The format is that of `stream.rs`.
fn input(limits: [usize; 2], sizes: &[u16], parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for limit in limits {
        let index = LIMITS.iter().position(|known| *known == limit);
        out.push(index.expect("a known limit") as u8);
    }
    out.push(sizes.len() as u8);
    out.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
    out.extend(parts.concat());
    out
}

fn part(tag: u8, payload: &[u8]) -> Vec<u8> {
    [&[tag, payload.len() as u8], payload].concat()
}

fn masked(tag: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut part = part(tag | 2 << 6, payload);
    part.splice(1..1, mask);
    part
}

fn filled(tag: u8, len: usize) -> Vec<u8> {
    let len = (len as u32).to_le_bytes();
    vec![tag | MASK | FILL, len[0], len[1], len[2]]
}

fn mutated(tag: u8, payload: &[u8], mutation: &[u8]) -> Vec<u8> {
    [&part(tag | MASK | MUTATED, payload), mutation].concat()
}

/// Whole frames, heads that announce and bring nothing, and both sides of each limit.
fn lengths() -> Vec<Seed> {
    let neighbour = part(PONG | MASK, b"n");
    let mut seeds = Vec::new();
    for len in LENGTHS {
        let kinds = [("text", TEXT), ("binary", BINARY), ("ping", PING)];
        for (name, kind) in kinds.into_iter().take(if len > 125 { 2 } else { 3 }) {
            let parts = [neighbour.clone(), filled(kind, len), neighbour.clone()];
            let size = (len / 3 + 1) as u16;
            let bytes = input([1 << 20, 400], &[9, 2, size], &parts);
            seeds.push((format!("length-{len}-{name}"), bytes));
        }
        let claim = [&[5], &(len as u64).to_le_bytes()[..]].concat();
        seeds.push(seed(
            &format!("head-64-{len}"),
            &[mutated(BINARY, b"", &claim)],
        ));
    }
    for len in [126, 65_535_u16] {
        let head = [&[0x82, 0xfe], &len.to_be_bytes()[..], b"mask"].concat();
        seeds.push(seed(&format!("head-16-{len}"), &[part(RAW, &head)]));
    }
    for limit in LIMITS {
        if let Some(over) = limit.checked_add(1).filter(|over| *over < 70_000) {
            let parts = [filled(BINARY, limit), filled(TEXT, over)];
            let bytes = input([limit, limit], &[40_000], &parts);
            seeds.push((format!("limit-{limit}"), bytes));
        }
    }
    seeds
}

fn fragments() -> Vec<Seed> {
    let ping = part(PING | MASK, b"inside");
    let (begin, end) = (part(TEXT | FRAGMENT, "aé€".as_bytes()), part(TEXT, b"z"));
    let cases = [
        ("fragments", vec![begin.clone(), begin.clone(), end.clone()]),
        (
            "fragments-empty",
            vec![
                part(TEXT | FRAGMENT, b""),
                part(TEXT | FRAGMENT, b""),
                part(TEXT, b""),
            ],
        ),
        (
            "fragments-long",
            vec![
                filled(BINARY | FRAGMENT, 65_536),
                filled(BINARY | FRAGMENT, 126),
                end.clone(),
            ],
        ),
        (
            "fragments-cut-characters",
            vec![
                filled(TEXT | FRAGMENT, 5),
                filled(TEXT | FRAGMENT, 4),
                filled(TEXT, 31),
            ],
        ),
        (
            "fragments-around-controls",
            vec![
                begin.clone(),
                ping.clone(),
                part(PONG, b""),
                begin.clone(),
                filled(PING, 125),
                end.clone(),
            ],
        ),
        (
            "fragments-around-close",
            vec![begin.clone(), part(CLOSE, b"\x03\xe8"), end.clone()],
        ),
        ("fragments-no-end", vec![begin.clone(), ping]),
        ("fragments-no-start", vec![mutated(TEXT, b"x", &[0, 0x80])]),
        (
            "fragments-two-starts",
            vec![begin, mutated(TEXT, b"x", &[0, 0x81])],
        ),
    ];
    let mut seeds: Vec<Seed> = cases
        .iter()
        .map(|(name, parts)| seed(name, parts))
        .collect();
    for (name, end) in [("fits", 100), ("over", 101)] {
        let parts = [filled(BINARY | FRAGMENT, 300), filled(BINARY, end)];
        seeds.push((
            format!("fragments-limit-{name}"),
            input([400, 400], &[], &parts),
        ));
    }
    // A message in reads of 100 bytes; every other one has the lower limit.
    let parts = [filled(BINARY | FRAGMENT, 150), filled(BINARY, 100)];
    seeds.push(("reload".to_owned(), input([400, 125], &[100], &parts)));
    seeds
}

fn texts() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, spoil) in SPOILS {
        let long = [&b"x".repeat(70), spoil].concat();
        let (start, end) = spoil.split_at(spoil.len() / 2);
        let fragments = [part(TEXT | FRAGMENT | MASK, start), part(TEXT | MASK, end)];
        let text = [part(TEXT | MASK, &long), part(TEXT | MASK, b"not read")];
        let whole = input([1 << 20, 400], &[], &text);
        seeds.push((format!("utf8-{name}"), whole));
        seeds.push(seed(&format!("utf8-{name}-reads"), &text));
        seeds.push(seed(&format!("utf8-{name}-cut"), &fragments));
    }
    for character in ["é", "€", "💧"] {
        for at in 1..character.len() {
            let (start, end) = character.as_bytes().split_at(at);
            let parts = [part(TEXT | FRAGMENT | MASK, start), part(TEXT | MASK, end)];
            seeds.push(seed(
                &format!("utf8-{}-after-{at}", character.len()),
                &parts,
            ));
        }
    }
    seeds
}

fn closes() -> Vec<Seed> {
    let close = |payload: &[u8]| [part(CLOSE | MASK, payload), part(TEXT, b"too late")];
    let mut seeds = vec![
        seed("close-empty", &close(b"")),
        seed("close-half-a-code", &close(b"\x03")),
        seed(
            "close-reason",
            &close(&[b"\x0f\xa1", "é€💧".as_bytes()].concat()),
        ),
        seed("close-bad-reason", &close(b"\x03\xe8\xc3")),
        seed(
            "close-long-reason",
            &close(&[b"\x03\xe9", &[b'r'; 123][..]].concat()),
        ),
    ];
    for code in CODES {
        let payload = [&code.to_be_bytes()[..], "bye é".as_bytes()].concat();
        seeds.push(seed(&format!("close-{code}"), &close(&payload)));
    }
    seeds
}

/// One for each way of `stream.rs` to spoil a frame, and each bit of its first byte.
fn faults() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for first in [0x83, 0x87, 0x8b, 0x8f] {
        seeds.push(seed(
            &format!("first-{first:x}"),
            &[mutated(TEXT, b"x", &[0, first])],
        ));
    }
    for bit in 0..8 {
        seeds.push(seed(
            &format!("flip-text-{bit}"),
            &[mutated(TEXT, b"x", &[1, bit])],
        ));
        seeds.push(seed(
            &format!("flip-ping-{bit}"),
            &[mutated(PING, b"x", &[1, bit])],
        ));
    }
    seeds.extend([
        seed("unmasked", &[mutated(TEXT, b"x", &[2])]),
        seed("not-minimal-16", &[mutated(TEXT, b"x", &[3])]),
        seed("not-minimal-64", &[mutated(TEXT, b"x", &[4])]),
        seed(
            "claim-over-limit",
            &[mutated(TEXT, b"x", b"\x05\0\0\0\0\0\x01\0\0")],
        ),
        seed(
            "claim-top-bit",
            &[mutated(TEXT, b"x", b"\x05\0\0\0\0\0\0\0\x80")],
        ),
        seed("control-too-long", &[mutated(PING, b"x", &[6, 125])]),
    ]);
    seeds
}

/// Streams of a client that may compress. RSV1 begins a message and stands nowhere else.
fn deflated() -> Vec<Seed> {
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let rsv1 = |tag: u8, payload: &[u8]| mutated(tag, payload, &[1, 6]);
    let long = |tag: u8, len: usize| [filled(tag | MUTATED, len), vec![1, 6]].concat();
    let ping = part(PING | MASK, b"inside");
    let cases = [
        (
            "text",
            vec![rsv1(TEXT, hello), part(TEXT, b"not compressed")],
        ),
        (
            "fragments",
            vec![
                rsv1(BINARY | FRAGMENT, b"\xf2\x48"),
                ping,
                part(BINARY, b"\x00"),
            ],
        ),
        (
            "continuation",
            vec![rsv1(TEXT | FRAGMENT, hello), rsv1(TEXT, b"\x00")],
        ),
        ("control", vec![rsv1(PING, b"?")]),
        ("rsv2", vec![mutated(TEXT, hello, &[1, 5])]),
        // It may be longer than the limit, since the limit is for what it inflates to; but how much?
        (
            "limit",
            vec![long(BINARY, 400 + 64), long(BINARY, 400 + 65)],
        ),
        (
            "limit-first",
            vec![long(BINARY | FRAGMENT, 400 + 64), part(BINARY, b"x")],
        ),
        (
            "limit-fragments",
            vec![long(BINARY | FRAGMENT, 400), filled(BINARY, 64)],
        ),
        (
            "limit-fragments-over",
            vec![long(BINARY | FRAGMENT, 400), filled(BINARY, 65)],
        ),
        (
            "limit-plain",
            vec![filled(BINARY | FRAGMENT, 400), part(BINARY, b"x")],
        ),
    ];
    let mut seeds = Vec::new();
    for (name, parts) in cases {
        for (cuts, sizes) in [("whole", &[][..]), ("cut", &[3, 1, 0, 9, 500])] {
            let mut bytes = input([400, 125], sizes, &parts);
            bytes[2] |= DEFLATE;
            seeds.push((format!("deflate-{name}-{cuts}"), bytes));
        }
    }
    seeds
}

/// The format is that of `targets/outbound.rs`.
fn outbound() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut queue = Vec::new();
    for len in LENGTHS
        .map(|len| len as u64)
        .into_iter()
        .chain([u64::MAX >> 1])
    {
        // Text with FIN, binary, and a ping of at most that length.
        let head = |tag: u8| [&[tag], &len.to_le_bytes()[..]].concat();
        let heads = [head(0x20), head(0x04), head(0x0c)].concat();
        seeds.push((format!("head-{len}"), heads));
    }
    for len in LENGTHS {
        let len = (len as u32).to_le_bytes();
        let text = [0x43, len[0], len[1], len[2]];
        queue.extend(text);
        // A pong with a payload in between.
        queue.extend(b"\x13\x02up");
        seeds.push((format!("queue-{}", u32::from_le_bytes(len)), text.to_vec()));
    }
    seeds.push(("queue-all".to_owned(), queue));
    for code in CODES {
        let close = [&[2][..], &code.to_le_bytes(), b"\x03bye"].concat();
        seeds.push((format!("close-{code}"), close));
    }
    for (name, end) in [
        ("fits", ""),
        ("over", "x"),
        ("cuts-2", "é"),
        ("cuts-4", "💧"),
    ] {
        let len = if name == "fits" {
            123
        } else {
            122 + usize::from(name == "over")
        };
        let reason = ["x".repeat(len).as_bytes(), end.as_bytes()].concat();
        let close = [&[2, 0xe8, 3, reason.len() as u8][..], &reason].concat();
        seeds.push((format!("close-reason-{name}"), close));
    }
    let whole = [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0];
    for len in 0..=whole.len() {
        let bytes = [&[1, len as u8], &whole[..len]].concat();
        seeds.push((format!("bytes-{len}"), bytes));
    }
    seeds.push(("bytes-16".to_owned(), b"\x01\x04\x81\x7e\x00\x7e".to_vec()));
    seeds
}
