//! `landfall doctor` and the probes: what keeps an installation from working is named, with its remedy.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use rstest::rstest;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use crate::support::azurite::{BRONZE, SILVER, azurite};
use crate::support::pgstac::with_pgstac;
use crate::support::postgres::cluster;
use crate::support::serve::{Handler, Settings, clean, folders, in_azure, migrated, runtime};
use crate::support::{fixture, landfall, repository};

/// The exit code of a `doctor`, its checks and the last line, which sums them up.
fn doctor(settings: &Settings, arguments: &[&str]) -> (i32, Vec<Value>, Value) {
    let mut command = clean(settings);
    command.args(["doctor", "--json"]).args(arguments);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let sum = lines.pop().unwrap();
    (output.status.code().unwrap(), lines, sum)
}

/// The checks of a part.
fn of<'a>(checks: &'a [Value], part: &str) -> Vec<&'a Value> {
    checks
        .iter()
        .filter(|check| check["part"] == part)
        .collect()
}

/// The checks that are not well, as `part name`.
fn unwell(checks: &[Value]) -> Vec<String> {
    let unwell = checks.iter().filter(|check| check["state"] != "ok");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    unwell
        .map(|check| format!("{} {}", text(&check["part"]), text(&check["name"])))
        .collect()
}

/// A folder with what `just stage` lays out.
fn staged() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(
        repository().join("host.json"),
        folder.path().join("host.json"),
    )
    .unwrap();
    std::fs::write(folder.path().join("landfall"), "").unwrap();
    for entry in std::fs::read_dir(repository().join("function-definitions")).unwrap() {
        let entry = entry.unwrap();
        let target = folder.path().join(entry.file_name());
        std::fs::create_dir(&target).unwrap();
        let file = "function.json";
        std::fs::copy(entry.path().join(file), target.join(file)).unwrap();
    }
    folder
}

#[test]
fn an_installation_that_works_is_left_as_it_was() {
    let (azurite, runtime, app) = (azurite(), runtime(), staged());
    let (_, url) = migrated();
    runtime.block_on(async {
        azurite.make_container(BRONZE, "doctor").await;
        let bytes = std::fs::read(fixture("classic/cdf1.nc")).unwrap();
        azurite.put(BRONZE, "doctor/a.nc", bytes).await;
        for container in ["doctor-silver", "doctor-letters"] {
            azurite.make_container(SILVER, container).await;
        }
        for queue in ["reference-due", "combine-due"] {
            azurite.make_queue(SILVER, queue).await;
        }
    });
    let settings = in_azure(azurite, "doctor", &url);
    let folder = app.path().display().to_string();
    let (code, checks, sum) = doctor(&settings, &["--app", &folder]);
    // The token of a test speaks for nobody, and PostgreSQL has no pgSTAC here.
    assert_eq!(unwell(&checks), ["pgstac schema"], "{checks:#?}");
    assert_eq!((code, &sum["state"]), (0, &json!("warning")));
    assert_eq!(sum["failed"], 0);
    for (part, count) in [
        ("bronze", 1),
        ("silver", 1),
        ("dead letters", 1),
        ("queue", 4),
        ("database", 4),
        ("decoder", 1),
        ("identity", 1),
    ] {
        assert_eq!(of(&checks, part).len(), count, "{part}: {checks:#?}");
    }
    let room = of(&checks, "database");
    let room = room.iter().find(|check| check["name"] == "room").unwrap();
    let message = room["message"].as_str().unwrap();
    assert!(message.contains("enough for 3 instances"), "{message}");
    runtime.block_on(async {
        for container in ["doctor-silver", "doctor-letters"] {
            let left = azurite.list(SILVER, container).await;
            assert!(left.is_empty(), "{left:?}");
        }
    });
}

