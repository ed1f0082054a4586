//! The chunk grid that all files of a series share.
//!
//! A regular grid asks that every file but the last is a whole number of chunks long. Data without codecs can
//! be cut into smaller chunks, as long as each stays one run of bytes; whatever else does not fit is refused.

use crate::combine::input::Input;
use crate::combine::refusal::Disagreement;
use crate::dataset::{VirtualArray, product};

/// A variable in one file of the series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'a> {
    pub file: &'a Input,
    /// `None` where the file lacks the variable and it is to read as its fill value.
    pub array: Option<&'a VirtualArray>,
    /// Number of steps of this file.
    pub len: u64,
}

/// The chunk shape of the joined array, or why there is none.
pub(super) fn chunk_shape(
    path: &str,
    axis: usize,
    members: &[Member<'_>],
) -> Result<Vec<u64>, Vec<Disagreement>> {
    let Some(first) = members.iter().find_map(|member| member.array) else {
        return Err(Vec::new());
    };
    let faults = irregular(path, axis, members, first);
    if faults.is_empty() {
        return Ok(first.chunk_shape.clone());
    }
    recut(axis, members, first).ok_or(faults)
}

/// Where the chunks of the files do not form one regular grid.
fn irregular(
    path: &str,
    axis: usize,
    members: &[Member<'_>],
    first: &VirtualArray,
) -> Vec<Disagreement> {
    let chunk = first.chunk_shape.get(axis).copied().unwrap_or(1).max(1);
    let last = members.iter().rposition(|member| member.len > 0);
    let mut faults = Vec::new();
    for (at, member) in members.iter().enumerate() {
        let name = &member.file.name;
        if let Some(array) = member
            .array
            .filter(|array| array.chunk_shape != first.chunk_shape)
        {
            let (a, b) = (
                format!("{:?}", first.chunk_shape),
                format!("{:?}", array.chunk_shape),
            );
            let problem = format!("has chunks {b}, first file {a}");
            faults.push(
                Disagreement::new("chunk_shape_mismatch", name, path, &problem).with_values(a, b),
            );
        } else if Some(at) != last && member.len % chunk != 0 {
            let problem = format!(
                "has {} steps, and {} steps are not a multiple of the chunk length {chunk}",
                member.len, member.len
            );
            let fault = Disagreement::new("chunk_shape_mismatch", name, path, &problem);
            faults.push(fault.with_values(chunk.to_string(), member.len.to_string()));
        }
    }
    faults
}

/// The largest chunks that fit every file; `None` unless each is one run of bytes in all of them.
fn recut(axis: usize, members: &[Member<'_>], first: &VirtualArray) -> Option<Vec<u64>> {
    let inner = |array: &VirtualArray| -> Vec<u64> {
        let kept = array
            .chunk_shape
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != axis);
        kept.map(|(_, len)| *len).collect()
    };
    let fits = |array: &VirtualArray| {
        array.codecs.is_empty()
            && inner(array) == inner(first)
            && array.chunk_shape.get(..axis).and_then(product) == Some(1)
    };
    if !members.iter().filter_map(|member| member.array).all(fits) {
        return None;
    }
    let chunk_of = |member: &Member<'_>| {
        member
            .array
            .and_then(|array| array.chunk_shape.get(axis).copied())
    };
    let lengths = members.iter().flat_map(|member| {
        let chunk = chunk_of(member).map_or(member.len, |chunk| chunk.min(member.len));
        [chunk, member.len]
    });
    let common = lengths.filter(|len| *len > 0).reduce(gcd)?;
    let mut shape = first.chunk_shape.clone();
    *shape.get_mut(axis)? = common;
    Some(shape)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
