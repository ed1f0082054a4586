//! The database of the ledger: whether it is there and lets us in, its schema, our rights, and room for all instances;
//! and pgSTAC in it. Or the SQLite file.

use std::path::Path;
use std::sync::Arc;

use super::Check;
use super::identity::{self, Who};
use crate::config::{AzureAccess, DatabaseConfig};
use crate::stores::identity::DatabaseLogin;
use crate::stores::ledger::{
    ConnectTrouble, Examined, FoundPgstac, LedgerError, PostgresLedger, Room, Schema, SqliteLedger,
    TokenSource,
};

const PART: &str = "database";

/// The oldest pgSTAC whose functions do as we expect.
const OLDEST_CATALOGUE: [u64; 3] = [0, 9, 8];

/// Rights that a message names before it only counts.
const NAMED: usize = 3;

pub(super) async fn check(config: &DatabaseConfig, file: Option<&Path>, who: &Who) -> Vec<Check> {
    let Some(url) = &config.url else {
        return file.map(embedded).into_iter().collect();
    };
    if config.by_identity && !who.has_token() {
        return vec![Check::failed(
            PART,
            "connection",
            "not tried: there is no token",
        )];
    }
    let ledger = match tokens(config).and_then(|tokens| {
        PostgresLedger::new(url, 1, tokens).map_err(|error| crate::pipeline::chain(&error))
    }) {
        Ok(ledger) => ledger,
        Err(error) => return vec![Check::failed(PART, "address", error)],
    };
    match ledger.examine().await {
        Ok(found) => tell(config, &found),
        Err(error) => vec![closed(config, &error)],
    }
}

fn tokens(config: &DatabaseConfig) -> Result<Option<Arc<dyn TokenSource>>, String> {
    if !config.by_identity {
        return Ok(None);
    }
    let access = AzureAccess::from_env().map_err(|error| format!("{error:#}"))?;
    let connection = identity::connect(&access)?;
    let Some(identity) = connection.identity() else {
        return Err(String::from(
            "LANDFALL_DATABASE_AUTH is `identity`, LANDFALL_CREDENTIAL is `anonymous`",
        ));
    };
    Ok(Some(Arc::new(DatabaseLogin(Arc::clone(identity)))))
}

/// The SQLite file, which the app makes and brings up to date by itself.
fn embedded(file: &Path) -> Check {
    let name = file.display().to_string();
    match SqliteLedger::look(file) {
        Ok(Some(version)) => Check::ok(PART, name, format!("can be written; version {version}")),
        Ok(None) => match file.parent().map(tempfile::tempfile_in) {
            Some(Err(error)) => Check::failed(PART, name, format!("cannot be made: {error}"))
                .cured_by("make its folder, and let the user of the app write it"),
            _ => Check::ok(PART, name, "is made when the app starts"),
        },
        Err(error) => Check::failed(PART, name, crate::pipeline::chain(&error))
            .cured_by("let the user of the app write the file and its folder"),
    }
}

/// A database that does not let us in.
fn closed(config: &DatabaseConfig, error: &LedgerError) -> Check {
    let remedy = match ConnectTrouble::of(error) {
        ConnectTrouble::Unreachable => {
            "are host and port right, and does its firewall let us in? az postgres flexible-server firewall-rule \
             create, or its private endpoint"
        }
        ConnectTrouble::Tls => {
            "name the authority that signed the server's certificate: LANDFALL_DATABASE_SSLROOTCERT; connect by the \
             name that is in it"
        }
        ConnectTrouble::Login if config.by_identity => {
            "an Entra administrator of the server has to make the role: SELECT * FROM \
             pgaadauth_create_principal('NAME', false, false), with NAME as LANDFALL_DATABASE_USER has it"
        }
        ConnectTrouble::Login => {
            "are LANDFALL_DATABASE_USER and its password right? pg_hba.conf has to let the role in from here"
        }
        ConnectTrouble::Token => "see `identity`",
        ConnectTrouble::NoDatabase => "CREATE DATABASE, then `landfall migrate`",
        ConnectTrouble::Full => {
            "all connections are taken: less LANDFALL_DATABASE_CONNECTIONS or instances, or a larger server"
        }
        ConnectTrouble::Other => "the server's log says more",
    };
    let check = Check::failed(PART, "connection", crate::pipeline::chain(error));
    check.cured_by(remedy)
}

fn tell(config: &DatabaseConfig, found: &Examined) -> Vec<Check> {
    let mut checks = vec![
        connection(found),
        schema(found.schema),
        rights(found),
        room(config, found.room),
    ];
    checks.push(catalogue(found));
    checks
}

fn connection(found: &Examined) -> Check {
    let Examined {
        server,
        role,
        database,
        tls,
        is_standby,
        ..
    } = found;
    let how = tls.as_ref().map_or("in the clear", String::as_str);
    let message = format!("PostgreSQL {server}, database {database}, as {role}, {how}");
    match is_standby {
        true => Check::failed(
            PART,
            "connection",
            format!("{message}: a standby, which takes no writes"),
        )
        .cured_by("name the primary server"),
        false => Check::ok(PART, "connection", message),
    }
}

fn schema(Schema { found, needed }: Schema) -> Check {
    match found {
        Some(found) if found < needed => {
            let message = format!("is version {found}, this program needs {needed}");
            Check::failed(PART, "schema", message).cured_by("landfall migrate")
        }
        Some(found) if found > needed => {
            let message = format!("is version {found}, this program knows {needed}");
            Check::warning(PART, "schema", message).cured_by("deploy the newer program")
        }
        Some(found) => Check::ok(PART, "schema", format!("is version {found}")),
        None => Check::failed(PART, "schema", "we may not look at it"),
    }
}