#[test]
fn what_was_not_made_is_named_with_the_command_that_makes_it() {
    let azurite = azurite();
    runtime().block_on(azurite.make_container(BRONZE, "undone"));
    let mut settings = in_azure(azurite, "undone", "postgresql://nobody@127.0.0.1:9/nothing");
    // No queue of this account was made.
    settings.insert("LANDFALL_QUEUE_ACCOUNT", BRONZE.to_owned());
    settings.remove("LANDFALL_DEAD_LETTERS");
    let (code, checks, sum) = doctor(&settings, &[]);
    assert_eq!((code, &sum["state"]), (1, &json!("failed")));
    let remedy = |part: &str, name: &str| {
        let found = of(&checks, part);
        let found = found.iter().find(|check| check["name"] == name);
        let found = found.unwrap_or_else(|| panic!("{part} {name}: {checks:#?}"));
        assert_eq!(found["state"], "failed", "{found}");
        found["remedy"].as_str().unwrap().to_owned()
    };
    let silver = remedy("silver", &format!("{SILVER}/undone-silver"));
    assert!(
        silver.contains(
            "az storage container create --account-name silveraccount --name undone-silver"
        )
    );
    let queue = remedy("queue", &format!("{BRONZE}/reference-due"));
    assert!(queue.contains("az storage queue create"), "{queue}");
    let database = remedy("database", "connection");
    assert!(database.contains("firewall"), "{database}");
    assert_eq!(of(&checks, "bronze")[0]["state"], "ok", "{checks:#?}");
}

/// A storage service that refuses everybody for want of a role, over https and by OAuth.
fn refusing() -> (String, tempfile::TempDir, Arc<Mutex<Vec<String>>>) {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec![String::from("localhost"), String::from("127.0.0.1")];
    let certificate = rcgen::CertificateParams::new(names).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (config, seen) = (Arc::new(config), Arc::clone(&asked));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (config, seen) = (Arc::clone(&config), Arc::clone(&seen));
            std::thread::spawn(move || {
                let connection = rustls::ServerConnection::new(config).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream);
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                seen.lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&head).into_owned());
                let answer = "HTTP/1.1 403 Forbidden\r\nx-ms-error-code: AuthorizationPermissionMismatch\r\n\
                              Content-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(answer.as_bytes()).ok();
                stream.conn.send_close_notify();
                stream.flush().ok();
            });
        }
    });
    (
        format!("https://127.0.0.1:{port}/{{account}}"),
        folder,
        asked,
    )
}

/// A token that says whom it speaks for.
fn token_of(object: &str) -> String {
    let encode = |text: &Value| azure_core::base64::encode_url_safe(text.to_string());
    let claims = json!({"oid": object, "idtyp": "app", "appid": "landfall-app", "tid": "7e4a", "exp": 4_102_444_800_i64});
    format!(
        "{}.{}.c2ln",
        encode(&json!({"alg": "none"})),
        encode(&claims)
    )
}

#[test]
fn who_lacks_a_role_learns_the_very_assignment() {
    let (endpoint, folder, asked) = refusing();
    let object = "11111111-2222-3333-4444-555555555555";
    std::fs::write(folder.path().join("token"), token_of(object)).unwrap();
    let mut settings = in_azure(
        azurite(),
        "roles",
        "postgresql://nobody@127.0.0.1:9/nothing",
    );
    let file = |name: &str| folder.path().join(name).display().to_string();
    settings.insert("LANDFALL_BLOB_ENDPOINT", endpoint.clone());
    settings.insert("LANDFALL_QUEUE_ENDPOINT", endpoint);
    settings.insert("LANDFALL_TOKEN_FILE", file("token"));
    settings.insert("SSL_CERT_FILE", file("ca.pem"));
    let (code, checks, _) = doctor(&settings, &[]);
    assert_eq!(code, 1);
    let identity = of(&checks, "identity")[0];
    assert_eq!(identity["state"], "ok", "{identity}");
    let message = identity["message"].as_str().unwrap();
    assert!(
        message.contains(object) && message.contains("landfall-app"),
        "{message}"
    );
    for (part, role, scope) in [
        (
            "bronze",
            "Storage Blob Data Reader",
            "bronzeaccount --query id --output tsv)/blobServices/default/containers/roles\"",
        ),
        (
            "silver",
            "Storage Blob Data Contributor",
            "silveraccount --query id --output tsv)/blobServices/default/containers/roles-silver\"",
        ),
        (
            "dead letters",
            "Storage Blob Data Contributor",
            "/blobServices/default/containers/roles-letters\"",
        ),
        (
            "queue",
            "Storage Queue Data Contributor",
            "silveraccount --query id --output tsv)\"",
        ),
    ] {
        for check in of(&checks, part) {
            assert_eq!(check["state"], "failed", "{check}");
            let remedy = check["remedy"].as_str().unwrap();
            let assigned = format!(
                "az role assignment create --role \"{role}\" --assignee-object-id {object} --assignee-principal-type ServicePrincipal "
            );
            assert!(remedy.starts_with(&assigned), "{remedy}");
            assert!(remedy.ends_with(scope), "{remedy}");
        }
    }
    let asked = asked.lock().unwrap();
    let with_token = |head: &String| head.to_lowercase().contains("authorization: bearer ");
    assert!(
        !asked.is_empty() && asked.iter().all(with_token),
        "{asked:?}"
    );
}

