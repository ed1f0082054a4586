//! HDF5's filters as codecs of Zarr v2, and as stages that are undone here.
//!
//! A filter is a codec where an unmodified reader decodes its bytes exactly with a codec that numcodecs or its plug-in
//! `imagecodecs-numcodecs` registers. For nbit, scaleoffset and compressed bitshuffle there is none; that for bitshuffle
//! alone takes the size of elements from zarr's buffer of bytes instead of its configuration; and Blosc 2 has one only
//! with its n-dimensional layer. These are undone here, where the data is small.

use super::decode::{Bitshuffled, Inner, Packed, Scaled, Stage};
use super::{Codec, SzipParameters};
use crate::hdf5::Filter;

/// The codecs of a pipeline, of which the filters in `mask` were left out, for chunks of `chunk_bytes` bytes whose
/// elements have `element_size` bytes.
///
/// # Errors
///
/// The reason why no Zarr v2 codec decodes it.
pub(crate) fn codecs_of(
    filters: &[Filter],
    mask: u32,
    element_size: u32,
    chunk_bytes: u64,
) -> Result<Vec<Codec>, String> {
    let mut codecs = Vec::with_capacity(filters.len());
    let mut length = Some(chunk_bytes);
    for filter in left_in(filters, mask) {
        match stage_of(filter, element_size)? {
            None => {}
            Some(Stage::Codec(codec)) => {
                length = length_after(&codec, length)?;
                codecs.push(codec);
            }
            Some(_) => return Err(no_codec(filter)),
        }
    }
    match codecs.iter().position(|codec| *codec == Codec::Lzf) {
        Some(at) if plain_ends(&codecs, at).is_none() => Err(String::from(
            "its lzf filter stands before another compression, where readers cannot tell its size",
        )),
        _ => Ok(codecs),
    }
}

/// The stages of a pipeline, for decoding here, where a rest of bytes behind shuffled elements is no obstacle.
///
/// # Errors
///
/// The reason why a filter cannot be undone.
pub(crate) fn stages_of(
    filters: &[Filter],
    mask: u32,
    element_size: u32,
) -> Result<Vec<Stage>, String> {
    let stages = left_in(filters, mask).map(|filter| stage_of(filter, element_size).transpose());
    stages.flatten().collect()
}

/// Whether the plug-in, which guesses the size of what comes out of lzf, decodes a chunk of which `stored` bytes are
/// stored.
pub(crate) fn plugin_reads(codecs: &[Codec], chunk_bytes: u64, stored: u64) -> bool {
    let Some(at) = codecs.iter().position(|codec| *codec == Codec::Lzf) else {
        return true;
    };
    plain_ends(codecs, at).is_some_and(|(before, after)| {
        let encoded = stored.saturating_sub(after);
        chunk_bytes.saturating_add(before) <= encoded.saturating_mul(Codec::LZF_RATIO)
    })
}

/// The bytes that the codecs before and behind the one at `at` add; `None` where that depends on the data.
fn plain_ends(codecs: &[Codec], at: usize) -> Option<(u64, u64)> {
    let added = |codecs: &[Codec]| {
        codecs.iter().try_fold(0, |bytes, codec| match codec {
            Codec::Shuffle { .. } => Some(bytes),
            Codec::Fletcher32 => Some(bytes + 4),
            _ => None,
        })
    };
    Some((added(codecs.get(..at)?)?, added(codecs.get(at + 1..)?)?))
}

/// The filters that `mask` does not leave out.
fn left_in(filters: &[Filter], mask: u32) -> impl Iterator<Item = &Filter> {
    let filters = filters.iter().enumerate();
    let filters = filters.filter(move |(position, _)| !is_masked(mask, *position));
    filters.map(|(_, filter)| filter)
}

/// Whether a filter mask leaves out the filter at `position` of the pipeline.
pub(crate) fn is_masked(mask: u32, position: usize) -> bool {
    let bit = u32::try_from(position).ok();
    bit.and_then(|bit| mask.checked_shr(bit))
        .is_some_and(|rest| rest & 1 == 1)
}

/// How many bytes there are behind a codec, where that does not depend on the data.
fn length_after(codec: &Codec, length: Option<u64>) -> Result<Option<u64>, String> {
    match codec {
        Codec::Shuffle { element_size } => whole_elements(length, *element_size).map(Some),
        Codec::Fletcher32 => Ok(length.and_then(|length| length.checked_add(4))),
        _ => Ok(None),
    }
}

/// Readers refuse to shuffle a rest that is no whole element; HDF5 copies it.
fn whole_elements(length: Option<u64>, element_size: u32) -> Result<u64, String> {
    let whole = length.filter(|length| length.checked_rem(u64::from(element_size)) == Some(0));
    whole.ok_or_else(|| {
        format!("its shuffle filter works on bytes that are no whole elements of {element_size}")
    })
}

