//! Which database holds the ledger.

use anyhow::{Result, bail};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may stand in a part of a URL as it is.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// The PostgreSQL database that holds the ledger; without one it is in the SQLite file.
///
/// Its address is `LANDFALL_DATABASE_URL` or its parts: `LANDFALL_DATABASE_HOST`, `_PORT` (5432), `_NAME`
/// (`landfall`), `_USER`, `_PASSWORD`, `_SSLMODE` and `_SSLROOTCERT`.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// Address as `postgresql://user:password@host:port/name?sslmode=…`. TLS always proves the server's certificate
    /// and name; without `sslmode` it is asked for, but on this machine.
    pub url: Option<String>,
    /// Whether connections log in with a token of the app's identity, from `LANDFALL_DATABASE_AUTH` (`password`, the
    /// default, or `identity`).
    pub by_identity: bool,
    /// Most connections of one instance, from `LANDFALL_DATABASE_CONNECTIONS` (default 4). Times the number of
    /// instances it has to stay below the server's `max_connections`.
    pub connections: usize,
    /// Most instances that the app has at a time, from `LANDFALL_INSTANCES`: what the deployment lets it scale to.
    pub instances: Option<usize>,
}

/// Says nothing of the address: it may hold a password.
impl std::fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseConfig")
            .field("is_postgres", &self.url.is_some())
            .field("by_identity", &self.by_identity)
            .field("connections", &self.connections)
            .field("instances", &self.instances)
            .finish()
    }
}

impl DatabaseConfig {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// Names the variable that cannot be read.
    pub fn from_env() -> Result<Self> {
        Self::read(super::optional)
    }

    /// Reads settings by their names; empty ones are not there.
    ///
    /// # Errors
    ///
    /// Names the setting that cannot be read.
    pub fn read(setting: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let setting = |name: &str| setting(name).filter(|value| !value.is_empty());
        let by_identity = match setting("LANDFALL_DATABASE_AUTH").as_deref() {
            None | Some("password") => false,
            Some("identity") => true,
            Some(other) => {
                bail!("LANDFALL_DATABASE_AUTH is `{other}`, not `password` or `identity`")
            }
        };
        let count = |name: &str| match setting(name) {
            Some(text) => match text.parse().ok().filter(|count| *count > 0) {
                Some(count) => Ok(Some(count)),
                None => bail!("{name} is not a count"),
            },
            None => Ok(None),
        };
        let connections = count("LANDFALL_DATABASE_CONNECTIONS")?.unwrap_or(4);
        let instances = count("LANDFALL_INSTANCES")?;
        let url = match (setting("LANDFALL_DATABASE_URL"), from_parts(setting)) {
            (Some(_), Some(_)) => {
                bail!(
                    "LANDFALL_DATABASE_URL and LANDFALL_DATABASE_HOST are both set: one is enough"
                )
            }
            (url, parts) => url.or(parts),
        };
        Ok(Self {
            url,
            by_identity,
            connections,
            instances,
        })
    }
}

fn from_parts(setting: impl Fn(&str) -> Option<String>) -> Option<String> {
    let part = |name: &str| {
        let value = setting(&format!("LANDFALL_DATABASE_{name}"))?;
        Some(utf8_percent_encode(&value, PART).to_string())
    };
    let host = part("HOST")?;
    let user = match (part("USER"), part("PASSWORD")) {
        (Some(user), Some(password)) => format!("{user}:{password}@"),
        (Some(user), None) => format!("{user}@"),
        (None, _) => String::new(),
    };
    let port = part("PORT").unwrap_or_else(|| String::from("5432"));
    let name = part("NAME").unwrap_or_else(|| String::from("landfall"));
    let security = [
        ("sslmode", part("SSLMODE")),
        ("sslrootcert", part("SSLROOTCERT")),
    ];
    let query: Vec<String> = security
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value?)))
        .collect();
    let query = if query.is_empty() {
        String::new()
    } else {
        format!("?{}", query.join("&"))
    };
    Some(format!("postgresql://{user}{host}:{port}/{name}{query}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<DatabaseConfig> {
        DatabaseConfig::read(|name| {
            let name = name.strip_prefix("LANDFALL_DATABASE_")?;
            let found = settings.iter().find(|(key, _)| *key == name)?;
            Some(found.1.to_owned())
        })
    }

    #[rstest]
    #[case::sqlite(&[], None)]
    #[case::whole(&[("URL", "postgresql://u@h/d")], Some("postgresql://u@h/d"))]
    #[case::host_alone(&[("HOST", "db")], Some("postgresql://db:5432/landfall"))]
    #[case::parts(
        &[("HOST", "db.example.org"), ("PORT", "6432"), ("NAME", "platform"), ("USER", "a@b"), ("PASSWORD", "p/?:w"),
          ("SSLMODE", "verify-full"), ("SSLROOTCERT", "/etc/ca.pem")],
        Some("postgresql://a%40b:p%2F%3F%3Aw@db.example.org:6432/platform?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem")
    )]
    #[case::socket(&[("HOST", "/run/postgresql"), ("USER", "u")], Some("postgresql://u@%2Frun%2Fpostgresql:5432/landfall"))]
    fn the_address_is_one_url(#[case] settings: &[(&str, &str)], #[case] url: Option<&str>) {
        let config = read(settings).unwrap();
        assert_eq!(config.url.as_deref(), url);
        assert_eq!((config.by_identity, config.connections), (false, 4));
    }

    #[rstest]
    #[case::both(&[("URL", "postgresql://h/d"), ("HOST", "h")], "LANDFALL_DATABASE_HOST")]
    #[case::no_count(&[("CONNECTIONS", "0")], "LANDFALL_DATABASE_CONNECTIONS")]
    #[case::unknown(&[("AUTH", "magic")], "LANDFALL_DATABASE_AUTH")]
    fn what_cannot_be_read_is_named(#[case] settings: &[(&str, &str)], #[case] named: &str) {
        let error = read(settings).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }

    #[test]
    fn passwords_are_not_shown() {
        let config = read(&[("URL", "postgresql://u:secret@h/d")]).unwrap();
        assert!(!format!("{config:?}").contains("secret"));
    }
}
