//! HDF5's filters as codecs of Zarr v2.
//!
//! Only filters whose bytes an unmodified reader decodes with a registered numcodecs codec are mapped; HDF5's framing
//! of lz4 and bitshuffle differs from numcodecs', and szip, nbit, scaleoffset and lzf have no codec there.

use super::Codec;
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
    let codecs = own_codecs_of(filters, mask, element_size)?;
    let mut length = Some(chunk_bytes);
    for codec in &codecs {
        length = match codec {
            Codec::Shuffle { element_size } => Some(whole_elements(length, *element_size)?),
            Codec::Fletcher32 => length.and_then(|length| length.checked_add(4)),
            _ => None,
        };
    }
    Ok(codecs)
}

/// As [`codecs_of`], for decoding here, where a rest of bytes behind shuffled elements is no obstacle.
///
/// # Errors
///
/// The reason why there is no codec for a filter.
pub(crate) fn own_codecs_of(
    filters: &[Filter],
    mask: u32,
    element_size: u32,
) -> Result<Vec<Codec>, String> {
    let mut codecs = Vec::with_capacity(filters.len());
    for (position, filter) in filters.iter().enumerate() {
        if is_masked(mask, position) {
            continue;
        }
        match codec_of(filter, element_size)? {
            None | Some(Codec::Shuffle { element_size: 1 }) => {}
            Some(codec) => codecs.push(codec),
        }
    }
    Ok(codecs)
}

/// Whether a filter mask leaves out the filter at `position` of the pipeline.
pub(crate) fn is_masked(mask: u32, position: usize) -> bool {
    let bit = u32::try_from(position).ok();
    bit.and_then(|bit| mask.checked_shr(bit))
        .is_some_and(|rest| rest & 1 == 1)
}

/// numcodecs refuses to shuffle a rest that is no whole element; HDF5 copies it.
fn whole_elements(length: Option<u64>, element_size: u32) -> Result<u64, String> {
    let whole = length.filter(|length| length.checked_rem(u64::from(element_size)) == Some(0));
    whole.ok_or_else(|| {
        format!("its shuffle filter works on bytes that are no whole elements of {element_size}")
    })
}

/// The codec of a filter; `None` for one that changed the values when writing and leaves decoding nothing to do.
fn codec_of(filter: &Filter, element_size: u32) -> Result<Option<Codec>, String> {
    let value = |at: usize| filter.values.get(at).copied();
    let codec = match filter.id {
        1 => Codec::Zlib {
            level: value(0).unwrap_or(1).min(9),
        },
        2 => Codec::Shuffle {
            element_size: value(0).filter(|size| *size > 0).unwrap_or(element_size),
        },
        3 => Codec::Fletcher32,
        307 => Codec::Bz2 {
            level: value(0).unwrap_or(9).clamp(1, 9),
        },
        32001 => blosc(filter)?,
        32015 => Codec::Zstd {
            level: value(0).map_or(3, u32::cast_signed),
        },
        // BitGroom and Granular BitRound set bits when writing and decode to the same bytes.
        32022 | 32023 => return Ok(None),
        id => {
            return Err(format!(
                "filter {} ({id}) has no registered Zarr v2 codec",
                name_of(filter)
            ));
        }
    };
    Ok(Some(codec))
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
    fn pipelines_become_codecs(
        #[case] filters: Vec<Filter>,
        #[case] mask: u32,
        #[case] codecs: Vec<Codec>,
    ) {
        assert_eq!(codecs_of(&filters, mask, 8, 80), Ok(codecs));
    }

    #[rstest]
    #[case::lzf(vec![filter(32000, &[])], "lzf (32000)")]
    #[case::bitshuffle(vec![filter(32008, &[])], "bitshuffle (32008)")]
    #[case::nobody_knows(vec![filter(300, &[])], "without a name (300)")]
    #[case::shuffle_after_checksum(vec![filter(3, &[]), filter(2, &[8])], "whole elements of 8")]
    #[case::shuffle_after_compression(vec![filter(1, &[1]), filter(2, &[2])], "whole elements of 2")]
    fn what_no_codec_decodes_is_refused(#[case] filters: Vec<Filter>, #[case] reason: &str) {
        let refusal = codecs_of(&filters, 0, 8, 80).unwrap_err();
        assert!(refusal.contains(reason), "{refusal}");
    }
}
