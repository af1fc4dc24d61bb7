// SPDX-License-Identifier: GPL-2.0

//! Hashes of names, which order an indexed directory.
//!
//! A hash has a major part, whose lowest bit is always clear (the index uses it to say that a
//! leaf continues the one before), and a minor part that only tells names with equal major parts
//! apart while a directory is read.
//!
//! Format: `Documentation/filesystems/ext4/directory.rst`; C: `fs/ext4/hash.c`.

use crate::format::Geometry;

/// The seed where the superblock has none.
const DEFAULT_SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// The major part that stands for the end of the directory; no name has it.
const END: u32 = 0xffff_fffe;

/// The hash of a name; ordered as directories are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameHash {
    /// Orders the index; even.
    pub major: u32,
    /// Orders names of equal major part while reading.
    pub minor: u32,
}

/// The algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The first one; 0 on disk.
    Legacy,
    /// Half of an MD4 round function; 1 on disk, and the default.
    HalfMd4,
    /// The Tiny Encryption Algorithm; 2 on disk.
    Tea,
}

impl Algorithm {
    /// From its number on disk.
    pub const fn from_disk(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Legacy),
            1 => Some(Self::HalfMd4),
            2 => Some(Self::Tea),
            _ => None,
        }
    }

    /// Its number on disk.
    pub const fn to_disk(self) -> u8 {
        match self {
            Self::Legacy => 0,
            Self::HalfMd4 => 1,
            Self::Tea => 2,
        }
    }
}

/// All that a hash depends on besides the name.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    /// Which algorithm.
    pub algorithm: Algorithm,
    /// Whether bytes of names count as 0 to 255, or as -128 to 127: what `char` was on the
    /// machine that made the file system.
    pub unsigned: bool,
    /// Start value of the better algorithms.
    pub seed: [u32; 4],
}

impl Hasher {
    /// The hasher of new indexed directories.
    pub fn new(geo: &Geometry) -> Self {
        Self {
            // The geometry was checked: its version is known.
            algorithm: Algorithm::from_disk(geo.hash_version).unwrap_or(Algorithm::HalfMd4),
            unsigned: geo.hash_unsigned,
            seed: match geo.hash_seed {
                [0, 0, 0, 0] => DEFAULT_SEED,
                seed => seed,
            },
        }
    }

    /// The same file system's hasher for a directory that uses `algorithm`.
    pub const fn with(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// The hash of `name`.
    pub fn hash(&self, name: &[u8]) -> NameHash {
        let (major, minor) = match self.algorithm {
            Algorithm::Legacy => (self.legacy(name), 0),
            Algorithm::HalfMd4 => {
                let mut state = self.seed;
                self.words::<8>(name, |words| half_md4(&mut state, words));
                (state[1], state[2])
            }
            Algorithm::Tea => {
                let mut state = self.seed;
                self.words::<4>(name, |words| tea(&mut state, words));
                (state[0], state[1])
            }
        };
        let major = match major & !1 {
            END => END - 2,
            even => even,
        };
        NameHash { major, minor }
    }

    /// A byte of a name as the number that the hash counts it as.
    fn number(&self, byte: u8) -> u32 {
        if self.unsigned {
            byte.into()
        } else {
            byte as i8 as u32
        }
    }

    fn legacy(&self, name: &[u8]) -> u32 {
        let (mut now, mut before) = (0x12a3_fe2du32, 0x37ab_e8f9u32);
        for byte in name {
            let mut next = before.wrapping_add(now ^ self.number(*byte).wrapping_mul(7_152_373));
            if next & 0x8000_0000 != 0 {
                next = next.wrapping_sub(0x7fff_ffff);
            }
            before = now;
            now = next;
        }
        now << 1
    }

    /// Cuts `name` into blocks of `N` big-endian words, the last filled up with a word made of
    /// the length of what was left.
    fn words<const N: usize>(&self, name: &[u8], mut block: impl FnMut(&[u32; N])) {
        let signs = if self.unsigned { 0 } else { 0x8080_8080 };
        let mut rest = name;
        while !rest.is_empty() {
            let pad = (rest.len() as u32 & 0xff).wrapping_mul(0x0101_0101);
            let (now, later) = rest.split_at_checked(4 * N).unwrap_or((rest, &[]));
            let mut words = [pad; N];
            let fours = now.chunks_exact(4);
            let (mut next, part) = (words.iter_mut(), fours.remainder());
            for (bytes, word) in fours.zip(next.by_ref()) {
                let digits = bytes.try_into().map_or(pad, u32::from_be_bytes);
                // A byte that counts as 256 less takes one from the digit before it.
                *word = digits.wrapping_sub((digits & signs) << 1);
            }
            if let Some(word) = next.next() {
                *word = part.iter().fold(pad, |value, byte| {
                    (value << 8).wrapping_add(self.number(*byte))
                });
            }
            block(&words);
            rest = later;
        }
    }
}

/// Sixteen rounds of TEA with `key`, added to the state's first two words.
fn tea(state: &mut [u32; 4], key: &[u32; 4]) {
    let [a, b, c, d] = *key;
    let [mut x, mut y, ..] = *state;
    let mut sum = 0u32;
    let mix = |v: u32, sum: u32, k0: u32, k1: u32| {
        (v << 4).wrapping_add(k0) ^ v.wrapping_add(sum) ^ (v >> 5).wrapping_add(k1)
    };
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        x = x.wrapping_add(mix(y, sum, a, b));
        y = y.wrapping_add(mix(x, sum, c, d));
    }
    state[0] = state[0].wrapping_add(x);
    state[1] = state[1].wrapping_add(y);
}

/// A half round of MD4: words of `input` in `order` are mixed in by `function`. In line, so that
/// order and rotations are constants.
#[inline(always)]
fn half_round(
    [mut a, mut b, mut c, mut d]: [u32; 4],
    input: &[u32; 8],
    order: [[usize; 4]; 2],
    rotations: [u32; 4],
    function: impl Fn(u32, u32, u32) -> u32,
) -> [u32; 4] {
    for four in order {
        for (i, rotation) in four.into_iter().zip(rotations) {
            let word = input.get(i).copied().unwrap_or(0);
            let sum = a.wrapping_add(function(b, c, d)).wrapping_add(word);
            // The word just made moves to the second place, and the others on.
            (a, b, c, d) = (d, sum.rotate_left(rotation), b, c);
        }
    }
    [a, b, c, d]
}

/// Three half rounds of MD4 over `input`, added to the state.
fn half_md4(state: &mut [u32; 4], input: &[u32; 8]) {
    let mixed = half_round(
        *state,
        input,
        [[0, 1, 2, 3], [4, 5, 6, 7]],
        [3, 7, 11, 19],
        |x, y, z| z ^ (x & (y ^ z)),
    );
    let mixed = half_round(
        mixed,
        input,
        [[1, 3, 5, 7], [0, 2, 4, 6]],
        [3, 5, 9, 13],
        |x, y, z| (x & y).wrapping_add((x ^ y) & z).wrapping_add(0x5a82_7999),
    );
    let mixed = half_round(
        mixed,
        input,
        [[3, 7, 2, 6], [1, 5, 0, 4]],
        [3, 9, 11, 15],
        |x, y, z| (x ^ y ^ z).wrapping_add(0x6ed9_eba1),
    );
    for (word, add) in state.iter_mut().zip(mixed) {
        *word = word.wrapping_add(add);
    }
}
