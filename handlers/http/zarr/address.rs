//! The address of a key: `/api/zarr/{release_id}/r{revision}[/~{token}]/{key}`.

use percent_encoding::percent_decode_str;

use crate::http::error::ApiError;

/// Which key of which revision is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) release_id: String,
    pub(super) revision: i64,
    /// Decoded, without a leading slash.
    pub(super) key: String,
}

impl Address {
    /// Reads a path as it stands in the request; each segment is decoded once.
    ///
    /// # Errors
    ///
    /// 404 where a store has no such key whatever it holds, 410 where there can be no such revision.
    pub(super) fn parse(path: &str) -> Result<Self, ApiError> {
        let rest = path.strip_prefix("/api/zarr/").unwrap_or_default();
        let segments = rest.split('/').map(decode).collect::<Option<Vec<_>>>();
        let segments = segments.ok_or_else(|| ApiError::not_found("the key is not UTF-8"))?;
        let no_revision = || ApiError::gone("there is no such revision");
        let [release_id, revision, key @ ..] = segments.as_slice() else {
            return Err(no_revision());
        };
        let revision = revision
            .strip_prefix('r')
            .and_then(number)
            .ok_or_else(no_revision)?;
        let key = match key {
            [token, key @ ..] if token.starts_with('~') => key,
            key => key,
        };
        if key.iter().any(|part| {
            matches!(part.as_str(), "" | "." | "..") || part.contains(['/', '\\', '\0'])
        }) {
            return Err(ApiError::not_found("there is no such key"));
        }
        Ok(Self {
            release_id: release_id.clone(),
            revision,
            key: key.join("/"),
        })
    }
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

    #[rstest]
    #[case("/api/zarr/ab/r1/.zmetadata", "ab", 1, ".zmetadata")]
    #[case("/api/zarr/ab/r12/tas/0.0", "ab", 12, "tas/0.0")]
    #[case("/api/zarr/ab/r1/air%20temperature/0", "ab", 1, "air temperature/0")]
    #[case("/api/zarr/ab/r1/%2541/0", "ab", 1, "%41/0")]
    #[case("/api/zarr/ab/r1/~secret/tas/0", "ab", 1, "tas/0")]
    #[case("/api/zarr/ab/r1", "ab", 1, "")]
    fn an_address_is_read(
        #[case] path: &str,
        #[case] release: &str,
        #[case] revision: i64,
        #[case] key: &str,
    ) {
        let address = Address::parse(path).unwrap();
        assert_eq!(
            (
                address.release_id.as_str(),
                address.revision,
                address.key.as_str()
            ),
            (release, revision, key)
        );
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
    fn what_is_no_key_is_refused(#[case] path: &str, #[case] status: u16) {
        let error = Address::parse(path).unwrap_err();
        assert_eq!(error.into_answer().status().as_u16(), status);
    }
}
