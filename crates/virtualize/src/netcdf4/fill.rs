//! Fill values: CF's, which readers mask, and HDF5's, which unallocated chunks hold. SPEC §3.

use bytes::Bytes;

use crate::dataset::VirtualArray;
use crate::decode::{Cost, SourceBuffer};
use crate::hdf5::{Attribute, AttributeValue, Dataset, Datatype, FillValue};
use crate::manifest::ChunkEntry;
use crate::netcdf4::data_type::element_type;
use crate::netcdf4::dimension::attribute;
use crate::zarr::{ByteOrder, Codec, DataType, encode_chunk};

/// The most chunks that are written out because they are not allocated in the source.
const MAX_CHUNKS: u64 = 10_000;

/// The most bytes that such chunks may take together.
const MAX_BYTES: u64 = 16 << 20;

/// The largest element that is made up for it.
const MAX_ELEMENT: usize = 1 << 20;

/// Bytes that such a chunk takes beside its own, in memory and as a key.
const ENTRY_COST: u64 = 64;

/// The largest decoded chunk that is made up for it, in a large file and in any.
const MAX_CHUNK_BYTES: u64 = 64 << 20;
const CHUNK_BYTES: u64 = 16 << 20;

/// The attribute `_FillValue` as one element of `data_type`; `None` where the value does not fit it to the bit.
pub(super) fn cf_fill_value(attribute: &Attribute, data_type: &DataType) -> Option<Vec<u8>> {
    match &attribute.value {
        AttributeValue::Integers(values) => integer(i128::from(one(values)?), data_type),
        AttributeValue::Unsigned(values) => integer(i128::from(one(values)?), data_type),
        AttributeValue::Floats(values) => float(one(values)?, data_type),
        AttributeValue::Strings(values) => match values.as_slice() {
            [value] => text(value, data_type),
            _ => None,
        },
        AttributeValue::Raw(bytes) => complex(&attribute.datatype, bytes, data_type),
        _ => None,
    }
}

/// An infinite `missing_value`, which no attribute can say in JSON: as the fill value readers mask it as well.
pub(super) fn infinite_missing_value(
    attributes: &[Attribute],
    data_type: &DataType,
) -> Option<Vec<u8>> {
    match (&attribute(attributes, "missing_value")?.value, data_type) {
        (AttributeValue::Floats(values), DataType::Float(..)) => {
            let infinite = values.iter().find(|value| value.is_infinite())?;
            float(*infinite, data_type)
        }
        _ => None,
    }
}

/// The value of a character or of a string of any length; xarray masks no fixed strings of HDF5.
fn text(value: &Bytes, data_type: &DataType) -> Option<Vec<u8>> {
    match data_type {
        DataType::FixedString(1) if value.len() <= 1 => {
            Some(vec![value.first().copied().unwrap_or_default()])
        }
        DataType::VlenString => str::from_utf8(value).ok().map(|_| value.to_vec()),
        _ => None,
    }
}

fn complex(stored: &Datatype, bytes: &Bytes, data_type: &DataType) -> Option<Vec<u8>> {
    let (DataType::Complex(size, order), DataType::Complex(stored_size, stored_order)) =
        (data_type, element_type(stored).ok()?)
    else {
        return None;
    };
    let mut element = bytes.to_vec();
    if stored_size != *size || element.len() != usize::from(*size) {
        return None;
    }
    if stored_order != *order {
        element
            .chunks_exact_mut(usize::from(size / 2).max(1))
            .for_each(<[u8]>::reverse);
    }
    Some(element)
}

fn one<T: Copy>(values: &[T]) -> Option<T> {
    match values {
        [value] => Some(*value),
        _ => None,
    }
}

fn integer(value: i128, data_type: &DataType) -> Option<Vec<u8>> {
    let (size, order, range) = match data_type {
        DataType::Bool => (1, ByteOrder::Little, 0..=1),
        DataType::Int(size, order) => {
            let half = 1i128 << (u32::from(*size) * 8 - 1);
            (*size, *order, -half..=half - 1)
        }
        DataType::UInt(size, order) => (*size, *order, 0..=(1i128 << (u32::from(*size) * 8)) - 1),
        DataType::Float(..) => return float(whole(value)?, data_type),
        _ => return None,
    };
    if !range.contains(&value) {
        return None;
    }
    let mut bytes = value.to_le_bytes().get(..usize::from(size))?.to_vec();
    if order == ByteOrder::Big {
        bytes.reverse();
    }
    Some(bytes)
}

