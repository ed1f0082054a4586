//! A picture of shades as PNG: one byte a pixel into a palette, nothing where there is no value.
//! <https://www.w3.org/TR/png-3/>

use std::io::Write as _;

use flate2::{Compression, Crc, write::ZlibEncoder};

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];

/// Ten colours of the scale `viridis` of matplotlib, evenly spaced.
const VIRIDIS: [[u8; 3]; 10] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x28, 0x78],
    [0x3e, 0x49, 0x89],
    [0x31, 0x68, 0x8e],
    [0x26, 0x82, 0x8e],
    [0x1f, 0x9e, 0x89],
    [0x35, 0xb7, 0x79],
    [0x6e, 0xce, 0x58],
    [0xb5, 0xde, 0x2b],
    [0xfd, 0xe7, 0x25],
];

/// The picture of shades between 0 and 1, row by row; `None` if the rows are not full.
pub(super) fn write(width: usize, shades: &[Option<f64>]) -> Option<Vec<u8>> {
    let height = shades.len().checked_div(width)?;
    if height == 0 || shades.len() != width * height {
        return None;
    }
    let mut header = Vec::new();
    header.extend(u32::try_from(width).ok()?.to_be_bytes());
    header.extend(u32::try_from(height).ok()?.to_be_bytes());
    // Eight bits, palette, and the only methods that there are.
    header.extend([8, 3, 0, 0, 0]);
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::best());
    for row in shades.chunks_exact(width) {
        pixels.write_all(&[0]).ok()?;
        let row: Vec<u8> = row.iter().map(|shade| shade.map_or(0, index)).collect();
        pixels.write_all(&row).ok()?;
    }
    let mut out = SIGNATURE.to_vec();
    chunk(&mut out, *b"IHDR", &header)?;
    chunk(&mut out, *b"PLTE", &palette())?;
    chunk(&mut out, *b"tRNS", &[0])?;
    chunk(&mut out, *b"IDAT", &pixels.finish().ok()?)?;
    chunk(&mut out, *b"IEND", &[])?;
    Some(out)
}

/// Place of a shade in the palette, whose first colour is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is between 1 and 255"
)]
fn index(shade: f64) -> u8 {
    (1.0 + shade.clamp(0.0, 1.0) * 254.0).round() as u8
}

fn palette() -> Vec<u8> {
    let mut out = vec![0; 3];
    for number in 0..255_usize {
        // Nine intervals of 254 / 9 places.
        let (left, part) = (number * 9 / 254, number * 9 % 254);
        for primary in 0..3 {
            let of = |colour: usize| {
                let colour = VIRIDIS.get(colour.min(9)).copied().unwrap_or_default();
                usize::from(colour.get(primary).copied().unwrap_or_default())
            };
            let mixed = (of(left) * (254 - part) + of(left + 1) * part) / 254;
            out.push(u8::try_from(mixed).unwrap_or(u8::MAX));
        }
    }
    out
}

fn chunk(out: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) -> Option<()> {
    let mut sum = Crc::new();
    sum.update(&kind);
    sum.update(data);
    out.extend(u32::try_from(data.len()).ok()?.to_be_bytes());
    out.extend(kind);
    out.extend(data);
    out.extend(sum.sum().to_be_bytes());
    Some(())
}
