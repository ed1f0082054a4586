//! The classic reader: CDF-1, CDF-2 and CDF-5.

use bytes::Bytes;
use virtualize::DecodeOptions;

use super::decoder;

/// Decodes the bytes as a file; whatever they are, they begin as a classic file does.
pub fn run(bytes: &[u8]) {
    let mut file = bytes.to_vec();
    if let Some(magic) = file.get_mut(..3) {
        magic.copy_from_slice(b"CDF");
    }
    if let Some(version) = file.get_mut(3).filter(|v| !matches!(**v, 1 | 2 | 5)) {
        *version = 1 + *version % 2;
    }
    if let Err(error) = decoder::decode(&Bytes::from(file), &DecodeOptions::default()) {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}
