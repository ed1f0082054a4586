//! Access keys: the header `x-functions-key` or the query's `code`, as in Azure.

use hyper::Request;

use super::{header, query_value};

/// The keys of a host.
#[derive(Clone)]
pub struct HostKeys {
    /// Opens everything.
    pub master: String,
    /// Opens HTTP functions of level `function`.
    pub function: String,
    /// Opens Event Grid's webhook.
    pub event_grid: String,
}

// Keys do not belong in logs.
impl std::fmt::Debug for HostKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostKeys").finish_non_exhaustive()
    }
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    Nothing,
    Function,
    EventGrid,
    Master,
}

/// Whether a request has the key it needs; without keys everything is open.
pub(super) fn is_allowed<B>(keys: Option<&HostKeys>, needed: Needed, request: &Request<B>) -> bool {
    let Some(keys) = keys else {
        return true;
    };
    let second = match needed {
        Needed::Nothing => return true,
        Needed::Function => &keys.function,
        Needed::EventGrid => &keys.event_grid,
        Needed::Master => &keys.master,
    };
    let given = header(request, "x-functions-key").or_else(|| query_value(request, "code"));
    given.is_some_and(|key| key == keys.master || key == *second)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::anonymous(Needed::Nothing, "/x", None, true)]
    #[case::no_key(Needed::Function, "/x", None, false)]
    #[case::in_the_header(Needed::Function, "/x", Some("f"), true)]
    #[case::in_the_query(Needed::Function, "/x?a=1&code=f", None, true)]
    #[case::encoded(Needed::EventGrid, "/x?code=%65%3D", None, true)]
    #[case::wrong(Needed::Function, "/x?code=e=", None, false)]
    #[case::master_opens_all(Needed::EventGrid, "/x", Some("m"), true)]
    #[case::function_key_is_not_master(Needed::Master, "/x", Some("f"), false)]
    fn keys_open_what_they_are_for(
        #[case] needed: Needed,
        #[case] uri: &str,
        #[case] key: Option<&str>,
        #[case] allowed: bool,
    ) {
        let keys = HostKeys {
            master: "m".to_owned(),
            function: "f".to_owned(),
            event_grid: "e=".to_owned(),
        };
        let mut request = Request::builder().uri(uri);
        if let Some(key) = key {
            request = request.header("x-functions-key", key);
        }
        let request = request.body(()).unwrap();
        assert_eq!(is_allowed(Some(&keys), needed, &request), allowed);
        assert!(is_allowed(None, needed, &request));
    }
}