fn rights(found: &Examined) -> Check {
    let lacking = &found.lacking;
    if lacking.is_empty() {
        return Check::ok(PART, "rights", "all that the app needs");
    }
    let named: Vec<&str> = lacking.iter().take(NAMED).map(String::as_str).collect();
    let more = match lacking.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!("{} lacks {}{more}", found.role, named.join(", "));
    let remedy = format!("landfall migrate --grant-to {}", found.role);
    Check::failed(PART, "rights", message).cured_by(remedy)
}

/// Whether the connections of all instances fit.
fn room(config: &DatabaseConfig, room: Room) -> Check {
    let each = i64::try_from(config.connections).unwrap_or(i64::MAX);
    let ours = room.ours();
    let fit = ours / each.max(1);
    let there = format!(
        "{ours} of {} connections are left to the app, {each} an instance",
        room.server
    );
    let Some(instances) = config.instances else {
        let message = format!("{there}: {fit} instances at most");
        return match fit {
            0 => Check::failed(PART, "room", message).cured_by(FEWER),
            _ => Check::ok(
                PART,
                "room",
                format!("{message} (LANDFALL_INSTANCES is not set)"),
            ),
        };
    };
    match usize::try_from(fit).is_ok_and(|fit| fit >= instances) {
        true => Check::ok(
            PART,
            "room",
            format!("{there}: enough for {instances} instances"),
        ),
        false => Check::failed(
            PART,
            "room",
            format!("{there}: too few for {instances} instances"),
        )
        .cured_by(FEWER),
    }
}

const FEWER: &str =
    "lower LANDFALL_DATABASE_CONNECTIONS or the maximum instance count, or raise max_connections";

fn catalogue(found: &Examined) -> Check {
    const PGSTAC: &str = "pgstac";
    let Some(FoundPgstac {
        version,
        is_writable,
    }) = &found.catalogue
    else {
        return Check::warning(
            PGSTAC,
            "schema",
            "is not in the database: Releases can be approved, but are not catalogued until `landfall approve --rematerialize`",
        )
        .cured_by("pypgstac migrate, then landfall migrate --grant-to ROLE");
    };
    if let Some(version) = version
        && parsed(version) < OLDEST_CATALOGUE.to_vec()
    {
        let message = format!("is version {version}, 0.9.8 or newer is needed");
        return Check::failed(PGSTAC, "schema", message).cured_by("pypgstac migrate");
    }
    if !is_writable {
        let role = &found.role;
        let message = format!("{role} may not write items: it is no member of pgstac_ingest");
        return Check::failed(PGSTAC, "rights", message)
            .cured_by(format!("landfall migrate --grant-to {role}"));
    }
    let version = version.as_deref().unwrap_or("that it does not tell");
    Check::ok(
        PGSTAC,
        "schema",
        format!("is version {version} and can be written"),
    )
}

/// The numbers of a version such as `0.9.8-dev`.
fn parsed(version: &str) -> Vec<u64> {
    let numbers = version.split(|c: char| !c.is_ascii_digit());
    numbers.map_while(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::doctor::State;

    fn config(connections: usize, instances: Option<usize>) -> DatabaseConfig {
        DatabaseConfig {
            url: None,
            by_identity: false,
            connections,
            instances,
        }
    }

    // 100 connections, 3 of them kept, 17 taken: 80 are left.
    #[rstest]
    #[case::fits(4, Some(20), State::Ok, "enough for 20 instances")]
    #[case::one_too_many(4, Some(21), State::Failed, "too few for 21 instances")]
    #[case::not_said(4, None, State::Ok, "20 instances at most")]
    #[case::not_even_one(81, None, State::Failed, "0 instances at most")]
    fn connections_times_instances_have_to_fit(
        #[case] connections: usize,
        #[case] instances: Option<usize>,
        #[case] state: State,
        #[case] part: &str,
    ) {
        let there = Room {
            server: 100,
            kept: 3,
            others: 17,
            limit: None,
        };
        let check = room(&config(connections, instances), there);
        assert_eq!(check.state, state);
        assert!(check.message.contains(part), "{}", check.message);
    }

    #[rstest]
    #[case::current(Some(2), State::Ok)]
    #[case::newer(Some(3), State::Warning)]
    #[case::older(Some(1), State::Failed)]
    #[case::hidden(None, State::Failed)]
    fn a_schema_has_to_be_recent(#[case] found: Option<i64>, #[case] state: State) {
        assert_eq!(schema(Schema { found, needed: 2 }).state, state);
    }

    #[rstest]
    #[case("0.9.7", true)]
    #[case("0.9.8", false)]
    #[case("0.10.0", false)]
    #[case("0.9.8-dev", false)]
    #[case("1.0", false)]
    fn old_catalogues_are_told(#[case] version: &str, #[case] is_old: bool) {
        assert_eq!(parsed(version) < OLDEST_CATALOGUE.to_vec(), is_old);
    }

    #[test]
    fn a_file_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let check = embedded(&folder.path().join("landfall.db"));
        assert_eq!(check.state, State::Ok);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let check = embedded(&folder.path().join("nowhere/landfall.db"));
        assert_eq!(check.state, State::Failed);
        std::fs::write(folder.path().join("other.db"), "no database").unwrap();
        assert_eq!(
            embedded(&folder.path().join("other.db")).state,
            State::Failed
        );
    }
}
