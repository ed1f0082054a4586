//! The frames of Blosc 1: blocks that were shuffled, split into streams, and compressed by what the frame names.
//!
//! | bytes | what, all numbers little-endian |
//! | --- | --- |
//! | 2 | version of the format, version of the inner codec |
//! | 1 | flags: 1 byte shuffle, 2 stored as it is, 4 bit shuffle, 16 not split, the upper three bits the inner codec |
//! | 1 | size of an element |
//! | 4 + 4 + 4 | size of the data, of a block, of the frame |
//! | 4 each | where each block starts in the frame |
//!
//! A block is one stream, or one for each byte of an element; a stream stands behind its size, and is as it was
//! where that is the size of its data.

use super::{bitshuffle, blosclz, lz4, unshuffle};

/// Elements larger than this are not split.
const MAX_SPLITS: usize = 16;
/// Nor are blocks of fewer elements.
const MIN_ELEMENTS: usize = 128;

/// Decodes a frame of at most `limit` bytes of data.
pub(super) fn decode(bytes: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let frame = Frame::parse(bytes)?;
    if frame.size > limit {
        return Err(format!(
            "it states {} bytes, of {limit} at most",
            frame.size
        ));
    }
    if frame.flags & 2 != 0 {
        let stored = frame
            .behind
            .get(..frame.size)
            .ok_or("the data is cut off")?;
        return Ok(stored.to_vec());
    }
    if frame.block == 0 && frame.size > 0 {
        return Err(String::from("its blocks have no bytes"));
    }
    let mut out = vec![0; frame.size];
    for (number, target) in out.chunks_mut(frame.block.max(1)).enumerate() {
        let at = frame.start_of(number)?;
        let stored = bytes.get(at..).ok_or("a block starts behind the frame")?;
        frame.block(stored, target)?;
    }
    Ok(out)
}

/// What the head of a frame says.
struct Frame<'a> {
    flags: u8,
    element: usize,
    size: usize,
    block: usize,
    /// Everything behind the head.
    behind: &'a [u8],
}

impl<'a> Frame<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let cut = || String::from("the head is cut off");
        let (head, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
        let [version, _, flags, element] = *head;
        if !(1..=2).contains(&version) {
            return Err(format!("frames of version {version} are not known"));
        }
        let (size, rest) = number(rest)?;
        let (block, rest) = number(rest)?;
        let (_, behind) = number(rest)?;
        Ok(Self {
            flags,
            element: usize::from(element),
            size,
            block,
            behind,
        })
    }

    fn start_of(&self, block: usize) -> Result<usize, String> {
        let at = block.saturating_mul(4);
        let start = self.behind.get(at..).ok_or("its blocks are not listed")?;
        Ok(number(start)?.0)
    }

    /// Decodes one block that fills `target`.
    fn block(&self, stored: &[u8], target: &mut [u8]) -> Result<(), String> {
        let streams = self.streams(target.len());
        let mut rest = stored;
        for stream in target.chunks_mut((target.len() / streams).max(1)) {
            let (size, tail) = number(rest)?;
            let (stored, tail) = tail.split_at_checked(size).ok_or("a stream is cut off")?;
            match size == stream.len() {
                true => stream.copy_from_slice(stored),
                false => self.stream(stored, stream)?,
            }
            rest = tail;
        }
        self.restore(target);
        Ok(())
    }

    /// Streams of a block: the last one, where it is shorter, is never split.
    fn streams(&self, len: usize) -> usize {
        let is_split = self.flags & 16 == 0
            && len == self.block
            && (1..=MAX_SPLITS).contains(&self.element)
            && len / self.element >= MIN_ELEMENTS
            && len.is_multiple_of(self.element);
        match is_split {
            true => self.element,
            false => 1,
        }
    }

    fn stream(&self, stored: &[u8], target: &mut [u8]) -> Result<(), String> {
        match self.flags >> 5 {
            0 => blosclz::decompress(stored, target),
            1 => lz4::decompress(stored, target),
            3 => inflate(stored, target),
            4 => bitshuffle::zstd(stored, target),
            other => Err(format!("its inner codec {other} is not known")),
        }
    }

    /// Puts the bytes, or the bits, of the elements back together.
    fn restore(&self, block: &mut [u8]) {
        if self.flags & 1 != 0 {
            let size = u32::try_from(self.element).unwrap_or(1);
            block.copy_from_slice(&unshuffle(block, size));
        } else if self.flags & 4 != 0 {
            let count = block.len().checked_div(self.element).unwrap_or(0);
            if count == 0 || !count.is_multiple_of(8) {
                return;
            }
            let rows = block.to_vec();
            let whole = count.saturating_mul(self.element);
            if let (Some(rows), Some(elements)) = (rows.get(..whole), block.get_mut(..whole)) {
                elements.fill(0);
                bitshuffle::restore(rows, elements, self.element);
            }
        }
    }
}

fn number(bytes: &[u8]) -> Result<(usize, &[u8]), String> {
    let (head, rest) = bytes.split_first_chunk::<4>().ok_or("a size is cut off")?;
    let claim = u32::from_le_bytes(*head);
    Ok((usize::try_from(claim).unwrap_or(usize::MAX), rest))
}

