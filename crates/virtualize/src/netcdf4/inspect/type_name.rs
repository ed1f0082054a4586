//! Names of HDF5's types in CDL's words, where it has one.

use crate::hdf5::{Datatype, DatatypeClass, FloatFormat};
use crate::netcdf4::attribute::is_bool;

/// Nesting that is still spelled out.
const MAX_DEPTH: usize = 4;

/// The name of a variable's type.
pub(super) fn of(datatype: &Datatype) -> String {
    nested(datatype, MAX_DEPTH)
}

/// The name of an attribute's type: text of fixed length is `char`, as netCDF has it.
pub(super) fn of_attribute(datatype: &Datatype) -> String {
    match &datatype.class {
        DatatypeClass::String { .. } => String::from("char"),
        _ => of(datatype),
    }
}

fn nested(datatype: &Datatype, depth: usize) -> String {
    let size = datatype.size;
    let Some(depth) = depth.checked_sub(1) else {
        return String::from("…");
    };
    match &datatype.class {
        DatatypeClass::Integer {
            signed, precision, ..
        } => integer(size, *signed, *precision),
        DatatypeClass::Float {
            format: FloatFormat::Ieee,
            ..
        } => float(size),
        DatatypeClass::Float { .. } => format!("float of {size} bytes, not IEEE 754"),
        DatatypeClass::Time => String::from("time"),
        DatatypeClass::String { .. } if size == 1 => String::from("char"),
        DatatypeClass::String { .. } => format!("string({size})"),
        DatatypeClass::Bitfield { .. } => format!("bitfield({})", size.saturating_mul(8)),
        DatatypeClass::Opaque { .. } => format!("opaque({size})"),
        DatatypeClass::Compound(members) => {
            let members = members
                .iter()
                .map(|member| format!("{}: {}", member.name, nested(&member.datatype, depth)));
            format!("compound {{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        DatatypeClass::Reference { object: true } => String::from("object reference"),
        DatatypeClass::Reference { object: false } => String::from("region reference"),
        DatatypeClass::Enum { .. } if is_bool(datatype) => String::from("bool"),
        DatatypeClass::Enum { base, .. } => format!("{} enum", nested(base, depth)),
        DatatypeClass::VlenString { .. } => String::from("string"),
        DatatypeClass::VlenSequence(base) => format!("{}(*)", nested(base, depth)),
        DatatypeClass::Array { base, .. } => nested(base, depth),
        DatatypeClass::Complex(base) => format!("complex {}", nested(base, depth)),
    }
}

fn integer(size: u32, signed: bool, precision: u16) -> String {
    if u32::from(precision) != size.saturating_mul(8) {
        return format!("integer of {precision} bits in {size} bytes");
    }
    let (signed_name, unsigned_name) = match size {
        1 => ("byte", "ubyte"),
        2 => ("short", "ushort"),
        4 => ("int", "uint"),
        8 => ("int64", "uint64"),
        _ => return format!("integer of {size} bytes"),
    };
    String::from(if signed { signed_name } else { unsigned_name })
}

fn float(size: u32) -> String {
    match size {
        2 => String::from("half"),
        4 => String::from("float"),
        8 => String::from("double"),
        _ => format!("float of {size} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::super::sample::{float32, int};
    use super::*;
    use crate::hdf5::Member;

    fn typed(size: u32, class: DatatypeClass) -> Datatype {
        Datatype {
            size,
            class,
            committed: false,
        }
    }

    #[rstest]
    #[case::float(float32(), "float")]
    #[case::short(int(2), "short")]
    #[case::odd_integer(int(3), "integer of 3 bytes")]
    #[case::sequence(typed(16, DatatypeClass::VlenSequence(Box::new(int(4)))), "int(*)")]
    #[case::complex(typed(8, DatatypeClass::Complex(Box::new(float32()))), "complex float")]
    #[case::compound(
        typed(4, DatatypeClass::Compound(vec![Member { name: "a".into(), offset: 0, datatype: int(4) }])),
        "compound {a: int}"
    )]
    fn types_have_the_names_of_cdl(#[case] datatype: Datatype, #[case] name: &str) {
        assert_eq!(of(&datatype), name);
    }
}
