//! Damages files as chance and as malice do: the same seed gives the same damage.

use super::fuzz::hdf5::lookup3;

/// The generator known as `SplitMix64`.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// A file and where its checksums are.
pub(super) struct Original {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// Places that are not zero, which is where structures are.
    places: Vec<usize>,
    sums: Vec<Sum>,
}

/// A checksum: the bytes it is of, and where it stands, which may be inside them.
struct Sum {
    start: usize,
    end: usize,
    at: usize,
}

impl Original {
    pub(super) fn new(name: String, bytes: Vec<u8>) -> Self {
        let places = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let sums = sums(&bytes);
        Self {
            name,
            bytes,
            places,
            sums,
        }
    }

    /// A copy with some damage; where `repair` is set the checksums of the structures match again.
    pub(super) fn damaged(&self, random: &mut Random, repair: bool) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for _ in 0..=random.below(4) {
            let at = self.places[random.below(self.places.len())];
            match random.below(6) {
                0 | 1 => bytes[at] ^= 1 << random.below(8),
                2 | 3 => extreme(&mut bytes, at, random),
                4 => copied(&mut bytes, at, self.places[random.below(self.places.len())]),
                _ => bytes[at] = random.next() as u8,
            }
        }
        if repair {
            // Inner structures first: the checksum of none covers another's.
            self.sums.iter().for_each(|sum| sum.repair(&mut bytes));
        }
        if random.below(8) == 0 {
            bytes.truncate(random.below(bytes.len()));
        }
        bytes
    }
}

/// Puts an extreme number of one to eight bytes.
fn extreme(bytes: &mut [u8], at: usize, random: &mut Random) {
    let length = bytes.len() as u64;
    let numbers = [
        0,
        1,
        u64::MAX,
        u64::MAX - 1,
        i64::MAX as u64,
        1 << 63,
        0x7fff_ffff,
        0xffff_ffff,
        0xffff,
        length,
        length - 1,
        length + 1,
    ];
    let width = 1 << random.below(4);
    let number = numbers[random.below(numbers.len())].to_le_bytes();
    for (to, from) in bytes[at..].iter_mut().zip(&number[..width]) {
        *to = *from;
    }
}

/// Puts the eight bytes of another place, such as an address.
fn copied(bytes: &mut [u8], at: usize, from: usize) {
    let copy: Vec<u8> = bytes[from..].iter().take(8).copied().collect();
    for (to, from) in bytes[at..].iter_mut().zip(copy) {
        *to = from;
    }
}

impl Sum {
    fn of(&self, bytes: &[u8]) -> u32 {
        let mut covered = bytes[self.start..self.end].to_vec();
        if self.at < self.end {
            covered[self.at - self.start..][..4].fill(0);
        }
        lookup3(&covered)
    }

    fn repair(&self, bytes: &mut [u8]) {
        let sum = self.of(bytes).to_le_bytes();
        bytes[self.at..self.at + 4].copy_from_slice(&sum);
    }

    fn matches(&self, bytes: &[u8]) -> bool {
        let stored = bytes.get(self.at..self.at + 4);
        let fits = self.end <= bytes.len();
        fits && stored.is_some_and(|stored| self.of(bytes).to_le_bytes() == stored)
    }
}

const SIGNATURES: [&[u8; 4]; 14] = [
    b"OHDR", b"OCHK", b"FRHP", b"FHIB", b"BTHD", b"BTIN", b"BTLF", b"FAHD", b"FADB", b"EAHD",
    b"EAIB", b"EASB", b"EADB", b"SMTB",
];

/// Every checksum of a file, found by trying the ends that a structure may have.
fn sums(bytes: &[u8]) -> Vec<Sum> {
    let mut found = Vec::new();
    if bytes.starts_with(b"\x89HDF\r\n\x1a\n") {
        found.extend(first_match(bytes, 0, 44..=44));
    }
    for start in 0..bytes.len().saturating_sub(8) {
        let signature = &bytes[start..start + 4];
        if signature == b"FHDB" {
            found.extend(direct_block(bytes, start));
        } else if SIGNATURES.iter().any(|known| *known == signature) {
            found.extend(first_match(bytes, start, start + 6..=start + 600));
        }
    }
    found
}

fn first_match(
    bytes: &[u8],
    start: usize,
    mut ends: std::ops::RangeInclusive<usize>,
) -> Option<Sum> {
    ends.find_map(|end| {
        let sum = Sum {
            start,
            end,
            at: end,
        };
        sum.matches(bytes).then_some(sum)
    })
}

/// A direct block of a fractal heap has its checksum behind its offset, and counts it as zero.
fn direct_block(bytes: &[u8], start: usize) -> Option<Sum> {
    let mut sizes = (9..17).map(|bits| 1usize << bits);
    sizes.find_map(|size| {
        let mut sums = (2..=8).map(|width| Sum {
            start,
            end: start + size,
            at: start + 13 + width,
        });
        sums.find(|sum| sum.matches(bytes))
    })
}
