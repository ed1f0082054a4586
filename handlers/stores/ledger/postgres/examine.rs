//! What a database is like for the app, without changing anything in it.

use deadpool::managed::PoolError;
use tokio_postgres::error::SqlState;

use super::connect::ConnectError;
use super::database::{Client, Parameters, one, rows};
use super::migrate::{self, NEEDED};
use super::values::{flag, int, optional_text, text};
use crate::stores::ledger::LedgerError;

/// Tables of the platform that the app works with.
const PLATFORM: [&str; 7] = [
    "platforms",
    "assets",
    "jobs",
    "tasks",
    "asset_releases",
    "api_requests",
    "release_audit",
];

/// A database.
#[derive(Debug, Clone)]
pub struct Examined {
    /// Version of the server.
    pub server: String,
    /// The role that we are.
    pub role: String,
    /// Its name.
    pub database: String,
    /// Version of TLS; `None` for a connection in the clear.
    pub tls: Option<String>,
    /// Whether nothing can be written: a standby.
    pub is_standby: bool,
    /// Our schema.
    pub schema: Schema,
    /// What we may not do but need to, such as `INSERT on landfall.source_file`.
    pub lacking: Vec<String>,
    /// How many connections there may be.
    pub room: Room,
    /// pgSTAC; `None` where it is not set up.
    pub catalogue: Option<FoundPgstac>,
}

/// A version of our schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// What is there; 0 before the first migration, `None` if we may not look.
    pub found: Option<i64>,
    /// What this program needs.
    pub needed: i64,
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// `max_connections` of the server.
    pub server: i64,
    /// Of those, what it keeps for its superusers.
    pub kept: i64,
    /// Connections of others at the moment.
    pub others: i64,
    /// The least of the limits of the role and of the database, if they have any.
    pub limit: Option<i64>,
}

impl Room {
    /// Connections that are left to the app, all of its instances together.
    pub fn ours(&self) -> i64 {
        let left = self.server - self.kept - self.others;
        self.limit.map_or(left, |limit| limit.min(left)).max(0)
    }
}

/// pgSTAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPgstac {
    /// Its version, if we may read it.
    pub version: Option<String>,
    /// Whether we may write items and collections.
    pub is_writable: bool,
}

/// What can be done about a database that does not let us in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectTrouble {
    /// Nobody answers at the address.
    Unreachable,
    /// The certificate is not trusted, or TLS is not spoken.
    Tls,
    /// The role or its password is not taken.
    Login,
    /// The identity gives no token.
    Token,
    /// There is no such database.
    NoDatabase,
    /// All connections are taken.
    Full,
    /// Something else.
    Other,
}

impl ConnectTrouble {
    /// What is behind an error.
    pub fn of(error: &LedgerError) -> Self {
        let LedgerError::Unavailable(source) = error else {
            return Self::Other;
        };
        if let Some(PoolError::Backend(ConnectError::Token(_))) =
            source.downcast_ref::<PoolError<ConnectError>>()
        {
            return Self::Token;
        }
        if let Some(PoolError::Timeout(_)) = source.downcast_ref::<PoolError<ConnectError>>() {
            return Self::Unreachable;
        }
        match source.downcast_ref::<tokio_postgres::Error>() {
            Some(error) => Self::of_answer(error),
            None => Self::Other,
        }
    }

    fn of_answer(error: &tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                Self::Login
            }
            Some(&SqlState::INVALID_CATALOG_NAME) => Self::NoDatabase,
            Some(&SqlState::TOO_MANY_CONNECTIONS) => Self::Full,
            Some(_) => Self::Other,
            None => {
                let chain = crate::pipeline::chain(error);
                match chain.contains("TLS") || chain.contains("certificate") {
                    true => Self::Tls,
                    false => Self::Unreachable,
                }
            }
        }
    }
}

