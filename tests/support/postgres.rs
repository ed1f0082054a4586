//! A PostgreSQL of the tests' own: a throw-away cluster on a loopback port, one for each test binary.
//!
//! The programs are Debian's (`tests/support/setup.sh databases`); without them tests fail. PostgreSQL refuses to run
//! as root, so root hands it to the user `postgres`. It lives as long as the test binary: a shell between the two
//! stops it by its process id when its standard input ends, however the binary ended.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// Makes a cluster, says where it is, and stops it when nobody listens any more. `token` logs in with a password
/// over TLS, everybody else as they like.
const SUPERVISOR: &str = r#"
set -eu
bin=$1 port=$2 commit=$3
umask 077
folder=$(mktemp -d /tmp/landfall-postgres-XXXXXX)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$bin/initdb" -D data -U landfall -A trust -E UTF8 --locale=C.UTF-8 -N >init.log 2>&1 || { cat init.log >&2; exit 1; }
ec='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
{
  openssl req -x509 $ec -days 2 -subj /CN=landfall-test-ca -keyout ca.key -out ca.pem
  openssl req $ec -subj /CN=localhost -keyout data/server.key -out server.csr
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >san
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out data/server.crt
} >tls.log 2>&1 || { cat tls.log >&2; exit 1; }
chmod 755 . && chmod 644 ca.pem
{ printf 'host all token 127.0.0.1/32 scram-sha-256\n'; cat data/pg_hba.conf; } >hba && mv hba data/pg_hba.conf
start() {
  "$bin/postgres" -D data -p "$port" -k "$folder" -c listen_addresses=127.0.0.1 -c ssl=on -c fsync=off \
    -c synchronous_commit="$commit" -c full_page_writes=off -c max_connections=300 -c shared_buffers=64MB \
    -c deadlock_timeout=200ms -c autovacuum=off -c log_min_messages=fatal >server.log 2>&1 </dev/null &
  server=$!
  for _ in $(seq 300); do
    "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" && break
    kill -0 "$server" 2>/dev/null || { cat server.log >&2; exit 1; }
    sleep 0.1
  done
}
start
echo "$folder"
while read -r signal; do
  kill -"$signal" "$server"
  wait "$server" || true
  start
  echo up
done
kill -INT "$server"
wait "$server" || true
"#;

/// A running cluster.
pub(crate) struct Cluster {
    port: u16,
    folder: PathBuf,
    bin: PathBuf,
    /// Its standard input keeps the cluster alive, and tells it to start again.
    supervisor: Mutex<(Child, BufReader<ChildStdout>)>,
}

/// The cluster of this test binary, started by whoever asks first.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start("off"))
}

impl Cluster {
    /// One of the caller's own, which forgets nothing that it has committed when it is ended.
    pub(crate) fn durable() -> Self {
        Self::start("on")
    }

    /// Starts one; again, where somebody has taken its port since that was found free.
    fn start(commit: &str) -> Self {
        let mut tried = Self::try_start(commit);
        for _ in 0..2 {
            tried = tried.or_else(|_| Self::try_start(commit));
        }
        tried.expect("PostgreSQL starts")
    }

    fn try_start(commit: &str) -> Result<Self, String> {
        let bin = newest_bin();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut supervisor = as_server_user()
            .args(["sh", "-c", SUPERVISOR, "supervisor"])
            .arg(&bin)
            .args([&port.to_string(), commit])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(supervisor.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let folder = PathBuf::from(line.trim());
        if !folder.is_dir() {
            let mut errors = String::new();
            let mut stderr = supervisor.stderr.take().unwrap();
            stderr.read_to_string(&mut errors).unwrap();
            supervisor.wait().unwrap();
            return Err(errors);
        }
        Ok(Self {
            port,
            folder,
            bin,
            supervisor: Mutex::new((supervisor, output)),
        })
    }

    /// Ends the server with a signal (`INT` as for an update, `QUIT` as by a crash) and waits until it is there again.
    pub(crate) fn restart(&self, signal: &str) {
        let (supervisor, output) = &mut *self.supervisor.lock().unwrap();
        let input = supervisor.stdin.as_mut().unwrap();
        writeln!(input, "{signal}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "PostgreSQL starts again");
    }

    /// The address of a database for its superuser.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://landfall@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database, empty or as a copy of another, and gives its name.
    pub(crate) fn create(&self, template: Option<&str>) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let template = template.unwrap_or("template0");
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE {template}"),
        );
        name
    }

    /// Runs SQL with psql and gives what it prints: rows by line, columns by `|`.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .arg(self.url(database))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs a file of SQL as one transaction.
    pub(crate) fn run_file(&self, database: &str, file: &Path) {
        let output = Command::new(self.bin.join("psql"))
            .args([
                "-X",
                "-q",
                "-1",
                "-v",
                "ON_ERROR_STOP=1",
                "-o",
                "/dev/null",
                "-f",
            ])
            .arg(file)
            .arg(self.url(database))
            .env("PGOPTIONS", "-c client_min_messages=warning")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", file.display());
    }

    /// The certificate that signed the server's, for `localhost`.
    pub(crate) fn root_certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// Where the newest PostgreSQL's programs are.
fn newest_bin() -> PathBuf {
    let root = Path::new("/usr/lib/postgresql");
    let versions = std::fs::read_dir(root).into_iter().flatten().flatten();
    let version = |folder: &PathBuf| -> Option<u32> {
        folder
            .parent()?
            .file_name()?
            .to_str()?
            .parse()
            .ok()
            .filter(|_| folder.join("initdb").exists())
    };
    let bins = versions.map(|entry| entry.path().join("bin"));
    bins.filter(|bin| version(bin).is_some())
        .max_by_key(version)
        .expect("no PostgreSQL below /usr/lib/postgresql: run `./just setup`")
}

fn as_server_user() -> Command {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    if id.trim_ascii() != b"0" {
        return Command::new("env");
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=postgres",
        "--regid=postgres",
        "--init-groups",
        "--reset-env",
    ]);
    command
}