/// An integer as a float, where that is exact.
fn whole(value: i128) -> Option<f64> {
    let value = i32::try_from(value).ok()?;
    Some(f64::from(value))
}

fn float(value: f64, data_type: &DataType) -> Option<Vec<u8>> {
    match data_type {
        DataType::Float(..) => {
            let bytes = data_type.element_from_json(&crate::zarr::float_to_json(value))?;
            let back = data_type.element_to_json(&bytes);
            (back == crate::zarr::float_to_json(value)).then_some(bytes)
        }
        DataType::Int(..) | DataType::UInt(..) => {
            let whole = value.fract() == 0.0 && value.abs() < 9e15;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is a whole number that the type holds"
            )]
            let value = whole.then_some(value as i64)?;
            integer(i128::from(value), data_type)
        }
        _ => None,
    }
}

/// Writes out the chunks that are not allocated in the source where readers would not show for them what the source
/// does.
///
/// # Errors
///
/// The reason why that cannot be done.
pub(super) fn write_out_missing(
    array: &mut VirtualArray,
    dataset: &Dataset,
    buffer: &SourceBuffer,
) -> Result<(), String> {
    let grid = crate::dataset::product(&array.chunk_grid()).unwrap_or(u64::MAX);
    let stored = u64::try_from(array.chunks.len()).unwrap_or(u64::MAX);
    let missing = grid.saturating_sub(stored);
    if missing == 0 || array.is_empty() {
        return Ok(());
    }
    let element = match source_fill(dataset, array.data_type.size()) {
        Ok(element) => element,
        // Without a fill value every reader shows zeros.
        Err(_) if array.fill_value.is_none() && !matches!(dataset.fill, FillValue::User(_)) => {
            return Ok(());
        }
        Err(why) => return Err(why),
    };
    if array.fill_value.as_ref() == Some(&element) {
        return Ok(());
    }
    match constant_chunk(array, &element, missing, buffer) {
        Ok(chunk) => {
            for number in 0..grid {
                if array.chunks.get(number) == ChunkEntry::Missing {
                    array.chunks.insert_inline(number, chunk.clone());
                }
            }
            Ok(())
        }
        Err(_) if array.fill_value.is_none() && element.iter().all(|byte| *byte == 0) => Ok(()),
        Err(_) if dataset.fill == FillValue::Undefined => Ok(()),
        // Readers mask it, and show what they mask as the same.
        Err(_)
            if array.fill_value.is_none() && array.data_type.element_to_json(&element) == "NaN" =>
        {
            array.fill_value = Some(element);
            Ok(())
        }
        Err(why) => Err(why),
    }
}

/// What the source shows for an element of `size` bytes that is not allocated.
///
/// Where no value is defined the HDF5 library leaves the reader's buffer as it is, which readers clear before.
///
/// # Errors
///
/// The reason why that cannot be said.
pub(super) fn source_fill(dataset: &Dataset, size: u64) -> Result<Vec<u8>, String> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    match &dataset.fill {
        FillValue::Undefined | FillValue::Default if size <= MAX_ELEMENT => Ok(vec![0; size]),
        FillValue::Undefined | FillValue::Default => Err(format!(
            "its elements of {size} bytes are not all allocated"
        )),
        // The fill value of an array type is a whole array; the first element stands for it where all are equal.
        FillValue::User(bytes) => match bytes.get(..size).filter(|first| !first.is_empty()) {
            Some(first) if bytes.chunks(size).all(|element| element == first) => Ok(first.to_vec()),
            _ => Err(String::from(
                "it is not all allocated, and its fill value is not that of one element",
            )),
        },
    }
}

