//! The masking of client frames (RFC 6455 section 5.3).

/// Masks `bytes` in place, or unmasks them, which is the same. `bytes[0]` meets `mask[0]`: whoever
/// cuts a payload rotates the mask for the next piece.
pub fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let half = u32::from_ne_bytes(mask);
    let word = u64::from(half) << 32 | u64::from(half);
    // 32 bytes a turn: the compiler makes vector operations of the four words, and a piece of any
    // alignment takes the same path. What is left is at most 31 bytes, most of them in words too.
    let (blocks, rest) = bytes.as_chunks_mut::<32>();
    for block in blocks {
        for bytes in block.as_chunks_mut::<8>().0 {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
    }
    let (words, rest) = rest.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    let (halves, rest) = rest.as_chunks_mut::<4>();
    for bytes in halves {
        *bytes = (u32::from_ne_bytes(*bytes) ^ half).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use crate::apply_mask;

    #[test]
    fn agrees_with_the_rfc_formula_for_every_length_and_start() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let source: Vec<u8> = (0..300u32).map(|i| (i * 7 + 3) as u8).collect();
        for start in 0..40 {
            for end in start..source.len() {
                let mut fast = source.clone();
                apply_mask(&mut fast[start..end], mask);
                let mut plain = source.clone();
                for (i, byte) in plain[start..end].iter_mut().enumerate() {
                    *byte ^= mask[i % 4];
                }
                assert_eq!(fast, plain, "{start}..{end}");
            }
        }
    }

    #[test]
    fn a_payload_cut_anywhere_continues_with_the_rotated_mask() {
        let mask = [1, 20, 30, 200];
        for cut in 0..=67 {
            let mut whole = [0u8; 67];
            apply_mask(&mut whole, mask);
            let mut pieces = [0u8; 67];
            let mut rotated = mask;
            rotated.rotate_left(cut % 4);
            apply_mask(&mut pieces[..cut], mask);
            apply_mask(&mut pieces[cut..], rotated);
            assert_eq!(whole, pieces, "cut at {cut}");
        }
    }

    #[test]
    fn the_rfc_example_reads_hello() {
        // Section 5.7: a single-frame masked text message.
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply_mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&payload, b"Hello");
    }
}
