//! The classic NetCDF format: CDF-1, CDF-2 and CDF-5.
//!
//! Follows *The NetCDF Classic Format Specification* (and its 64-bit offset and 64-bit data variants). Everything but
//! the values stands in the header at the start of the file; `header` parses it, `layout` finds where the values
//! are, `attribute` gives attributes their JSON form. The sizes of variables that a header states are not used, as
//! the specification advises: they follow from the shapes.

mod attribute;
mod header;
mod layout;

use bytes::Bytes;

use crate::dataset::VirtualDataset;
use crate::decode::{DecodeError, DecodeOptions, SourceBuffer};
use header::HeaderError;

const HEADER: &str = "classic header";
const FIRST_READ: u64 = 16 << 10;

/// Decodes the header of a classic file.
///
/// # Errors
///
/// [`DecodeError`] when the header cannot be read; [`DecodeError::Truncated`] when the file has not all the data that
/// its header speaks of.
pub(crate) async fn decode(
    buffer: &SourceBuffer,
    options: &DecodeOptions,
) -> Result<VirtualDataset, DecodeError> {
    let mut length = FIRST_READ;
    let mut have = 0;
    loop {
        let bytes = grow(buffer, have, length).await?;
        have = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match header::parse(&bytes, options.max_objects) {
            Ok(header) => return layout::dataset(&header, buffer, options),
            Err(HeaderError::Decode(error)) => return Err(error),
            Err(HeaderError::Short { what, at, .. }) if have >= buffer.file_len() => {
                return Err(DecodeError::PastEnd { what, at });
            }
            Err(HeaderError::Short { what, at, end }) if end > buffer.file_len() => {
                return Err(DecodeError::PastEnd { what, at });
            }
            Err(HeaderError::Short { end, .. }) => length = have.saturating_mul(2).max(end),
        }
    }
}

