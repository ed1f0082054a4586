//! The address of a key: `/api/zarr/{release_id}/r{revision}[/~{token}][/~v3]/{key}` of a revision, and
//! `/api/zarr/files/{file}/{etag}[/~v3]/{key}` of one file's reference.

use percent_encoding::percent_decode_str;

use crate::http::error::ApiError;

/// Segment below which the store is one of Zarr v3.
const VERSION_3: &str = "~v3";

/// Which store is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A published revision of a Release.
    Revision { release_id: String, revision: i64 },
    /// The reference of a version of a file, by the id of its store.
    File { id: String, etag: String },
}

/// In which form a hierarchy is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V2,
    V3,
}

/// Which key of which store is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) place: Place,
    /// The read token, without its `~`.
    pub(super) token: Option<String>,
    pub(super) version: Version,
    /// Decoded, without a leading slash.
    pub(super) key: String,
}

impl Address {
    /// Reads a path as it stands in the request; each segment is decoded once.
    ///
    /// # Errors
    ///
    /// 404 where a store has no such key whatever it holds, 410 where there can be no such store.
    pub(super) fn parse(path: &str) -> Result<Self, ApiError> {
        let rest = path.strip_prefix("/api/zarr/").unwrap_or_default();
        let segments = segments(rest)?;
        let (place, rest) = place(&segments)?;
        let (token, rest) = match (&place, token(rest)) {
            (Place::Revision { .. }, Some((token, rest))) => (Some(token.to_owned()), rest),
            _ => (None, rest),
        };
        let (version, key) = key_of(rest)?;
        Ok(Self {
            place,
            token,
            version,
            key,
        })
    }
}

/// The key below a store's root.
///
/// # Errors
///
/// 404 where no store has such a key.
fn key_of(segments: &[String]) -> Result<(Version, String), ApiError> {
    let (version, key) = match segments {
        [first, key @ ..] if first == VERSION_3 => (Version::V3, key),
        key => (Version::V2, key),
    };
    match key.iter().any(|part| is_no_name(part)) {
        true => Err(ApiError::not_found("there is no such key")),
        false => Ok((version, key.join("/"))),
    }
}

/// The key that a path below a store's root names; each segment is decoded once.
///
/// # Errors
///
/// 404 where no store has such a key.
pub(super) fn parse_key(path: &str) -> Result<(Version, String), ApiError> {
    key_of(&segments(path)?)
}

fn segments(path: &str) -> Result<Vec<String>, ApiError> {
    let segments = path.split('/').map(decode).collect::<Option<Vec<_>>>();
    segments.ok_or_else(|| ApiError::not_found("the key is not UTF-8"))
}

fn place(segments: &[String]) -> Result<(Place, &[String]), ApiError> {
    match segments {
        [files, id, etag, rest @ ..] if files == "files" && !etag.is_empty() => {
            let place = Place::File {
                id: id.clone(),
                etag: etag.clone(),
            };
            Ok((place, rest))
        }
        [release_id, revision, rest @ ..] if release_id != "files" => {
            let revision = revision.strip_prefix('r').and_then(number);
            let place = Place::Revision {
                release_id: release_id.clone(),
                revision: revision.ok_or_else(no_store)?,
            };
            Ok((place, rest))
        }
        _ => Err(no_store()),
    }
}

/// The read token that segments begin with, and what follows it.
fn token(segments: &[String]) -> Option<(&str, &[String])> {
    let (first, rest) = segments.split_first()?;
    let token = first.strip_prefix('~').filter(|_| first != VERSION_3)?;
    Some((token, rest))
}

fn no_store() -> ApiError {
    ApiError::gone("there is no such revision")
}

fn is_no_name(part: &str) -> bool {
    matches!(part, "" | "." | "..") || part.contains(['/', '\\', '\0'])
}

fn decode(segment: &str) -> Option<String> {
    percent_decode_str(segment)
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

/// A number as it is printed: digits, no sign, no leading zero.
fn number(text: &str) -> Option<i64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    canonical.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn revision(revision: i64) -> Place {
        Place::Revision {
            release_id: String::from("ab"),
            revision,
        }
    }

    fn file() -> Place {
        Place::File {
            id: String::from("cd"),
            etag: String::from("0x8\"/D"),
        }
    }

    #[rstest]
    #[case(
        "/api/zarr/ab/r1/.zmetadata",
        revision(1),
        None,
        Version::V2,
        ".zmetadata"
    )]
    #[case("/api/zarr/ab/r12/tas/0.0", revision(12), None, Version::V2, "tas/0.0")]
    #[case(
        "/api/zarr/ab/r1/air%20temperature/0",
        revision(1),
        None,
        Version::V2,
        "air temperature/0"
    )]
    #[case("/api/zarr/ab/r1/%2541/0", revision(1), None, Version::V2, "%41/0")]
    #[case("/api/zarr/ab/r1", revision(1), None, Version::V2, "")]
    #[case(
        "/api/zarr/ab/r1/~secret/tas/0",
        revision(1),
        Some("secret"),
        Version::V2,
        "tas/0"
    )]
    #[case(
        "/api/zarr/ab/r1/~secret",
        revision(1),
        Some("secret"),
        Version::V2,
        ""
    )]
    #[case(
        "/api/zarr/ab/r1/~v3/zarr.json",
        revision(1),
        None,
        Version::V3,
        "zarr.json"
    )]
    #[case(
        "/api/zarr/ab/r1/~v3/tas/c/0/1",
        revision(1),
        None,
        Version::V3,
        "tas/c/0/1"
    )]
    #[case(
        "/api/zarr/ab/r1/~secret/~v3/tas/c/0",
        revision(1),
        Some("secret"),
        Version::V3,
        "tas/c/0"
    )]
    #[case(
        "/api/zarr/files/cd/0x8%22%2FD/.zgroup",
        file(),
        None,
        Version::V2,
        ".zgroup"
    )]
    #[case(
        "/api/zarr/files/cd/0x8%22%2FD/~v3/zarr.json",
        file(),
        None,
        Version::V3,
        "zarr.json"
    )]
    fn an_address_is_read(
        #[case] path: &str,
        #[case] place: Place,
        #[case] token: Option<&str>,
        #[case] version: Version,
        #[case] key: &str,
    ) {
        let expected = Address {
            place,
            token: token.map(str::to_owned),
            version,
            key: key.to_owned(),
        };
        assert_eq!(Address::parse(path).unwrap(), expected);
    }

    #[rstest]
    #[case::up("/api/zarr/ab/r1/../x", 404)]
    #[case::encoded_up("/api/zarr/ab/r1/%2e%2e/x", 404)]
    #[case::encoded_slash("/api/zarr/ab/r1/a%2fb", 404)]
    #[case::empty_part("/api/zarr/ab/r1//x", 404)]
    #[case::not_utf8("/api/zarr/ab/r1/%ff", 404)]
    #[case::no_revision("/api/zarr/ab/tas", 410)]
    #[case::sign("/api/zarr/ab/r+1/x", 410)]
    #[case::leading_zero("/api/zarr/ab/r01/x", 410)]
    #[case::huge("/api/zarr/ab/r99999999999999999999/x", 410)]
    #[case::file_without_version("/api/zarr/files/cd", 410)]
    #[case::file_with_no_version("/api/zarr/files/cd//.zgroup", 410)]
    fn what_is_no_key_is_refused(#[case] path: &str, #[case] status: u16) {
        let error = Address::parse(path).unwrap_err();
        assert_eq!(error.into_answer().status().as_u16(), status);
    }
}
