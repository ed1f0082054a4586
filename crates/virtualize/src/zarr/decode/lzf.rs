//! `LibLZF`, as h5py's filter 32000 writes it: the bare stream, without a header.
//!
//! | first byte | means |
//! | --- | --- |
//! | `000nnnnn` | n + 1 bytes follow as they are |
//! | `nnnooooo o` | n + 2 bytes from o + 1 bytes before |
//! | `111ooooo n o` | n + 9 bytes from o + 1 bytes before |

/// Decodes into at most `limit` bytes.
pub(super) fn decode(bytes: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let cut_off = || String::from("the stream is cut off");
    let mut out = Vec::with_capacity(limit.min(bytes.len().saturating_mul(8)));
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        let first = usize::from(*first);
        rest = match first >> 5 {
            0 => {
                let (plain, tail) = tail.split_at_checked(first + 1).ok_or_else(cut_off)?;
                room(&out, plain.len(), limit)?;
                out.extend_from_slice(plain);
                tail
            }
            short => {
                let (more, tail) = match short {
                    7 => tail.split_first().ok_or_else(cut_off)?,
                    _ => (&0, tail),
                };
                let (low, tail) = tail.split_first().ok_or_else(cut_off)?;
                let back = ((first & 0x1f) << 8) + usize::from(*low) + 1;
                let count = short + usize::from(*more) + 2;
                room(&out, count, limit)?;
                repeat(&mut out, back, count)?;
                tail
            }
        };
    }
    Ok(out)
}

/// Whether `count` more bytes are allowed.
pub(super) fn room(out: &[u8], count: usize, limit: usize) -> Result<(), String> {
    match out.len().checked_add(count).is_some_and(|len| len <= limit) {
        true => Ok(()),
        false => Err(format!("more than {limit} bytes came out of it")),
    }
}

/// Appends `count` bytes from `back` bytes before the end; they may overlap what is appended.
pub(super) fn repeat(out: &mut Vec<u8>, back: usize, count: usize) -> Result<(), String> {
    let start = out.len().checked_sub(back);
    let start = start.ok_or_else(|| String::from("it refers to bytes before its start"))?;
    for at in start..start.saturating_add(count) {
        let byte = out.get(at).copied().unwrap_or(0);
        out.push(byte);
    }
    Ok(())
}

/// The bytes as they are, in runs of at most 32.
pub(in crate::zarr) fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32 + 1);
    for run in bytes.chunks(32) {
        out.extend(u8::try_from(run.len() - 1).ok());
        out.extend_from_slice(run);
    }
    out
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Encoded by imagecodecs 2026.10.10 with `lzf_encode(header=False)`.
    #[rstest]
    #[case::run(b"\x01aa\xe0\x5b\x00\x01aa", &[b'a'; 104])]
    #[case::words(b"\x04abcda\xe0\x0a\x03\x01zz", b"abcdabcdabcdabcdabcdabcdzz")]
    fn what_the_library_encodes_is_decoded(#[case] encoded: &[u8], #[case] plain: &[u8]) {
        assert_eq!(decode(encoded, plain.len()).unwrap(), plain);
        assert!(decode(encoded, plain.len() - 1).is_err());
    }

    #[rstest]
    #[case::plain_run_cut_off(&[4, 1, 2])]
    #[case::no_length(&[0, 1, 0xe0])]
    #[case::no_offset(&[0, 1, 0x20])]
    #[case::before_the_start(&[0, 1, 0x20, 1])]
    fn other_streams_are_refused(#[case] bytes: &[u8]) {
        decode(bytes, 1000).unwrap_err();
    }

    #[test]
    fn plain_runs_are_decoded() {
        let plain: Vec<u8> = (0..=255).cycle().take(1000).collect();
        assert_eq!(decode(&encode(&plain), 1000).unwrap(), plain);
    }
}