fn inflate(stored: &[u8], target: &mut [u8]) -> Result<(), String> {
    let mut decoder = flate2::read::ZlibDecoder::new(stored);
    std::io::Read::read_exact(&mut decoder, target).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::zarr::sample::unhex;

    /// Frames of numcodecs 0.17.1 of the numbers 0 to 1202 divided by 50, two bytes each: with and without splits, in one block
    /// and in three of which the last is shorter and no multiple of eight elements.
    #[rstest]
    #[case::blosclz(
        "020100026609000066090000bd000000140000004f0000002300000000e05603010001e05901010002e05901010003e05901010004e05901010005e05901010006e05901010007e05901010008e05901010009e0590101000ae0590101000be0590103000c000c5200000023000c000ce0530301000de0590101000ee0590101000fe05901010010e05901010011e05901010012e05901010013e05901010014e05901010015e05901010016e05901010017e059010600180018001800"
    )]
    #[case::blosclz_shuffled(
        "020101026609000066090000c300000014000000970000002300000000e02403010001e02700010102e02700010203e02700010304e02700010405e02700010506e02700010607e02700010708e02700010809e0270001090ae02700010a0be02700010b0ce02700010c0de02700010d0ee02700010e0fe02700010f10e02700011011e02700011112e02700011213e02700011314e02700011415e02700011516e02700011617e027000317181818100000002300000000e0ffffffffa70302000000"
    )]
    #[case::lz4_shuffled(
        "020121026609000066090000a9000000140000007e0000001f0001001e1f0101001e1f0201001e1f0301001e1f0401001e1f0501001e1f0601001e1f0701001e1f0801001e1f0901001e1f0a01001e1f0b01001e1f0c01001e1f0d01001e1f0e01001e1f0f01001e1f1001001e1f1101001e1f1201001e1f1301001e1f1401001e1f1501001e1f1601001e1f1701001c5017171818180f0000001f000100ffffffff9e500000000000"
    )]
    #[case::lz4_bits_that_do_not_fit(
        "020124026609000066090000a200000014000000420000001f000100501f010200501f020200501f030200501f040200501f050200501f060200501f070200501f080200501f090200501f0a0200501f0b02004e500b000c000c440000002f000c02004c1f0d0200501f0e0200501f0f0200501f100200501f110200501f120200501f130200501f140200501f150200501f160200501f1702005060180018001800"
    )]
    #[case::zlib_shuffled(
        "0201610266090000660900006a000000140000003c00000078da95c1870180300c00a0baad7b54cdff977a039092aa58cd1ad6b28ef56c6023cb6c62335bd8ca36b6b3839dec62372bec612ffb5844fc401436311200000078da63601805a360148c8221030004b30001"
    )]
    #[case::zstd_bits_in_blocks(
        "020194026609000000040000bb0000001c00000056000000940000003600000028b52ffd600003650100b2c1040af039c0d05cff5f432705eeaea32afe9faa060a20905b07fc2a398e255650806709111d472e8070993a00000028b52ffd6000038501005242050af039c0d05cff5f432705eeaecbc5ff53d5ff8f6a0a2030b70ebc2a111e49ac478297e0c8881a069b0897690c2300000028b52ffd606600cd0000581400151617180018001800040000a402407a00a4ec22d706"
    )]
    #[case::zstd_shuffled(
        "02019102660900006609000055000000140000003d00000028b52ffd6066089d0100e0000102030405060708090a0b0c0d0e0f101112131415161718181800199810f06b0010fefffff1fb06afa8aaaaabaaaa0a61"
    )]
    fn frames_of_numcodecs_are_decoded(#[case] frame: &str) {
        let plain: Vec<u8> = (0..1203u16).flat_map(|i| (i / 50).to_le_bytes()).collect();
        assert_eq!(decode(&unhex(frame), 2406).unwrap(), plain);
    }

    /// A frame of four bytes that are stored as they are, one byte after the other changed.
    #[rstest]
    #[case::as_it_is(0, 2, true)]
    #[case::of_another_version(0, 3, false)]
    #[case::more_than_a_chunk(4, 9, false)]
    #[case::more_than_is_there(4, 5, false)]
    #[case::blocks_of_nothing(8, 0, true)]
    fn what_a_frame_states_is_a_claim(
        #[case] at: usize,
        #[case] value: u8,
        #[case] is_right: bool,
    ) {
        let mut frame = unhex("0201020204000000040000001400000001020304");
        frame[at] = value;
        assert_eq!(decode(&frame, 8).is_ok(), is_right);
    }

    /// A compressed frame cut anywhere gives an error and no panic, and with any byte turned over no more than data.
    #[test]
    fn damage_is_survived() {
        let frame = unhex(
            "020121026609000066090000a9000000140000007e0000001f0001001e1f0101001e1f0201001e1f0301001e1f0401001e1f0501001e1f0601001e1f0701001e1f0801001e1f0901001e1f0a01001e1f0b01001e1f0c01001e1f0d01001e1f0e01001e1f0f01001e1f1001001e1f1101001e1f1201001e1f1301001e1f1401001e1f1501001e1f1601001e1f1701001c5017171818180f0000001f000100ffffffff9e500000000000",
        );
        for len in 0..frame.len() {
            decode(&frame[..len], 2406).unwrap_err();
            let mut turned = frame.clone();
            turned[len] ^= 0xff;
            decode(&turned, 2406).ok();
        }
    }
}
