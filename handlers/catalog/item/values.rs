//! Values of the coordinates that are inlined in a dataset.

use serde_json::Value;
use virtualize::zarr::{DataType, decode_chunk};
use virtualize::{ChunkEntry, VirtualArray};

/// All values of a one-dimensional variable, numbers or texts; `None` unless every chunk of it is inlined.
pub(in crate::catalog) fn inlined(array: &VirtualArray) -> Option<Vec<Value>> {
    let [length] = array.shape.as_slice() else {
        return None;
    };
    let length = usize::try_from(*length).ok()?;
    let size = usize::try_from(array.data_type.size())
        .ok()
        .filter(|size| *size > 0)?;
    let chunks = array.chunk_grid().first().copied()?;
    let mut values = Vec::new();
    for number in 0..chunks {
        let ChunkEntry::Inline(encoded) = array.chunks.get(number) else {
            return None;
        };
        let bytes = match array.codecs.as_slice() {
            [] => encoded.to_vec(),
            codecs => decode_chunk(&encoded, codecs, array.chunk_nbytes()?).ok()?,
        };
        for element in bytes.chunks_exact(size) {
            values.push(value(&array.data_type, element)?);
        }
    }
    values.truncate(length);
    (values.len() == length).then_some(values)
}

fn value(data_type: &DataType, element: &[u8]) -> Option<Value> {
    match data_type {
        DataType::Int(..) | DataType::UInt(..) | DataType::Float(..) => {
            Some(data_type.element_to_json(element))
        }
        DataType::FixedString(_) => {
            let text = std::str::from_utf8(element).ok()?;
            Some(Value::from(text.trim_end_matches(['\0', ' '])))
        }
        _ => None,
    }
}

/// The same as numbers; `None` if one is not finite or none.
pub(in crate::catalog) fn numbers(values: &[Value]) -> Option<Vec<f64>> {
    values.iter().map(Value::as_f64).collect()
}

/// Smallest and largest.
pub(in crate::catalog) fn range(numbers: &[f64]) -> Option<[f64; 2]> {
    let smallest = numbers.iter().copied().reduce(f64::min)?;
    let largest = numbers.iter().copied().reduce(f64::max)?;
    Some([smallest, largest])
}

/// The step of regular values, within the rounding of 32-bit floats.
pub(in crate::catalog) fn regular_step(numbers: &[f64]) -> Option<f64> {
    let (first, last) = (numbers.first()?, numbers.last()?);
    let intervals = u32::try_from(numbers.len().checked_sub(1)?)
        .ok()
        .filter(|count| *count > 0)?;
    let step = (last - first) / f64::from(intervals);
    let slack = 1e-6
        * numbers
            .iter()
            .fold(step.abs(), |most, value| most.max(value.abs()));
    let near = |pair: &[f64]| matches!(pair, [a, b] if (b - a - step).abs() <= slack);
    (step != 0.0 && numbers.windows(2).all(near)).then_some(step)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::regular(&[0.0, 2.5, 5.0], Some(2.5))]
    #[case::descending(&[90.0, 0.0, -90.0], Some(-90.0))]
    #[case::gaussian(&[-88.9277, -87.5387, -86.1415], None)]
    #[case::one(&[1.0], None)]
    #[case::constant(&[1.0, 1.0], None)]
    fn a_step_is_that_of_regular_values(#[case] numbers: &[f64], #[case] step: Option<f64>) {
        assert_eq!(regular_step(numbers), step);
    }
}