/// What undoes a filter; `None` for one that leaves nothing to do.
fn stage_of(filter: &Filter, element_size: u32) -> Result<Option<Stage>, String> {
    let value = |at: usize| filter.values.get(at).copied();
    let codec = match filter.id {
        1 => Codec::Zlib {
            level: value(0).unwrap_or(1).min(9),
        },
        2 => match value(0).filter(|size| *size > 0).unwrap_or(element_size) {
            1 => return Ok(None),
            element_size => Codec::Shuffle { element_size },
        },
        3 => Codec::Fletcher32,
        4 => szip(filter)?,
        5 => {
            let packed = Packed::parse(&filter.values)?;
            return Ok((packed != Packed::Plain).then_some(Stage::Nbit(packed)));
        }
        6 => {
            let scaled = Scaled::parse(&filter.values)?;
            return Ok((!scaled.is_plain()).then_some(Stage::ScaleOffset(scaled)));
        }
        307 => Codec::Bz2 {
            level: value(0).unwrap_or(9).clamp(1, 9),
        },
        32000 => Codec::Lzf,
        32001 => blosc(filter)?,
        32004 => Codec::Lz4H5,
        32008 => return bitshuffle(filter).map(Some),
        32015 => Codec::Zstd {
            level: value(0).map_or(3, u32::cast_signed),
        },
        // BitGroom and Granular BitRound set bits when writing and decode to the same bytes.
        32022 | 32023 => return Ok(None),
        // With two dimensions or more, of whole elements, the frame has the n-dimensional layer.
        32026 if value(7) >= Some(2) && value(2) == Some(element_size) => Codec::Blosc2Nd,
        _ => return Err(no_codec(filter)),
    };
    Ok(Some(Stage::Codec(codec)))
}

fn no_codec(filter: &Filter) -> String {
    let (name, id) = (name_of(filter), filter.id);
    format!("filter {name} ({id}) has no registered Zarr v2 codec")
}

/// The client data of szip: options, samples in a block, bits of a sample, samples of a line.
fn szip(filter: &Filter) -> Result<Codec, String> {
    match filter.values[..] {
        [options_mask, block, bits @ (1..=16 | 32 | 64), line, ..]
            if (2..=64).contains(&block)
                && block.is_multiple_of(2)
                && (1..=4096).contains(&line) =>
        {
            Ok(Codec::Szip(SzipParameters {
                options_mask,
                pixels_per_block: block,
                bits_per_pixel: bits,
                pixels_per_scanline: line,
            }))
        }
        _ => Err(format!(
            "its szip filter has parameters {:?} that make no sense",
            filter.values
        )),
    }
}

/// The client data of bitshuffle: version, revision, type size, elements in a block, compression.
fn bitshuffle(filter: &Filter) -> Result<Stage, String> {
    let value = |at: usize| filter.values.get(at).copied();
    let element_size = value(2).filter(|size| *size > 0);
    let element_size = element_size
        .ok_or_else(|| String::from("its bitshuffle filter does not state the size of elements"))?;
    let block_size = value(3).unwrap_or(0);
    let inner = match value(4).unwrap_or(0) {
        0 => Inner::Plain,
        2 => Inner::Lz4,
        3 => Inner::Zstd,
        other => {
            return Err(format!(
                "its bitshuffle filter names an unknown compression {other}"
            ));
        }
    };
    Ok(Stage::Bitshuffle(Bitshuffled {
        element_size,
        block_size,
        inner,
    }))
}

/// The client data of Blosc: revision, version, type size, chunk size, level, shuffle, inner codec.
fn blosc(filter: &Filter) -> Result<Codec, String> {
    const NAMES: [&str; 6] = ["blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"];
    let value = |at: usize| filter.values.get(at).copied();
    let inner = usize::try_from(value(6).unwrap_or(0)).ok();
    let name = inner
        .and_then(|inner| NAMES.get(inner))
        .ok_or_else(|| String::from("its blosc filter names an unknown inner codec"))?;
    Ok(Codec::Blosc {
        cname: String::from(*name),
        clevel: value(4).unwrap_or(5).min(9),
        shuffle: value(5).unwrap_or(1).min(2),
    })
}

