//! The served stores as clients meet them: both versions of Zarr, read tokens, https.

use std::path::Path;
use std::process::{Command, Output};

use rstest::rstest;
use tempfile::TempDir;

use crate::support::standalone::{Certificates, Standalone, approve, command, revoke};
use crate::support::{Dev, demo_series, fixture, free_port, landfall, python, repository};

/// The demo series, served beside `landfall dev` to whom SPEC §9 lets in.
struct Served {
    dev: Dev,
    server: Standalone,
    release: String,
}

impl Served {
    fn start() -> Self {
        let port = Standalone::port();
        let public_url = format!("https://127.0.0.1:{port}");
        let dev = Dev::start_with(&[("LANDFALL_PUBLIC_URL", &public_url)]);
        dev.submit("cmip6", 3);
        dev.land_all(&demo_series(), "cmip6");
        let (release, _) = dev.wait_combined(1);
        let server = Standalone::start(&dev, port);
        Self {
            dev,
            server,
            release,
        }
    }

    /// The answer of `landfall token`.
    fn token(&self, expires_in: &str) -> Output {
        landfall()
            .args(["token", &self.release, "--expires-in", expires_in])
            .args(["--server", &self.dev.url("")])
            .output()
            .unwrap()
    }

    fn token_url(&self, expires_in: &str) -> String {
        let output = self.token(expires_in);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What comparing a store with the files comes to.
    fn read(&self, url: &str) -> Result<(), String> {
        let done = Command::new(python())
            .arg(repository().join("tests/support/read_with_xarray.py"))
            .args(["served", url])
            .args(demo_series())
            .env("SSL_CERT_FILE", self.server.certificates.file("ca.pem"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        if done.status.success() {
            Ok(())
        } else {
            Err(said)
        }
    }
}

#[test]
fn a_release_is_read_with_a_token_until_it_is_for_the_public() {
    let served = Served::start();
    let plain = served
        .server
        .url(&format!("/api/zarr/{}/r1", served.release));
    let token = served.token_url("P7D");
    assert!(token.starts_with(&format!("{plain}/~")), "{token}");
    served.read(&token).unwrap();
    served.read(&format!("{token}/~v3")).unwrap();
    let short = served.token_url("PT1S");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    for url in [&plain, &format!("{plain}/~v3"), &short] {
        let refused = served.read(url).unwrap_err();
        assert!(refused.contains("401"), "{url}: {refused}");
    }
    approve(&served.dev, &served.release);
    served.read(&plain).unwrap();
    served.read(&format!("{plain}/~v3")).unwrap();
    revoke(&served.dev, &served.release);
    for url in [plain, token] {
        let refused = served.read(&url).unwrap_err();
        assert!(refused.contains("410"), "{url}: {refused}");
    }
    let output = served.token("P7D");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no longer, published"));
}

/// What `GET` says under https, after how many tries it may take, and which protocol was agreed on.
const GET: &str = r#"
import json, socket, ssl, sys, time, urllib.request
port, trust = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=trust)
for _ in range(600):
    try:
        body = urllib.request.urlopen(f"https://127.0.0.1:{port}/api/livez", context=context, timeout=5).read()
        break
    except (ConnectionError, OSError):
        time.sleep(0.1)
context.set_alpn_protocols(["h2", "http/1.1"])
with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1") as connection:
    print(json.loads(body)["status"], connection.selected_alpn_protocol())
"#;

fn get_over_https(port: u16, certificates: &Certificates) -> String {
    let done = Command::new(python())
        .args(["-c", GET, &port.to_string()])
        .arg(certificates.file("ca.pem"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    said
}

#[test]
fn a_server_of_its_own_speaks_http_2_and_dev_http_1() {
    let served = Served::start();
    let said = get_over_https(served.server.port, &served.server.certificates);
    assert_eq!(said, "alive h2");
    assert!(served.server.ends());
    let (certificates, folder, port) = (Certificates::make(), TempDir::new().unwrap(), free_port());
    let mut dev = landfall()
        .arg("dev")
        .arg(folder.path())
        .args(["--port", &port.to_string(), "--json"])
        .arg("--tls-cert")
        .arg(certificates.file("cert.pem"))
        .arg("--tls-key")
        .arg(certificates.file("key.pem"))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let said = get_over_https(port, &certificates);
    let id = dev.id().to_string();
    Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(dev.wait().unwrap().success());
    assert_eq!(said, "alive http/1.1");
}

#[rstest]
#[case::no_certificate(&["--tls-cert", "nothing.pem", "--tls-key", "key.pem"], 1, "no certificate can be read from")]
#[case::key_for_certificate(&["--tls-cert", "key.pem", "--tls-key", "key.pem"], 1, "has no certificate in it")]
#[case::no_key(&["--tls-cert", "cert.pem", "--tls-key", "ca.pem"], 1, "no unencrypted private key can be read from")]
#[case::of_another(&["--tls-cert", "ca.pem", "--tls-key", "key.pem"], 1, "cannot be used together")]
#[case::half(&["--tls-cert", "cert.pem"], 2, "--tls-key <FILE>")]
fn a_server_whose_certificate_cannot_be_used_does_not_start(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] message: &str,
) {
    let (dev, certificates) = (Dev::start(), Certificates::make());
    let arguments = arguments
        .iter()
        .map(|argument| match argument.strip_suffix(".pem") {
            Some(_) => certificates.file(argument).display().to_string(),
            None => (*argument).to_owned(),
        });
    let output = command(&dev, free_port()).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains(message), "{said}");
}

/// Files of every kind, each as a store in both versions; the recipe `served` takes all there are.
#[test]
fn files_of_all_kinds_are_the_same_in_both_versions_of_zarr() {
    let folder = tempfile::tempdir().unwrap();
    let files = copy_all(&["netcdf4", "classic", "hdf5"], folder.path());
    let bronze = folder.path().display().to_string();
    let dev = Dev::start_told(&["--bronze", &bronze], &[("LANDFALL_AUTO_GROUP", "false")]);
    dev.wait_for("all files to be read", || {
        let done = dev.steps("referenced").len() + dev.steps("rejected").len();
        (done >= files).then_some(())
    });
    let done = Command::new(python())
        .arg(repository().join("tests/support/check_served.py"))
        .args([&dev.url(""), &dev.root.path().display().to_string()])
        .args(["--jobs", "2", "--least", "40"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}\n{errors}");
}

/// Copies the files of some folders of fixtures, and tells how many there are.
fn copy_all(folders: &[&str], target: &Path) -> usize {
    let mut count = 0;
    for folder in folders {
        std::fs::create_dir(target.join(folder)).unwrap();
        for entry in std::fs::read_dir(fixture(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|end| end == "nc" || end == "h5")
            {
                std::fs::copy(&path, target.join(folder).join(path.file_name().unwrap())).unwrap();
                count += 1;
            }
        }
    }
    count
}
