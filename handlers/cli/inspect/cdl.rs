//! Values and names as CDL, the text form of netCDF, writes them.

use virtualize::inspect::Values;

/// The values of an attribute of a type, one entry each.
pub(super) fn literals(data_type: &str, values: &Values) -> Vec<String> {
    match values {
        Values::Integers(numbers) => {
            let suffix = suffix(data_type);
            let numbers = numbers.iter();
            numbers.map(|number| format!("{number}{suffix}")).collect()
        }
        Values::Floats(numbers) => {
            let numbers = numbers.iter();
            numbers.map(|number| float(data_type, *number)).collect()
        }
        Values::Text(texts) => texts.iter().map(|text| quoted(text)).collect(),
        Values::Other(description) => vec![format!("({description})")],
    }
}

/// What CDL appends to whole numbers of a type.
fn suffix(data_type: &str) -> &'static str {
    match data_type {
        "byte" => "b",
        "short" => "s",
        "int64" => "LL",
        "ubyte" => "UB",
        "ushort" => "US",
        "uint" => "U",
        "uint64" => "ULL",
        _ => "",
    }
}

/// The shortest digits that read back as the same number, always with a point or an exponent.
pub(super) fn float(data_type: &str, number: f64) -> String {
    let single = data_type == "float";
    let suffix = if single { "f" } else { "" };
    if number.is_nan() {
        return format!("NaN{suffix}");
    }
    if number.is_infinite() {
        let sign = if number < 0.0 { "-" } else { "" };
        return format!("{sign}Infinity{suffix}");
    }
    let large = number != 0.0 && !(1e-4..1e15).contains(&number.abs());
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the value was a float before it was widened"
    )]
    let digits = match (single, large) {
        (true, true) => format!("{:e}", number as f32),
        (true, false) => format!("{}", number as f32),
        (false, true) => format!("{number:e}"),
        (false, false) => format!("{number}"),
    };
    let point = if digits.contains(['.', 'e']) { "" } else { "." };
    format!("{digits}{point}{suffix}")
}

/// Text in quotes, what would break the line escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            other if other.is_control() => out.extend(other.escape_unicode()),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A name from a file without what could steer a terminal.
pub(super) fn printable(name: &str) -> String {
    let letters = name.chars();
    letters
        .map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // What ncdump prints for attributes of these types, its fixed number of digits aside.
    #[rstest]
    #[case::float("float", Values::Floats(vec![1.0]), "1.f")]
    #[case::shortest("float", Values::Floats(vec![f64::from(0.1f32)]), "0.1f")]
    #[case::large("float", Values::Floats(vec![f64::from(1e20f32)]), "1e20f")]
    #[case::double("double", Values::Floats(vec![-2.5]), "-2.5")]
    #[case::whole_double("double", Values::Floats(vec![360.0]), "360.")]
    #[case::nan("float", Values::Floats(vec![f64::NAN]), "NaNf")]
    #[case::infinite("double", Values::Floats(vec![f64::NEG_INFINITY]), "-Infinity")]
    #[case::short("short", Values::Integers(vec![2]), "2s")]
    #[case::byte("byte", Values::Integers(vec![-1]), "-1b")]
    #[case::int("int", Values::Integers(vec![7]), "7")]
    #[case::unsigned("uint64", Values::Integers(vec![i128::from(u64::MAX)]), "18446744073709551615ULL")]
    #[case::text("char", Values::Text(vec!["a \"b\"\n\u{1b}[1m".into()]), "\"a \\\"b\\\"\\n\\u{1b}[1m\"")]
    fn literals_are_those_of_cdl(
        #[case] data_type: &str,
        #[case] values: Values,
        #[case] expected: &str,
    ) {
        assert_eq!(literals(data_type, &values), [expected]);
    }
}