#[test]
fn a_token_that_is_not_there_is_told_once_and_nothing_else_is_tried() {
    let mut settings = in_azure(azurite(), "tokenless", "");
    settings.insert("LANDFALL_TOKEN_FILE", String::from("/nowhere/token"));
    let (code, checks, _) = doctor(&settings, &[]);
    assert_eq!(code, 1);
    let identity = of(&checks, "identity")[0];
    assert!(
        identity["message"]
            .as_str()
            .unwrap()
            .contains("/nowhere/token"),
        "{identity}"
    );
    let silver = of(&checks, "silver")[0];
    assert_eq!(silver["message"], "not tried: there is no token");
}

#[rstest]
#[case::no_schema(&[], "schema", "landfall migrate")]
#[case::no_rights(&["migrate", "role"], "rights", "landfall migrate --grant-to ROLE")]
#[case::no_room(&["migrate", "instances"], "room", "LANDFALL_DATABASE_CONNECTIONS")]
fn what_a_database_lacks_is_named(#[case] done: &[&str], #[case] name: &str, #[case] remedy: &str) {
    let database = cluster().create(None);
    let mut url = cluster().url(&database);
    if done.contains(&"migrate") {
        let migrated = landfall()
            .args(["migrate", "--database-url", &url])
            .output();
        assert!(migrated.unwrap().status.success());
    }
    let role = format!("app_{database}");
    if done.contains(&"role") {
        cluster().sql(&database, &format!("CREATE ROLE {role} LOGIN"));
        url = url.replace("landfall@", &format!("{role}@"));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut settings = folders(&folder);
    settings.insert("LANDFALL_DATABASE_URL", url.clone());
    if done.contains(&"instances") {
        settings.insert("LANDFALL_INSTANCES", String::from("100"));
    }
    let (code, checks, _) = doctor(&settings, &[]);
    assert_eq!(code, 1);
    let found = of(&checks, "database");
    let found = found.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(found["state"], "failed", "{checks:#?}");
    let told = found["remedy"].as_str().unwrap();
    assert!(told.contains(&remedy.replace("ROLE", &role)), "{told}");
    if done.contains(&"role") {
        // Done as it says, it is well.
        let granted = [
            "migrate",
            "--database-url",
            &cluster().url(&database),
            "--grant-to",
            &role,
        ];
        assert!(landfall().args(granted).output().unwrap().status.success());
        let (code, checks, _) = doctor(&settings, &[]);
        assert_eq!(code, 0, "{checks:#?}");
    }
}

#[rstest]
#[case::no_database("postgresql://landfall@127.0.0.1:PORT/absent", "CREATE DATABASE")]
#[case::password(
    "postgresql://token:wrong@127.0.0.1:PORT/postgres?sslmode=disable",
    "password"
)]
#[case::certificate(
    "postgresql://landfall@localhost:PORT/postgres?sslmode=verify-full",
    "SSLROOTCERT"
)]
fn a_database_that_does_not_let_us_in_is_told_why(#[case] url: &str, #[case] remedy: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = folders(&folder);
    let port = cluster().port().to_string();
    settings.insert("LANDFALL_DATABASE_URL", url.replace("PORT", &port));
    let (code, checks, _) = doctor(&settings, &[]);
    assert_eq!(code, 1);
    let check = of(&checks, "database")[0];
    assert_eq!(check["name"], "connection");
    assert!(
        check["remedy"].as_str().unwrap().contains(remedy),
        "{check}"
    );
    assert!(
        !check.to_string().contains("wrong"),
        "passwords stay inside: {check}"
    );
}