/// The name of a filter by the registry, else as stored.
pub(crate) fn name_of(filter: &Filter) -> &str {
    match filter.id {
        1 => "deflate",
        2 => "shuffle",
        3 => "fletcher32",
        4 => "szip",
        5 => "nbit",
        6 => "scaleoffset",
        305 => "lzo",
        307 => "bzip2",
        32000 => "lzf",
        32001 => "blosc",
        32004 => "lz4",
        32008 => "bitshuffle",
        32013 => "zfp",
        32015 => "zstd",
        32017 => "sz",
        32022 => "bitgroom",
        32023 => "granular bitround",
        32024 => "sz3",
        32026 => "blosc2",
        _ if filter.name.is_empty() => "without a name",
        _ => &filter.name,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn filter(id: u16, values: &[u32]) -> Filter {
        Filter {
            id,
            optional: false,
            name: String::new(),
            values: values.to_vec(),
        }
    }

    #[rstest]
    #[case::netcdf_c(vec![filter(2, &[4]), filter(1, &[5])], 0,
        vec![Codec::Shuffle { element_size: 4 }, Codec::Zlib { level: 5 }])]
    #[case::one_left_out(vec![filter(2, &[4]), filter(1, &[5])], 0b10, vec![Codec::Shuffle { element_size: 4 }])]
    #[case::all_left_out(vec![filter(2, &[4]), filter(32000, &[])], 0b11, vec![])]
    #[case::shuffle_without_size(vec![filter(2, &[])], 0, vec![Codec::Shuffle { element_size: 8 }])]
    #[case::bytes_need_no_shuffle(vec![filter(2, &[1])], 0, vec![])]
    #[case::lossy_when_writing(vec![filter(32022, &[3]), filter(3, &[])], 0, vec![Codec::Fletcher32])]
    #[case::blosc(vec![filter(32001, &[2, 2, 4, 100, 7, 2, 1])], 0,
        vec![Codec::Blosc { cname: String::from("lz4"), clevel: 7, shuffle: 2 }])]
    #[case::lzf(vec![filter(2, &[8]), filter(32000, &[4, 261, 80]), filter(3, &[])], 0,
        vec![Codec::Shuffle { element_size: 8 }, Codec::Lzf, Codec::Fletcher32])]
    #[case::lz4(vec![filter(32004, &[0])], 0, vec![Codec::Lz4H5])]
    #[case::szip(vec![filter(4, &[169, 8, 32, 10])], 0, vec![Codec::Szip(SzipParameters {
        options_mask: 169, pixels_per_block: 8, bits_per_pixel: 32, pixels_per_scanline: 10 })])]
    #[case::blosc2(vec![filter(32026, &[1, 0, 8, 80, 5, 1, 0, 2, 2, 5])], 0, vec![Codec::Blosc2Nd])]
    #[case::nbit_without_effect(vec![filter(5, &[8, 1, 10, 1, 8, 0, 64, 0])], 0, vec![])]
    fn pipelines_become_codecs(
        #[case] filters: Vec<Filter>,
        #[case] mask: u32,
        #[case] codecs: Vec<Codec>,
    ) {
        assert_eq!(codecs_of(&filters, mask, 8, 80), Ok(codecs));
    }

    #[rstest]
    #[case::lzo(vec![filter(305, &[])], "lzo (305)")]
    #[case::nbit(vec![filter(5, &[8, 0, 10, 1, 8, 0, 31, 0])], "nbit (5)")]
    #[case::bitshuffle(vec![filter(32008, &[0, 4, 8, 0, 0])], "bitshuffle (32008)")]
    #[case::bitshuffle_lz4(vec![filter(32008, &[0, 4, 8, 0, 2])], "bitshuffle (32008)")]
    #[case::lzf_then_deflate(vec![filter(32000, &[]), filter(1, &[1])], "lzf")]
    #[case::deflate_then_lzf(vec![filter(1, &[1]), filter(32000, &[])], "lzf")]
    #[case::szip_of_24_bits(vec![filter(4, &[169, 8, 24, 10])], "szip")]
    #[case::blosc2_of_one_dimension(vec![filter(32026, &[1, 0, 8, 80, 5, 1, 0])], "blosc2 (32026)")]
    #[case::blosc2_of_parts(vec![filter(32026, &[1, 0, 4, 80, 5, 1, 0, 2, 2, 5])], "blosc2 (32026)")]
    #[case::nobody_knows(vec![filter(300, &[])], "without a name (300)")]
    #[case::shuffle_after_checksum(vec![filter(3, &[]), filter(2, &[8])], "whole elements of 8")]
    #[case::shuffle_after_compression(vec![filter(1, &[1]), filter(2, &[2])], "whole elements of 2")]
    fn what_no_codec_decodes_is_refused(#[case] filters: Vec<Filter>, #[case] reason: &str) {
        let refusal = codecs_of(&filters, 0, 8, 80).unwrap_err();
        assert!(refusal.contains(reason), "{refusal}");
    }

    /// imagecodecs 2026.10.10 makes at most eight bytes of one.
    #[rstest]
    #[case::just_so(&[Codec::Lzf], 80, 10, true)]
    #[case::too_short(&[Codec::Lzf], 81, 10, false)]
    #[case::checksum_behind(&[Codec::Lzf, Codec::Fletcher32], 80, 13, false)]
    #[case::checksum_before(&[Codec::Fletcher32, Codec::Lzf], 77, 10, false)]
    #[case::another(&[Codec::Lz4H5], 8000, 10, true)]
    fn the_plug_in_guesses_the_size_of_lzf(
        #[case] codecs: &[Codec],
        #[case] chunk_bytes: u64,
        #[case] stored: u64,
        #[case] reads: bool,
    ) {
        assert_eq!(plugin_reads(codecs, chunk_bytes, stored), reads);
    }
}
