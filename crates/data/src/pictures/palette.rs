//! Colours that go together, divided between training and test.

use base::Rng;

use super::{Side, canvas::Colour, pick};

/// Colours of a chart: paper, ink, grid and five for data.
pub(super) struct Palette {
    pub(super) paper: Colour,
    pub(super) ink: Colour,
    pub(super) grid: Colour,
    pub(super) data: [Colour; 5],
}

const fn rgb(hex: u32) -> Colour {
    [(hex >> 16) as u8, (hex >> 8) as u8, hex as u8]
}

const fn palette(paper: u32, ink: u32, grid: u32, data: [u32; 5]) -> Palette {
    let data = [rgb(data[0]), rgb(data[1]), rgb(data[2]), rgb(data[3]), rgb(data[4])];
    Palette { paper: rgb(paper), ink: rgb(ink), grid: rgb(grid), data }
}

static TRAIN: [Palette; 6] = [
    palette(0xffffff, 0x222222, 0xdddddd, [0x3366cc, 0xdc3912, 0xff9900, 0x109618, 0x990099]),
    palette(0xfafafa, 0x333333, 0xd5d5d5, [0x264653, 0x2a9d8f, 0xe9c46a, 0xf4a261, 0xe76f51]),
    palette(0xf4f1ea, 0x3b2f2f, 0xd8d0c0, [0x7a3e3e, 0x3e5c76, 0x8a9a5b, 0xc58940, 0x5b4a72]),
    palette(0x1f2430, 0xe8e8e8, 0x3c4356, [0x6cb6ff, 0xf69d50, 0x8ddb8c, 0xdcbdfb, 0xff938a]),
    palette(0xffffff, 0x000000, 0xcccccc, [0x222222, 0x777777, 0xb0b0b0, 0x4d4d4d, 0x999999]),
    palette(0xeef4fb, 0x1b2a41, 0xcad7e6, [0x0b6e4f, 0xc1292e, 0x235789, 0xf1b000, 0x6a4c93]),
];

static TEST: [Palette; 3] = [
    palette(0xfffdf7, 0x2d2d2d, 0xe2ddd0, [0x5f0f40, 0x0f8b8d, 0xec9a29, 0x143642, 0xa8201a]),
    palette(0xf7f7fb, 0x2b2b40, 0xd9d9e6, [0x7b6ddb, 0xe07a9b, 0x4fa3a5, 0xd9a441, 0x566573]),
    palette(0x14213d, 0xf2f2f2, 0x33415c, [0xfca311, 0x8ecae6, 0xb5e48c, 0xff99c8, 0xcdb4db]),
];

impl Palette {
    pub(super) fn draw(rng: &mut Rng, side: Side) -> &'static Self {
        match side {
            Side::Train => pick(rng, &TRAIN),
            Side::Test => pick(rng, &TEST),
        }
    }
}

/// Names of colours that nobody takes for one another.
pub(super) const NAMES: [&str; 7] = ["red", "green", "blue", "yellow", "black", "orange", "purple"];

/// Shades of the names: for each three to train on, and one that is tested with.
static SHADES: [[Colour; 4]; 7] = [
    [rgb(0xd62828), rgb(0xe63946), rgb(0xb3161b), rgb(0xc9303a)],
    [rgb(0x2a9d3a), rgb(0x1b7f37), rgb(0x4caf50), rgb(0x2f8f4a)],
    [rgb(0x2457d6), rgb(0x1d3fa8), rgb(0x3a86ff), rgb(0x2f6be0)],
    [rgb(0xf5d000), rgb(0xffe234), rgb(0xe6c700), rgb(0xf2da22)],
    [rgb(0x111111), rgb(0x222222), rgb(0x050505), rgb(0x1a1a1f)],
    [rgb(0xf77f00), rgb(0xff8c1a), rgb(0xe86f00), rgb(0xf28a12)],
    [rgb(0x7b2cbf), rgb(0x6a1b9a), rgb(0x9d4edd), rgb(0x8136c4)],
];

/// Backgrounds on which every shade is seen.
static GROUNDS: [Colour; 4] = [rgb(0xffffff), rgb(0xf1f1ee), rgb(0xe4ecf2), rgb(0xf7f0e6)];

/// A shade of the colour number `name`.
pub(super) fn shade(rng: &mut Rng, side: Side, name: usize) -> Colour {
    match side {
        Side::Train => SHADES[name][rng.below(3) as usize],
        Side::Test => SHADES[name][3],
    }
}

/// A light background.
pub(super) fn ground(rng: &mut Rng, side: Side) -> Colour {
    match side {
        Side::Train => GROUNDS[rng.below(3) as usize],
        Side::Test => GROUNDS[3],
    }
}
