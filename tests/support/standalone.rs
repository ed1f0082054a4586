//! `landfall serve --standalone` beside a running `landfall dev`, under https with a certificate of its own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::json;
use tempfile::TempDir;

use super::{Dev, free_port, landfall};

/// A certificate for this machine, and the authority that signed it.
pub(crate) struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub(crate) fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, pem: String| std::fs::write(folder.path().join(name), pem).unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // Of one name with what it signs, it would be taken for that.
        authority
            .distinguished_name
            .push(DnType::CommonName, "Landfall test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Python 3.13 insists on it, and on the identifier below.
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca_key = KeyPair::generate().unwrap();
        write("ca.pem", authority.self_signed(&ca_key).unwrap().pem());
        let issuer = Issuer::new(authority, ca_key);
        let names = [String::from("localhost"), String::from("127.0.0.1")];
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.use_authority_key_identifier_extension = true;
        write("cert.pem", leaf.signed_by(&key, &issuer).unwrap().pem());
        write("key.pem", key.serialize_pem());
        Self { folder }
    }

    /// `ca.pem`, `cert.pem` or `key.pem`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A server without a host, over the folders and the ledger of `landfall dev`; open only to whom SPEC §9 lets in.
pub(crate) struct Standalone {
    pub(crate) certificates: Certificates,
    pub(crate) port: u16,
    child: Child,
}

impl Standalone {
    /// A port for the next one, so that `landfall dev` can be told its address before.
    pub(crate) fn port() -> u16 {
        free_port()
    }

    pub(crate) fn start(dev: &Dev, port: u16) -> Self {
        let certificates = Certificates::make();
        let mut child = command(dev, port)
            .arg("--tls-cert")
            .arg(certificates.file("cert.pem"))
            .arg("--tls-key")
            .arg(certificates.file("key.pem"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"Ready\"")));
        assert!(ready.is_some(), "it does not start");
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self {
            certificates,
            port,
            child,
        }
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// Asks it to end, and tells whether it did so well.
    pub(crate) fn ends(mut self) -> bool {
        let told = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        told.unwrap().success() && self.child.wait().unwrap().success()
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The server as it is started, without TLS.
pub(crate) fn command(dev: &Dev, port: u16) -> Command {
    let mut command = landfall();
    command
        .args([
            "serve",
            "--standalone",
            "--listen",
            &format!("127.0.0.1:{port}"),
        ])
        .env("LANDFALL_BRONZE_DIR", dev.bronze())
        .env("LANDFALL_SILVER_DIR", dev.silver())
        .env("LANDFALL_DATABASE", dev.root.path().join("landfall.db"));
    command
}

/// Approves the Release for the public.
pub(crate) fn approve(dev: &Dev, release_id: &str) {
    let body = json!({"release_id": release_id, "reviewer": "ada@example.org", "clearance_state": "public"});
    let (status, answer) = dev.post("/api/platform/approve", &body);
    assert_eq!(status, 200, "{answer}");
}

/// Takes the approval back.
pub(crate) fn revoke(dev: &Dev, release_id: &str) {
    let body = json!({"release_id": release_id, "reviewer": "ada@example.org", "reason": "a test"});
    let (status, answer) = dev.post("/api/platform/revoke", &body);
    assert_eq!(status, 200, "{answer}");
}
