//! Codecs of Zarr v2 under the ids that numcodecs registers, its own and those of the plug-in `imagecodecs-numcodecs`.

use serde_json::{Value, json};

/// A codec that an unmodified Zarr v2 reader decodes: numcodecs itself, or with the plug-in where
/// [`Codec::needs_plugin`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// Bytes of equal significance together.
    Shuffle {
        /// Size of an element in bytes.
        element_size: u32,
    },
    /// zlib (HDF5's *deflate*).
    Zlib {
        /// Level of compression when encoding; decoding does not depend on it.
        level: u32,
    },
    /// Zstandard.
    Zstd {
        /// Level of compression when encoding; decoding does not depend on it.
        level: i32,
    },
    /// bzip2.
    Bz2 {
        /// Level of compression when encoding; decoding does not depend on it.
        level: u32,
    },
    /// Blosc 1; all parameters stand in the frame too.
    Blosc {
        /// Name of the inner codec (`lz4`, `zstd`, …).
        cname: String,
        /// Level of compression when encoding.
        clevel: u32,
        /// 0 none, 1 byte, 2 bit shuffle.
        shuffle: u32,
    },
    /// Four bytes of Fletcher's checksum behind the data, as HDF5 writes them.
    Fletcher32,
    /// `LibLZF` without a header. The plug-in gives at most [`Codec::LZF_RATIO`] bytes for one.
    Lzf,
    /// Blocks of lz4 behind HDF5's header of two sizes.
    Lz4H5,
    /// The entropy coding of CCSDS 121.0 with HDF5's header of one size.
    Szip(SzipParameters),
    /// A frame of Blosc 2 with its n-dimensional layer.
    Blosc2Nd,
    /// Variable-length UTF-8 strings of an object array.
    VlenUtf8,
}

/// How szip cuts a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SzipParameters {
    /// Bits: 4 entropy coding, 8 little-endian, 16 big-endian, 32 nearest neighbour, 128 without a header of its own.
    pub options_mask: u32,
    /// Samples in a block.
    pub pixels_per_block: u32,
    /// Bits of a sample.
    pub bits_per_pixel: u32,
    /// Samples between two references.
    pub pixels_per_scanline: u32,
}

impl Codec {
    /// The most bytes that the plug-in makes of one byte of lzf; it guesses the size of what comes out.
    pub const LZF_RATIO: u64 = 8;

    /// Whether readers need the package `imagecodecs-numcodecs`, which registers further codecs with numcodecs.
    pub const fn needs_plugin(&self) -> bool {
        matches!(
            self,
            Self::Lzf | Self::Lz4H5 | Self::Szip(_) | Self::Blosc2Nd
        )
    }