/// The check of pgSTAC, as a role sees a database.
fn catalogue_check(url: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = folders(&folder);
    settings.insert("LANDFALL_DATABASE_URL", url.to_owned());
    let (_, checks, _) = doctor(&settings, &[]);
    of(&checks, "pgstac")[0].clone()
}

#[test]
fn a_catalogue_has_to_be_there_recent_and_ours_to_write() {
    let absent = catalogue_check(&migrated().1);
    assert_eq!(absent["state"], "warning", "{absent}");
    assert!(
        absent["remedy"]
            .as_str()
            .unwrap()
            .contains("pypgstac migrate")
    );

    let database = with_pgstac();
    let (url, role) = (cluster().url(&database), format!("app_{database}"));
    let migrate = |further: &[&str]| {
        let mut command = landfall();
        command
            .args(["migrate", "--database-url", &url])
            .args(further);
        assert!(command.output().unwrap().status.success());
    };
    migrate(&[]);
    let version = cluster().sql(&database, "SELECT pgstac.get_version()");
    let is_well = |check: &Value| {
        assert_eq!(check["state"], "ok", "{check}");
        assert!(
            check["message"].as_str().unwrap().contains(&version),
            "{check}"
        );
    };
    is_well(&catalogue_check(&url));

    cluster().sql(&database, &format!("CREATE ROLE {role} LOGIN"));
    let as_role = url.replace("landfall@", &format!("{role}@"));
    let refused = catalogue_check(&as_role);
    assert_eq!(
        (&refused["name"], &refused["state"]),
        (&json!("rights"), &json!("failed"))
    );
    let remedy = refused["remedy"].as_str().unwrap();
    assert_eq!(remedy, format!("landfall migrate --grant-to {role}"));
    migrate(&["--grant-to", &role]);
    is_well(&catalogue_check(&as_role));

    cluster().sql(&database, "UPDATE pgstac.migrations SET version = '0.9.7'");
    let old = catalogue_check(&as_role);
    assert_eq!(old["state"], "failed", "{old}");
    assert!(
        old["message"]
            .as_str()
            .unwrap()
            .contains("is version 0.9.7, 0.9.8"),
        "{old}"
    );
    assert_eq!(old["remedy"], "pypgstac migrate");
}

#[test]
fn settings_that_are_wrong_are_all_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = folders(&folder);
    settings.insert("LANDFALL_QUIET_PERIOD", String::from("soon"));
    settings.insert("LANDFALL_DATABASE_CONNECTIONS", String::from("none"));
    settings.insert("LANDFALL_SILVER_DIRR", String::from("x"));
    let (code, checks, _) = doctor(&settings, &[]);
    assert_eq!(code, 1);
    let told: Vec<&str> = of(&checks, "settings")
        .iter()
        .map(|check| check["message"].as_str().unwrap())
        .collect();
    for name in [
        "LANDFALL_QUIET_PERIOD",
        "LANDFALL_DATABASE_CONNECTIONS",
        "LANDFALL_SILVER_DIRR",
    ] {
        assert!(
            told.iter().any(|message| message.contains(name)),
            "{name} in {told:?}"
        );
    }
    assert_eq!(
        of(&checks, "silver")[0]["state"],
        "ok",
        "what can be tried is tried"
    );
}

#[test]
fn the_embedded_default_is_looked_at_as_well() {
    let dev = crate::support::Dev::start();
    let root = dev.root.path().display().to_string();
    let (code, checks, _) = doctor(&Settings::new(), &[&root]);
    assert_eq!((code, unwell(&checks)), (0, vec![]), "{checks:#?}");
    let left: Vec<String> = dev.silver_files().into_keys().collect();
    assert_eq!(left, [] as [String; 0]);
    // The running app says the same of itself.
    let (code, checks, _) = doctor(&Settings::new(), &["--server", &dev.url("")]);
    let well = |part: &str| of(&checks, part)[0]["state"] == "ok";
    assert!(code == 0 && well("silver") && well("app"), "{checks:#?}");
    let (code, checks, _) = doctor(&Settings::new(), &["/nowhere/at/all"]);
    assert_eq!(code, 1);
    assert!(
        checks[0]["remedy"]
            .as_str()
            .unwrap()
            .contains("landfall dev"),
        "{checks:?}"
    );
}