/// The first `length` bytes of the file, or all of it, when the first `have` are there already.
async fn grow(buffer: &SourceBuffer, have: u64, length: u64) -> Result<Bytes, DecodeError> {
    let more = length.saturating_sub(have);
    let tail = buffer.read_up_to(HEADER, have, more).await?;
    let tail = u64::try_from(tail.len()).unwrap_or(u64::MAX);
    buffer.read(HEADER, 0, have.saturating_add(tail)).await
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::dataset::{Dimension, Layout};
    use crate::decode::{ByteRange, Decoded, MetadataDecoder};
    use crate::manifest::ChunkEntry;

    /// A header under construction; numbers have the widths of its version.
    struct Builder {
        version: u8,
        bytes: Vec<u8>,
    }

    impl Builder {
        fn new(version: u8, records: u64) -> Self {
            let bytes = vec![b'C', b'D', b'F', version];
            Self { version, bytes }.size(records)
        }

        fn tag(mut self, tag: u32) -> Self {
            self.bytes.extend(tag.to_be_bytes());
            self
        }

        fn wide(mut self, number: u64, width: usize) -> Self {
            self.bytes.extend(&number.to_be_bytes()[8 - width..]);
            self
        }

        fn size(self, number: u64) -> Self {
            let width = if self.version == 5 { 8 } else { 4 };
            self.wide(number, width)
        }

        fn list(self, tag: u32, count: u64) -> Self {
            self.tag(tag).size(count)
        }

        fn absent(self) -> Self {
            self.list(0, 0)
        }

        fn name(mut self, name: &str) -> Self {
            self = self.size(name.len() as u64);
            self.bytes.extend(name.as_bytes());
            self.padded()
        }

        fn padded(mut self) -> Self {
            self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
            self
        }

        fn dimensions(self, dimensions: &[(&str, u64)]) -> Self {
            let list = self.list(0x0a, dimensions.len() as u64);
            dimensions
                .iter()
                .fold(list, |b, (name, length)| b.name(name).size(*length))
        }

        /// A variable without attributes.
        fn variable(self, name: &str, ids: &[u64], nc_type: u32, begin: u64) -> Self {
            let width = if self.version == 1 { 4 } else { 8 };
            let shape = self.name(name).size(ids.len() as u64);
            let shape = ids.iter().fold(shape, |b, id| b.size(*id));
            shape.absent().tag(nc_type).size(0).wide(begin, width)
        }

        fn file(mut self, length: usize) -> Vec<u8> {
            assert!(self.bytes.len() <= length, "{}", self.bytes.len());
            self.bytes.resize(length, 7);
            self.bytes
        }
    }

    /// Decodes a file; how often it had to be read comes with the result.
    fn decode_counted(file: &[u8]) -> (Result<VirtualDataset, DecodeError>, usize) {
        let mut decoder = MetadataDecoder::new(file.len() as u64, DecodeOptions::default());
        for round in 0.. {
            match decoder.decode() {
                Err(error) => return (Err(error), round),
                Ok(Decoded::Done(dataset)) => return (Ok(dataset), round),
                Ok(Decoded::NeedsData(ranges)) => {
                    assert!(round < 40, "{ranges:?}");
                    for range in ranges {
                        let (start, end) =
                            (usize::try_from(range.start), usize::try_from(range.end()));
                        let part = &file[start.unwrap()..end.unwrap()];
                        decoder.push(range, Bytes::copy_from_slice(part));
                    }
                }
            }
        }
        unreachable!("the loop ends with an answer");
    }

    fn decode_file(file: &[u8]) -> Result<VirtualDataset, DecodeError> {
        decode_counted(file).0
    }

    fn ranges(dataset: &VirtualDataset, name: &str) -> Vec<(u64, u64)> {
        let entries = dataset.root.arrays[name].chunks.iter();
        entries
            .map(|(_, entry)| match entry {
                ChunkEntry::Virtual {
                    range: ByteRange { start, len },
                    ..
                } => (start, len),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// Records of a short, a char and a two-dimensional double.
    fn interleaved(version: u8) -> Vec<u8> {
        Builder::new(version, 3)
            .dimensions(&[("time", 0), ("x", 3)])
            .absent()
            .list(0x0b, 4)
            .variable("fixed", &[1], 5, 400)
            .variable("s", &[0], 3, 412)
            .variable("c", &[0, 1], 2, 416)
            .variable("d", &[0, 1], 6, 420)
            .file(412 + 3 * 32)
    }

    #[rstest]
    #[case(1)]
    #[case(2)]
    #[case(5)]
    fn records_are_padded_to_four_bytes(#[case] version: u8) {
        let dataset = decode_file(&interleaved(version)).unwrap();
        assert_eq!(ranges(&dataset, "fixed"), [(400, 12)]);
        assert_eq!(ranges(&dataset, "s"), [(412, 2), (444, 2), (476, 2)]);
        assert_eq!(ranges(&dataset, "c"), [(416, 3), (448, 3), (480, 3)]);
        assert_eq!(ranges(&dataset, "d"), [(420, 24), (452, 24), (484, 24)]);
        let d = &dataset.root.arrays["d"];
        assert_eq!(
            (&d.shape[..], &d.chunk_shape[..]),
            (&[3, 3][..], &[1, 3][..])
        );
        assert_eq!(d.dimension_names, ["time", "x"]);
        assert_eq!(d.layout, Layout::Record);
        let time = Dimension {
            length: 3,
            unlimited: true,
        };
        assert_eq!(dataset.root.dimensions["time"], time);
    }

    // The bytes that netCDF-C 4.9.3 wrote for three shorts along an unlimited dimension, 0 as their vsize here.
    #[test]
    fn a_single_record_variable_is_not_padded() {
        let builder = Builder::new(1, 3)
            .dimensions(&[("t", 0)])
            .absent()
            .list(0x0b, 1);
        let file = builder.variable("v", &[0], 3, 136).file(142);
        let dataset = decode_file(&file).unwrap();
        assert_eq!(ranges(&dataset, "v"), [(136, 6)]);
    }

    // A million records of a byte became a million chunks.
    #[test]
    fn a_single_record_variable_is_cut_like_contiguous_data() {
        let builder = Builder::new(1, 12)
            .dimensions(&[("t", 0), ("x", 4 << 20)])
            .absent()
            .list(0x0b, 1);
        let mut file = builder.variable("v", &[0, 1], 1, 200).file(200);
        file.resize(200 + (48 << 20), 0);
        let dataset = decode_file(&file).unwrap();
        assert_eq!(dataset.root.arrays["v"].chunk_shape, [4, 4 << 20]);
        let size = 16 << 20;
        assert_eq!(
            ranges(&dataset, "v"),
            [(200, size), (200 + size, size), (200 + 2 * size, size)]
        );
    }

    #[rstest]
    #[case::padding_of_the_last_record(136 + 3 * 8 - 2, 3)]
    #[case::whole(136 + 3 * 8, 3)]
    #[case::last_record_is_cut(136 + 3 * 8 - 3, 2)]
    #[case::no_record(136 + 5, 0)]
    fn streamed_records_are_counted(#[case] length: usize, #[case] count: u64) {
        let builder = Builder::new(1, u64::from(u32::MAX)).dimensions(&[("t", 0)]);
        let file = builder
            .absent()
            .list(0x0b, 2)
            .variable("f", &[0], 5, 136)
            .variable("s", &[0], 3, 140)
            .file(length);
        let dataset = decode_file(&file).unwrap();
        assert_eq!(dataset.root.dimensions["t"].length, count);
        assert_eq!(ranges(&dataset, "s").len() as u64, count);
        assert_eq!(dataset.findings[0].code, "streamed-records");
    }

    #[rstest]
    #[case::without_last_padding(103, None)]
    #[case::one_byte_short(102, Some(103))]
    fn a_file_must_hold_its_data(#[case] length: usize, #[case] expected: Option<u64>) {
        let builder = Builder::new(2, 0)
            .dimensions(&[("x", 3)])
            .absent()
            .list(0x0b, 1);
        let file = builder.variable("v", &[0], 1, 100).file(length);
        let truncated = expected.map(|expected| DecodeError::Truncated {
            expected,
            actual: length as u64,
        });
        assert_eq!(decode_file(&file).err(), truncated);
    }

    #[test]
    fn large_fixed_data_is_cut() {
        let builder = Builder::new(5, 0).dimensions(&[("y", 6), ("x", 1 << 20)]);
        let builder = builder
            .absent()
            .list(0x0b, 1)
            .variable("v", &[0, 1], 11, 300);
        let mut file = builder.file(300);
        file.resize(300 + (48 << 20), 0);
        let dataset = decode_file(&file).unwrap();
        let v = &dataset.root.arrays["v"];
        assert_eq!(v.chunk_shape, [2, 1 << 20]);
        let size = 16 << 20;
        assert_eq!(
            ranges(&dataset, "v"),
            [(300, size), (300 + size, size), (300 + 2 * size, size)]
        );
    }

    #[rstest]
    #[case::version(
        Builder::new(3, 0),
        "not a NetCDF or HDF5 file: there is no classic format of version 3"
    )]
    #[case::tag(Builder::new(1, 0).list(0x0b, 1), "dimension list at byte 8: its tag is 0xb, not 0xa or absent")]
    #[case::absent_with_elements(Builder::new(1, 0).list(0, 1), "dimension list at byte 8: its tag is 0x0")]
    #[case::negative_count(Builder::new(5, 0).list(0x0a, 1 << 63), "dimension list at byte 16: it is negative")]
    #[case::negative_records(Builder::new(5, 1 << 63), "number of records at byte 4: it is negative")]
    #[case::endless_name(Builder::new(1, 0).list(0x0a, 1).size(0x7fff_ffff), "dimension name at byte 20 runs past")]
    #[case::many_dimensions(Builder::new(1, 0).list(0x0a, 0x7fff_ffff), "dimension name at byte 20 runs past")]
    #[case::empty_name(Builder::new(1, 0).dimensions(&[("", 1)]), "dimension name at byte 16: it is empty")]
    #[case::same_name(
        Builder::new(1, 0).dimensions(&[("x", 1), ("x", 2)]),
        "dimension name at byte 28: `x` is there twice"
    )]
    #[case::two_record_dimensions(
        Builder::new(1, 0).dimensions(&[("x", 0), ("y", 0)]),
        "dimension at byte 28: `y` is a second record dimension"
    )]
    #[case::attribute_type(
        Builder::new(1, 0).absent().list(0x0c, 1).name("a").tag(12),
        "attribute type at byte 32: there is no type 12"
    )]
    #[case::attribute_length(
        Builder::new(5, 0).absent().list(0x0c, 1).name("a").tag(6).size(1 << 62),
        "attribute values at byte 52: their number overflows"
    )]
    #[case::dimension_id(
        Builder::new(1, 0).absent().absent().list(0x0b, 1).name("v").size(1).size(9),
        "dimension id at byte 44: there is no dimension 9"
    )]
    #[case::record_dimension_inside(
        Builder::new(1, 0).dimensions(&[("x", 2), ("t", 0)]).absent().list(0x0b, 1).variable("v", &[0, 1], 5, 120),
        "variable at byte 56: `v` has the record dimension behind its first one"
    )]
    #[case::data_in_the_header(
        Builder::new(1, 0).dimensions(&[("x", 2)]).absent().list(0x0b, 1).variable("v", &[0], 5, 79),
        "variable at byte 44: `v` begins inside the header"
    )]
    #[case::negative_offset(
        Builder::new(1, 0).dimensions(&[("x", 2)]).absent().list(0x0b, 1).variable("v", &[0], 5, 1 << 31),
        "data offset at byte 76: it is negative"
    )]
    #[case::size_overflows(
        Builder::new(5, 0).dimensions(&[("x", 1 << 62)]).absent().list(0x0b, 1).variable("v", &[0, 0], 5, 200),
        "variable at byte 68: `v` has more bytes than can be counted"
    )]
    #[case::end_overflows(
        Builder::new(5, 1 << 62).dimensions(&[("t", 0)]).absent().list(0x0b, 1).variable("v", &[0], 6, 200),
        "variable at byte 68: `v` ends behind every file"
    )]
    #[case::data_behind_the_end(
        Builder::new(2, 0).dimensions(&[("x", 2)]).absent().list(0x0b, 1).variable("v", &[0], 5, 1 << 40),
        "the file has 200 bytes, its header says 1099511627784"
    )]
    fn hostile_headers_are_refused(#[case] header: Builder, #[case] message: &str) {
        let error = decode_file(&header.file(200)).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }

    #[test]
    fn a_name_that_is_no_key_is_skipped_by_name() {
        let builder = Builder::new(1, 0)
            .dimensions(&[("x", 2)])
            .absent()
            .list(0x0b, 2);
        let builder = builder.variable("a/b", &[0], 5, 180);
        let dataset = decode_file(&builder.variable("v", &[0], 5, 188).file(196)).unwrap();
        assert_eq!(dataset.skipped[0].variable, "/a/b");
        assert_eq!(dataset.root.arrays.keys().collect::<Vec<_>>(), ["v"]);
    }

    // Files of netCDF-C's own tests count the zero that ends a C string in; the library shows the name without it.
    #[test]
    fn a_name_ends_at_its_first_zero() {
        let builder = Builder::new(1, 0)
            .dimensions(&[("x\0\0", 2)])
            .absent()
            .list(0x0b, 1);
        let dataset = decode_file(&builder.variable("v\0w", &[0], 5, 180).file(188)).unwrap();
        assert_eq!(ranges(&dataset, "v"), [(180, 8)]);
        assert_eq!(dataset.root.dimensions["x"].length, 2);
    }

    #[test]
    fn a_long_header_takes_few_reads() {
        let names: Vec<String> = (0..40_000).map(|i| format!("dimension_{i}")).collect();
        let dimensions: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let header = Builder::new(1, 0).dimensions(&dimensions).absent().absent();
        let length = header.bytes.len() + 5_000_000;
        let (dataset, rounds) = decode_counted(&header.file(length));
        assert_eq!(dataset.unwrap().root.dimensions.len(), 40_000);
        assert!(rounds <= 9, "{rounds}");
    }

    #[rstest]
    #[case(1)]
    #[case(2)]
    #[case(5)]
    fn a_file_cut_anywhere_is_refused(#[case] version: u8) {
        let file = interleaved(version);
        for length in 0..file.len() {
            assert!(decode_file(&file[..length]).is_err(), "{length}");
        }
    }
}