    /// The numcodecs configuration.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Shuffle { element_size } => json!({"id": "shuffle", "elementsize": element_size}),
            Self::Zlib { level } => json!({"id": "zlib", "level": level}),
            Self::Zstd { level } => json!({"id": "zstd", "level": level}),
            Self::Bz2 { level } => json!({"id": "bz2", "level": level}),
            Self::Blosc {
                cname,
                clevel,
                shuffle,
            } => {
                json!({"id": "blosc", "cname": cname, "clevel": clevel, "shuffle": shuffle, "blocksize": 0})
            }
            Self::Fletcher32 => json!({"id": "fletcher32"}),
            Self::Lzf => json!({"id": "imagecodecs_lzf", "header": false}),
            Self::Lz4H5 => json!({"id": "imagecodecs_lz4h5"}),
            Self::Szip(szip) => json!({
                "id": "imagecodecs_szip",
                "options_mask": szip.options_mask,
                "pixels_per_block": szip.pixels_per_block,
                "bits_per_pixel": szip.bits_per_pixel,
                "pixels_per_scanline": szip.pixels_per_scanline,
                "header": true,
            }),
            Self::Blosc2Nd => json!({"id": "imagecodecs_b2nd"}),
            Self::VlenUtf8 => json!({"id": "vlen-utf8"}),
        }
    }

    /// The codec of a numcodecs configuration; `None` if it is not one of ours.
    pub fn from_json(config: &Value) -> Option<Self> {
        let number = |key: &str| {
            config
                .get(key)
                .and_then(Value::as_u64)
                .and_then(|n| u32::try_from(n).ok())
        };
        match config.get("id")?.as_str()? {
            "shuffle" => Some(Self::Shuffle {
                element_size: number("elementsize")?,
            }),
            "zlib" => Some(Self::Zlib {
                level: number("level").unwrap_or(1),
            }),
            "zstd" => {
                let level = config.get("level").and_then(Value::as_i64).unwrap_or(0);
                Some(Self::Zstd {
                    level: i32::try_from(level).ok()?,
                })
            }
            "bz2" => Some(Self::Bz2 {
                level: number("level").unwrap_or(1),
            }),
            "blosc" => Some(Self::Blosc {
                cname: config.get("cname")?.as_str()?.to_owned(),
                clevel: number("clevel").unwrap_or(5),
                shuffle: number("shuffle").unwrap_or(1),
            }),
            "fletcher32" => Some(Self::Fletcher32),
            "imagecodecs_lzf" => {
                (config.get("header") == Some(&Value::Bool(false))).then_some(Self::Lzf)
            }
            "imagecodecs_lz4h5" => Some(Self::Lz4H5),
            "imagecodecs_szip" => Some(Self::Szip(SzipParameters {
                options_mask: number("options_mask")?,
                pixels_per_block: number("pixels_per_block")?,
                bits_per_pixel: number("bits_per_pixel")?,
                pixels_per_scanline: number("pixels_per_scanline")?,
            })),
            "imagecodecs_b2nd" => Some(Self::Blosc2Nd),
            "vlen-utf8" => Some(Self::VlenUtf8),
            _ => None,
        }
    }

    /// Whether what one encodes the other decodes: parameters that only matter when encoding are left aside.
    pub fn decodes_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shuffle { .. } | Self::Szip(_), _) => self == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// Its name in findings and inspections (`gzip`, `shuffle`, …).
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Shuffle { .. } => "shuffle",
            Self::Zlib { .. } => "gzip",
            Self::Zstd { .. } => "zstd",
            Self::Bz2 { .. } => "bzip2",
            Self::Blosc { .. } => "blosc",
            Self::Fletcher32 => "fletcher32",
            Self::Lzf => "lzf",
            Self::Lz4H5 => "lz4",
            Self::Szip(_) => "szip",
            Self::Blosc2Nd => "blosc2",
            Self::VlenUtf8 => "vlen-utf8",
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Codec::Shuffle { element_size: 4 })]
    #[case(Codec::Zlib { level: 4 })]
    #[case(Codec::Zstd { level: -3 })]
    #[case(Codec::Blosc { cname: String::from("lz4"), clevel: 5, shuffle: 2 })]
    #[case(Codec::Fletcher32)]
    #[case(Codec::Lzf)]
    #[case(Codec::Lz4H5)]
    #[case(Codec::Szip(SzipParameters {
        options_mask: 169,
        pixels_per_block: 8,
        bits_per_pixel: 32,
        pixels_per_scanline: 10,
    }))]
    #[case(Codec::Blosc2Nd)]
    fn configurations_are_read_back(#[case] codec: Codec) {
        assert_eq!(Codec::from_json(&codec.to_json()), Some(codec));
    }

    #[test]
    fn only_what_matters_when_decoding_is_compared() {
        assert!(Codec::Zlib { level: 1 }.decodes_like(&Codec::Zlib { level: 9 }));
        let (four, eight) = (
            Codec::Shuffle { element_size: 4 },
            Codec::Shuffle { element_size: 8 },
        );
        assert!(!four.decodes_like(&eight));
        assert!(!four.decodes_like(&Codec::Fletcher32));
    }
}