pub(super) async fn examine(client: &Client) -> Result<Examined, LedgerError> {
    let found = one(client, ABOUT, &[]).await?;
    let limits = [int(&found, "role_limit")?, int(&found, "database_limit")?];
    let catalogue = match flag(&found, "has_catalogue")? {
        true => Some(catalogue(client).await?),
        false => None,
    };
    Ok(Examined {
        server: text(&found, "server")?,
        role: text(&found, "role")?,
        database: text(&found, "database")?,
        tls: optional_text(&found, "tls")?,
        is_standby: flag(&found, "is_standby")?,
        schema: Schema {
            found: schema(client).await?,
            needed: NEEDED,
        },
        lacking: lacking(client).await?,
        room: Room {
            server: int(&found, "most")?,
            kept: int(&found, "kept")?,
            others: int(&found, "others")?,
            limit: limits.into_iter().filter(|limit| *limit >= 0).min(),
        },
        catalogue,
    })
}

/// The server and our place in it. Of other roles' sessions an ordinary role sees that they are there.
const ABOUT: &str = "
    SELECT current_user::text AS role, current_database()::text AS database,
           current_setting('server_version') AS server,
           current_setting('max_connections')::bigint AS most,
           current_setting('superuser_reserved_connections')::bigint
               + coalesce(current_setting('reserved_connections', true), '0')::bigint AS kept,
           (SELECT count(*) FROM pg_stat_activity
             WHERE datid IS NOT NULL AND usename IS DISTINCT FROM current_user) AS others,
           (SELECT rolconnlimit::bigint FROM pg_roles WHERE rolname = current_user) AS role_limit,
           (SELECT datconnlimit::bigint FROM pg_database WHERE datname = current_database()) AS database_limit,
           (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl) AS tls,
           pg_is_in_recovery() AS is_standby,
           to_regnamespace('pgstac') IS NOT NULL AS has_catalogue";

async fn schema(client: &Client) -> Result<Option<i64>, LedgerError> {
    match migrate::check_schema(client).await {
        Ok(found) | Err(LedgerError::SchemaTooOld { found, .. }) => Ok(Some(found)),
        Err(LedgerError::Unavailable(error)) if is_denied(error.as_ref()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_denied(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let error = error.downcast_ref::<tokio_postgres::Error>();
    error.and_then(tokio_postgres::Error::code) == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
}

/// What `landfall migrate --grant-to` would give us.
async fn lacking(client: &Client) -> Result<Vec<String>, LedgerError> {
    let sql = "SELECT right_ || ' on ' || name AS lacking FROM (
                   SELECT 'USAGE' AS right_, 'schema ' || nspname AS name FROM pg_namespace
                   WHERE nspname IN ('app', 'landfall') AND NOT has_schema_privilege(oid, 'USAGE')
                   UNION ALL
                   SELECT right_, n.nspname || '.' || c.relname
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS right_
                   WHERE c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, right_)
                     AND (n.nspname = 'landfall' OR n.nspname = 'app' AND c.relname = ANY ($1))
               ) AS all_of_it ORDER BY 1";
    let parameters: Parameters<'_> = &[&PLATFORM.as_slice()];
    let found = rows(client, sql, parameters).await?;
    found.iter().map(|row| text(row, "lacking")).collect()
}

async fn catalogue(client: &Client) -> Result<FoundPgstac, LedgerError> {
    let sql = "SELECT has_schema_privilege('pgstac', 'USAGE')
                      AND coalesce(pg_has_role(to_regrole('pgstac_ingest'), 'USAGE'), false) AS is_writable,
                      has_schema_privilege('pgstac', 'USAGE')
                      AND to_regprocedure('pgstac.get_version()') IS NOT NULL AS tells_version";
    let found = one(client, sql, &[]).await?;
    let version = match flag(&found, "tells_version")? {
        true => {
            let sql = "SELECT pgstac.get_version() AS version";
            let told = one(client, sql, &[]).await;
            told.ok()
                .and_then(|row| optional_text(&row, "version").ok()?)
        }
        false => None,
    };
    Ok(FoundPgstac {
        version,
        is_writable: flag(&found, "is_writable")?,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plenty(100, 3, 10, None, 87)]
    #[case::the_role_has_less(100, 3, 10, Some(20), 20)]
    #[case::its_limit_does_not_help(100, 3, 95, Some(20), 2)]
    #[case::over(100, 3, 99, None, 0)]
    fn what_is_left_is_ours(
        #[case] server: i64,
        #[case] kept: i64,
        #[case] others: i64,
        #[case] limit: Option<i64>,
        #[case] ours: i64,
    ) {
        let room = Room {
            server,
            kept,
            others,
            limit,
        };
        assert_eq!(room.ours(), ours);
    }
}