#[test]
fn people_read_a_table_with_the_remedies() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = folders(&folder);
    std::fs::remove_dir(folder.path().join("silver")).unwrap();
    settings.insert("LANDFALL_SETTLE_PERIOD", String::from("PT1S"));
    let output = clean(&settings).arg("doctor").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let silver = text.lines().find(|line| line.contains("silver")).unwrap();
    assert!(silver.starts_with("FAILED   silver"), "{text}");
    assert!(text.contains("-> mkdir -p "), "{text}");
    assert!(text.trim_end().ends_with("1 failed"), "{text}");
    assert_eq!(
        clean(&settings)
            .args(["doctor", "--no-such"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn an_app_with_wrong_settings_is_alive_and_says_why_it_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = folders(&folder);
    settings.insert("LANDFALL_LEASE", String::from("for ever"));
    let handler = Handler::start(&settings);
    assert_eq!(handler.get("/api/livez").0, 200);
    let (status, ready) = handler.get("/api/readyz");
    assert_eq!(
        (status, &ready["reason"]),
        (503, &json!("configuration_invalid"))
    );
    let (status, health) = handler.get("/api/health");
    assert_eq!(status, 503);
    let expected = json!({"status": "unhealthy", "components": {"configuration": "unhealthy", "decoder": "healthy"}});
    assert_eq!(health, expected);
    let (_, details) = handler.get("/api/health/details");
    assert!(
        details.to_string().contains("LANDFALL_LEASE is `for ever`"),
        "{details}"
    );
    assert_eq!(handler.get("/api/releases").0, 503);
    handler.wait_for_line("STARTUP_FAILED: configuration: LANDFALL_LEASE");
}

#[test]
fn an_app_without_its_storage_or_schema_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = folders(&folder);
    settings.insert(
        "LANDFALL_DATABASE_URL",
        cluster().url(&cluster().create(None)),
    );
    let handler = Handler::start(&settings);
    handler.wait_for_line("STARTUP_FAILED: database");
    let (status, ready) = handler.get("/api/readyz");
    assert_eq!(
        (status, &ready["reason"]),
        (503, &json!("database_version_too_old"))
    );
    let (status, health) = handler.get("/api/health");
    let states = &health["components"];
    assert_eq!(
        (status, &states["database"], &states["storage"]),
        (503, &json!("unhealthy"), &json!("healthy"))
    );
    drop(handler);

    let mut settings = in_azure(azurite(), "not-there", &migrated().1);
    settings.remove("LANDFALL_DEAD_LETTERS");
    let handler = Handler::start(&settings);
    handler.wait_for_line("STARTUP_FAILED: storage");
    let (status, ready) = handler.get("/api/readyz");
    assert_eq!(
        (status, &ready["reason"]),
        (503, &json!("storage_not_ready"))
    );
}

#[test]
fn no_file_is_needed_where_blobs_and_ledger_are_elsewhere() {
    let runtime = runtime();
    runtime.block_on(async {
        azurite().make_container(BRONZE, "fileless").await;
        azurite().make_container(SILVER, "fileless-silver").await;
    });
    let mut settings = in_azure(azurite(), "fileless", &migrated().1);
    settings.remove("LANDFALL_DEAD_LETTERS");
    assert!(!settings.contains_key("LANDFALL_DATABASE"));
    let handler = Handler::start(&settings);
    assert_eq!(
        handler.get("/api/readyz"),
        (200, handler.get("/api/readyz").1)
    );
    drop(handler);
    settings.remove("LANDFALL_DATABASE_URL");
    let handler = Handler::start(&settings);
    handler.wait_for_line("LANDFALL_DATABASE is not set");
}
