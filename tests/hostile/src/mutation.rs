//! Mutations of seeds, from a number: those that find most in decoders of lengths and nested items.

/// Chance from a seed: splitmix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    /// The next number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        usize::try_from((self.number() >> 11) % bound).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Heads of CBOR items that promise much, or what is not allowed, and bytes at the edges of lengths.
const HEADS: [&[u8]; 16] = [
    &[0x00],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0x9f],
    &[0xbf],
    &[0xf6],
    &[0xf9, 0x7e, 0x00],
    &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x5a, 0xff, 0xff, 0xff, 0xff],
    &[0x7a, 0x00, 0xff, 0xff, 0xff],
    &[0x9a, 0x00, 0x01, 0x00, 0x00],
    &[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xba, 0x00, 0x01, 0x00, 0x00],
    &[
        0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81,
        0x81, 0x81,
    ],
];

/// One of the seeds with a few changes, of at most `most` bytes.
pub fn mutate(seeds: &[Vec<u8>], chance: &mut Chance, most: usize) -> Vec<u8> {
    let mut bytes = chance.pick(seeds).clone();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        let end = (at + 1 + chance.below(16)).min(bytes.len());
        match chance.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 if at < bytes.len() => bytes[at] = chance.number().to_le_bytes()[0],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at.min(end)..end)),
            4 => {
                let piece = bytes[at.min(end)..end].to_vec();
                let piece = piece.repeat(1 + chance.below(64));
                bytes.splice(at..at, piece);
            }
            5 => {
                let head = *chance.pick(&HEADS);
                let over = (at + chance.below(head.len() + 1)).min(bytes.len());
                bytes.splice(at..over, head.iter().copied());
            }
            6 => {
                let other = chance.pick(seeds);
                let from = chance.below(other.len() + 1);
                let piece = other[from..].to_vec();
                bytes.splice(at..end.max(at), piece);
            }
            // A number one more or one less, which may be a length.
            7 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1),
            8 if at < bytes.len() => bytes[at] = bytes[at].wrapping_sub(1),
            _ => bytes.push(chance.number().to_le_bytes()[0]),
        }
    }
    bytes.truncate(most);
    bytes
}