fn constant_chunk(
    array: &mut VirtualArray,
    element: &[u8],
    missing: u64,
    buffer: &SourceBuffer,
) -> Result<Bytes, String> {
    let too_many = || {
        format!("{missing} of its chunks are not allocated and hold a value that Zarr cannot state")
    };
    let most = buffer.file_len().clamp(CHUNK_BYTES, MAX_CHUNK_BYTES);
    let size = array.chunk_nbytes().filter(|size| *size <= most);
    let size = size.filter(|size| missing <= MAX_CHUNKS && buffer.spend(Cost::Work, *size).is_ok());
    let size = size.and_then(|size| usize::try_from(size).ok());
    let count = size
        .filter(|_| missing <= MAX_CHUNKS)
        .and_then(|size| size.checked_div(element.len()));
    let plain = element.repeat(count.ok_or_else(too_many)?);
    // Where no stored chunk says otherwise, codecs that make a constant short.
    if array.chunks.is_empty() && array.codecs.is_empty() {
        let element_size = u32::try_from(element.len()).unwrap_or(1);
        array.codecs.push(Codec::Shuffle { element_size });
        array.codecs.push(Codec::Zlib { level: 9 });
    }
    let encoded = encode_chunk(&plain, &array.codecs)
        .map_err(|error| format!("a chunk that is not allocated cannot be written out: {error}"))?;
    let total = u64::try_from(encoded.len())
        .ok()
        .and_then(|len| len.checked_add(ENTRY_COST)?.checked_mul(missing));
    match total {
        Some(total) if total <= MAX_BYTES && buffer.spend(Cost::Memory, total).is_ok() => {
            Ok(Bytes::from(encoded))
        }
        _ => Err(too_many()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::dataset::{Attributes, Layout};
    use crate::hdf5::DatatypeClass;
    use crate::manifest::ChunkManifest;
    use crate::netcdf4::sample;
    use crate::zarr::decode_chunk;

    const F4: DataType = DataType::Float(4, ByteOrder::Little);
    const I2_BIG: DataType = DataType::Int(2, ByteOrder::Big);
    const C8_BIG: DataType = DataType::Complex(8, ByteOrder::Big);

    /// A pair of little-endian floats.
    fn complex_fill(size: u32, bytes: &'static [u8]) -> Attribute {
        Attribute {
            datatype: Datatype {
                size,
                class: DatatypeClass::Complex(Box::new(sample::float32())),
                committed: false,
            },
            value: AttributeValue::Raw(Bytes::from_static(bytes)),
            ..sample::integers("_FillValue", &[0])
        }
    }

    #[rstest]
    #[case::float(sample::floats("_FillValue", &[f64::from(1e20f32)]), F4, Some(1e20f32.to_le_bytes().to_vec()))]
    #[case::not_a_number(sample::floats("_FillValue", &[f64::NAN]), F4, Some(f32::NAN.to_le_bytes().to_vec()))]
    #[case::too_precise(sample::floats("_FillValue", &[1e20]), F4, None)]
    #[case::big_endian(sample::integers("_FillValue", &[-2]), I2_BIG, Some(vec![0xff, 0xfe]))]
    #[case::too_large(sample::integers("_FillValue", &[40_000]), I2_BIG, None)]
    #[case::whole_float(sample::floats("_FillValue", &[-999.0]), I2_BIG, Some((-999i16).to_be_bytes().to_vec()))]
    #[case::broken_float(sample::floats("_FillValue", &[0.5]), I2_BIG, None)]
    #[case::unsigned(sample::integers("_FillValue", &[255]), DataType::UInt(1, ByteOrder::Little), Some(vec![255]))]
    #[case::character(sample::text("_FillValue", &["*"]), DataType::FixedString(1), Some(b"*".to_vec()))]
    #[case::zero_character(sample::text("_FillValue", &[""]), DataType::FixedString(1), Some(b"\0".to_vec()))]
    #[case::text_too_long(sample::text("_FillValue", &["ab"]), DataType::FixedString(1), None)]
    #[case::fixed_string(sample::text("_FillValue", &["ab"]), DataType::FixedString(2), None)]
    #[case::text_of_any_length(sample::text("_FillValue", &["ab"]), DataType::VlenString, Some(b"ab".to_vec()))]
    #[case::text_for_a_number(sample::text("_FillValue", &["7"]), I2_BIG, None)]
    #[case::complex(complex_fill(8, b"\x01\x02\x03\x04\x05\x06\x07\x08"), C8_BIG, Some(vec![4, 3, 2, 1, 8, 7, 6, 5]))]
    #[case::complex_of_another_size(complex_fill(8, &[0; 8]), DataType::Complex(16, ByteOrder::Little), None)]
    #[case::compound(complex_fill(8, &[0; 8]), F4, None)]
    #[case::two_values(sample::integers("_FillValue", &[1, 2]), I2_BIG, None)]
    fn a_fill_value_is_taken_where_it_fits(
        #[case] attribute: Attribute,
        #[case] data_type: DataType,
        #[case] bytes: Option<Vec<u8>>,
    ) {
        assert_eq!(cf_fill_value(&attribute, &data_type), bytes);
    }

    /// JSON has no infinity, and without it what is marked so was shown as a value.
    #[rstest]
    #[case::alone(&[f64::INFINITY], F4, Some(f32::INFINITY))]
    #[case::beside_another(&[-9.0, f64::NEG_INFINITY], F4, Some(f32::NEG_INFINITY))]
    #[case::finite(&[-9.0], F4, None)]
    #[case::of_integers(&[f64::INFINITY], I2_BIG, None)]
    fn an_infinite_missing_value_is_a_fill_value(
        #[case] values: &[f64],
        #[case] data_type: DataType,
        #[case] fill: Option<f32>,
    ) {
        let attributes = [sample::floats("missing_value", values)];
        let fill = fill.map(|value| value.to_le_bytes().to_vec());
        assert_eq!(infinite_missing_value(&attributes, &data_type), fill);
    }

    fn buffer() -> SourceBuffer {
        SourceBuffer::new(0, 0)
    }

    fn array(length: u64, fill_value: Option<f32>, codecs: Vec<Codec>) -> VirtualArray {
        let mut chunks = ChunkManifest::new();
        chunks.insert_inline(1, Bytes::from_static(b"here"));
        VirtualArray {
            shape: vec![length],
            chunk_shape: vec![2],
            data_type: F4,
            fill_value: fill_value.map(|value| value.to_le_bytes().to_vec()),
            codecs,
            dimension_names: vec![String::from("x")],
            attributes: Attributes::new(),
            chunks,
            layout: Layout::Chunked,
        }
    }

    fn with_fill(fill: FillValue) -> Dataset {
        Dataset {
            fill,
            ..sample::dataset(1, &[6])
        }
    }

    fn user(value: f32) -> FillValue {
        FillValue::User(Bytes::copy_from_slice(&value.to_le_bytes()))
    }

    #[rstest]
    #[case::zeros_without_fill_value(FillValue::Default, None, Some(0.0))]
    #[case::zeros_beside_a_fill_value(FillValue::Default, Some(1e20), Some(0.0))]
    #[case::value_without_fill_value(user(5.0), None, Some(5.0))]
    #[case::the_same(user(5.0), Some(5.0), None)]
    #[case::equal_but_other_bits(user(-0.0), Some(0.0), Some(-0.0))]
    // h5py shows zeros where the file defines nothing, so the CF value must not stand in.
    #[case::undefined(FillValue::Undefined, Some(1e20), Some(0.0))]
    fn missing_chunks_are_written_out_where_readers_would_differ(
        #[case] fill: FillValue,
        #[case] cf: Option<f32>,
        #[case] written: Option<f32>,
    ) {
        for codecs in [Vec::new(), vec![Codec::Zlib { level: 1 }]] {
            let mut array = array(6, cf, codecs);
            write_out_missing(&mut array, &with_fill(fill.clone()), &buffer()).unwrap();
            let expected = written.map(|value| value.to_le_bytes().repeat(2));
            let chunk = match array.chunks.get(2) {
                ChunkEntry::Inline(bytes) => Some(decode_chunk(&bytes, &array.codecs, 8).unwrap()),
                _ => None,
            };
            assert_eq!(chunk, expected);
            assert_eq!(
                array.chunks.get(1),
                ChunkEntry::Inline(Bytes::from_static(b"here"))
            );
        }
    }

    #[rstest]
    #[case::zeros(FillValue::Default, true)]
    #[case::not_of_one_element(FillValue::User(Bytes::from_static(&[1, 2])), false)]
    fn elements_too_large_to_make_up_are_fine_where_readers_show_zeros(
        #[case] fill: FillValue,
        #[case] fine: bool,
    ) {
        let mut array = array(6, None, Vec::new());
        array.data_type = DataType::Opaque(2 << 20);
        assert_eq!(
            write_out_missing(&mut array, &with_fill(fill), &buffer()).is_ok(),
            fine
        );
    }

    #[rstest]
    #[case::zeros_are_the_default(FillValue::Default, None, true)]
    #[case::zeros_beside_a_fill_value(FillValue::Default, Some(1.0), false)]
    #[case::undefined_is_not_fatal(FillValue::Undefined, Some(1.0), true)]
    #[case::a_value(user(5.0), None, false)]
    #[case::not_a_number(user(f32::NAN), None, true)]
    #[case::not_a_number_beside_a_fill_value(user(f32::NAN), Some(1.0), false)]
    fn too_many_missing_chunks_are_a_reason_to_refuse(
        #[case] fill: FillValue,
        #[case] cf: Option<f32>,
        #[case] fine: bool,
    ) {
        let mut array = array(u64::MAX / 8, cf, Vec::new());
        let outcome = write_out_missing(&mut array, &with_fill(fill.clone()), &buffer());
        assert_eq!(outcome.is_ok(), fine);
        assert_eq!(array.chunks.len(), 1);
        if let FillValue::User(element) = &fill
            && fine
        {
            assert_eq!(array.fill_value.as_deref(), Some(element.as_ref()));
        }
    }
}
