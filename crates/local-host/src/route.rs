//! HTTP route templates as ASP.NET writes them: `items/{id}`, `{id?}`, `{*rest}`. A request goes to the most specific
//! route that matches: segment by segment a literal beats a parameter and a parameter beats a catch-all.

use percent_encoding::percent_decode_str;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter,
    Optional,
    CatchAll,
}

impl Route {
    /// Parses a template.
    ///
    /// # Errors
    /// A sentence about what this host does not do: constraints, mixed segments, a catch-all that is not last.
    pub fn parse(template: &str) -> Result<Self, String> {
        let segments: Vec<Segment> = split(template)
            .map(|text| {
                parse_segment(text)
                    .ok_or_else(|| format!("route `{template}`: `{text}` is not supported"))
            })
            .collect::<Result<_, _>>()?;
        let early = |s: &Segment| matches!(s, Segment::CatchAll | Segment::Optional);
        match segments.split_last() {
            Some((_, before)) if before.iter().any(early) => Err(format!(
                "route `{template}`: an optional parameter or catch-all must come last"
            )),
            _ => Ok(Self { segments }),
        }
    }

    /// Whether the path below the prefix, as sent, matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut parts = split(path);
        for segment in &self.segments {
            match (segment, parts.next()) {
                (Segment::CatchAll, _) => return true,
                (Segment::Optional, None) => {}
                (Segment::Parameter | Segment::Optional, Some(_)) => {}
                (Segment::Literal(literal), Some(part)) if same(literal, part) => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }

    /// A key by which the most specific of several matching routes comes first.
    #[must_use]
    pub fn precedence(&self) -> Vec<u8> {
        let rank = |segment: &Segment| match segment {
            Segment::Literal(_) => 1,
            Segment::Parameter | Segment::Optional => 2,
            Segment::CatchAll => 3,
        };
        // The end of a template is more specific than a catch-all or an optional that matched nothing.
        self.segments.iter().map(rank).chain([0]).collect()
    }
}

fn split(path: &str) -> impl Iterator<Item = &str> {
    path.trim_matches('/')
        .split('/')
        .filter(|part| !part.is_empty())
}

fn same(literal: &str, part: &str) -> bool {
    percent_decode_str(part)
        .decode_utf8_lossy()
        .eq_ignore_ascii_case(literal)
}

fn parse_segment(text: &str) -> Option<Segment> {
    let Some(inner) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) else {
        return (!text.contains(['{', '}'])).then(|| Segment::Literal(text.to_owned()));
    };
    let named = |name: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !name.is_empty() && name.chars().all(legal)
    };
    if let Some(name) = inner.strip_prefix('*') {
        let name = name.trim_start_matches('*');
        return named(name.strip_suffix('?').unwrap_or(name)).then_some(Segment::CatchAll);
    }
    match inner.strip_suffix('?') {
        Some(name) => named(name).then_some(Segment::Optional),
        None => named(inner).then_some(Segment::Parameter),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("livez", "/livez", true)]
    #[case("livez", "/LiveZ/", true)]
    #[case("livez", "/livez/x", false)]
    #[case("items/{id}", "items/a%20b", true)]
    #[case("items/{id}", "items", false)]
    #[case("items/{id?}", "items", true)]
    #[case("items/{id?}", "items/1/2", false)]
    #[case("zarr/{*key}", "zarr/rel/r1/t/0.0.0", true)]
    #[case("zarr/{*key}", "zarr", true)]
    #[case("zarr/{*key?}", "zarr", true)]
    #[case("zarr/{*key}", "zarrs/x", false)]
    #[case("{*path}", "", true)]
    #[case("caf\u{e9}", "caf%C3%A9", true)]
    fn templates_match_as_aspnet_does(
        #[case] template: &str,
        #[case] path: &str,
        #[case] matches: bool,
    ) {
        assert_eq!(Route::parse(template).unwrap().matches(path), matches);
    }

    #[rstest]
    #[case("zarr/{*key}", "{*path}")]
    #[case("zarr/files", "zarr/{*key}")]
    #[case("{a}/b", "{a}/{b}")]
    #[case("a/{b}/c", "a/{*rest}")]
    #[case("zarr", "zarr/{*key}")]
    fn the_first_is_the_more_specific(#[case] first: &str, #[case] second: &str) {
        let precedence = |template| Route::parse(template).unwrap().precedence();
        assert!(precedence(first) < precedence(second));
    }

    #[rstest]
    #[case("{id:int}")]
    #[case("x{id}")]
    #[case("{*rest}/x")]
    #[case("{}")]
    fn what_is_not_done_is_refused(#[case] template: &str) {
        assert!(Route::parse(template).is_err());
    }
}
