//! Files on web servers: what reading them costs, and what becomes of it on servers that misbehave.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::Value;

use crate::support::web::{Fault, MODIFIED, Web};
use crate::support::{
    demo_series, fixture, landfall, name_of, python, read_with_xarray, repository,
};

/// The files of `tests/support/make_round_trip_files.py`, made once a run.
fn files() -> PathBuf {
    static FILES: OnceLock<PathBuf> = OnceLock::new();
    let made = FILES.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("round_trips");
        std::fs::create_dir_all(&folder).unwrap();
        let script = repository().join("tests/support/make_round_trip_files.py");
        let made = Command::new(python()).arg(script).arg(&folder).status();
        assert!(made.unwrap().success());
        folder
    });
    made.clone()
}

/// What a command did with an address.
struct Done {
    output: Output,
    line: Value,
    document: Option<Value>,
}

fn run(command: &str, address: &str) -> Done {
    let folder = tempfile::tempdir().unwrap();
    let reference = folder.path().join("out.json");
    let mut call = landfall();
    call.arg(command)
        .arg(address)
        .arg("--json")
        .env("NO_PROXY", "127.0.0.1");
    if command != "validate" {
        call.arg("-o").arg(&reference);
    }
    let output = call.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!text.is_empty(), "no line, but {told}");
    let line = text.lines().next().unwrap_or_default();
    let document = std::fs::read(reference).ok();
    Done {
        line: serde_json::from_str(line).unwrap(),
        document: document.map(|bytes| serde_json::from_slice(&bytes).unwrap()),
        output,
    }
}

/// The references of a document with the address of its file taken out.
fn references(done: &Done, address: &str) -> Value {
    let refs = done.document.as_ref().unwrap()["refs"].to_string();
    assert!(
        refs.contains(&format!("[\"{address}\"")),
        "no chunk in {address}"
    );
    serde_json::from_str(&refs.replace(address, "URL")).unwrap()
}

/// Rounds are the depth of the deepest structure, however many structures there are.
#[rstest]
#[case::header_at_the_front("classic", 2, 40, 400_000)]
#[case::contiguous("contiguous", 1, 2, 300_000)]
#[case::btree_v1_of_two_levels("btree_v1", 2, 8, 390_000)]
#[case::one_step_of_time_a_chunk("time_steps", 3, 42, 2_100_000)]
#[case::a_year_of_days_of_35_megabytes("day", 3, 16, 600_000)]
#[case::dense_attributes("dense_attributes", 2, 4, 390_000)]
#[case::many_objects("many_objects", 5, 12, 1_320_000)]
#[case::paged("paged", 1, 2, 300_000)]
#[case::groups_three_deep("groups", 2, 4, 370_000)]
fn reading_costs_as_many_rounds_as_the_file_is_deep(
    #[case] name: &str,
    #[case] rounds: u64,
    #[case] requests: usize,
    #[case] bytes: usize,
) {
    let web = Web::serve(files(), Fault::None, Duration::ZERO);
    let done = run("virtualize", &web.url(&format!("{name}.nc")));
    assert!(done.output.status.success(), "{}", done.line);
    let seen = web.requests();
    let sent: usize = seen.iter().map(|request| request.bytes).sum();
    let io = &done.line["io"];
    assert_eq!(
        (io["requests"].as_u64(), io["bytes"].as_u64()),
        (Some(seen.len() as u64), Some(sent as u64)),
        "what is reported is what was asked for"
    );
    assert_eq!(io["rounds"], rounds, "{io}");
    assert!(seen.len() <= requests && sent <= bytes, "{io}");
}

#[test]
fn the_requests_of_a_round_are_sent_together() {
    let web = Web::serve(files(), Fault::None, Duration::from_millis(300));
    let done = run("virtualize", &web.url("btree_v1.nc"));
    assert_eq!(
        done.line["io"]["rounds"],
        web.longest_chain(),
        "{}",
        done.line
    );
    assert!(web.requests().len() > 2 * web.longest_chain());
}

#[rstest]
#[case::pinned_by_etag(Fault::None, Some(("if-match", "\"v1\"")))]
#[case::pinned_by_date(Fault::NoEtag, Some(("if-unmodified-since", MODIFIED)))]
#[case::weak_etag(Fault::WeakEtag, Some(("if-unmodified-since", MODIFIED)))]
#[case::not_pinned(Fault::NoVersion, None)]
fn every_request_after_the_first_round_is_for_one_version(
    #[case] fault: Fault,
    #[case] condition: Option<(&str, &str)>,
) {
    let web = Web::serve(files(), fault, Duration::ZERO);
    let done = run("virtualize", &web.url("btree_v1.nc"));
    let requests = web.requests();
    assert!(done.output.status.success() && requests.len() > 2);
    for request in &requests {
        assert_eq!(request.headers["accept-encoding"], "identity");
    }
    for request in requests.iter().skip(2) {
        let conditions = ["if-match", "if-unmodified-since"]
            .iter()
            .filter_map(|name| Some((*name, request.headers.get(*name)?.to_str().unwrap())));
        assert_eq!(conditions.collect::<Vec<_>>(), Vec::from_iter(condition));
    }
    let findings = done.line["findings"].as_array().unwrap();
    let is_warned = findings.iter().any(|finding| finding["code"] == "unpinned");
    assert_eq!(is_warned, condition.is_none(), "{findings:?}");
}

#[rstest]
#[case::no_suffix_ranges(Fault::NoSuffixRanges)]
#[case::no_ranges_but_small(Fault::NoRanges)]
#[case::throttled(Fault::Busy(429))]
#[case::busy(Fault::Busy(503))]
#[case::broken_for_a_moment(Fault::Busy(500))]
#[case::bodies_cut(Fault::CutBodies)]
#[case::moved(Fault::Moved)]
fn what_can_be_ridden_out_gives_the_same_reference(#[case] fault: Fault) {
    let (good, bad) = (
        Web::serve(files(), Fault::None, Duration::ZERO),
        Web::serve(files(), fault, Duration::ZERO),
    );
    let [expected, got] = [&good, &bad].map(|web| {
        let address = web.url("btree_v1.nc");
        let done = run("virtualize", &address);
        assert!(done.output.status.success(), "{fault:?}: {}", done.line);
        references(&done, &address)
    });
    assert_eq!(got, expected);
    if fault == Fault::Moved {
        let asked = bad.requests();
        let first = asked
            .iter()
            .filter(|request| request.path == "/btree_v1.nc");
        assert_eq!(
            first.count(),
            2,
            "the way is asked for in the first round only"
        );
    }
}

#[rstest]
#[case::no_ranges(Fault::NoRanges, "groups.nc", "no_byte_ranges", "ignores byte ranges")]
#[case::changed(Fault::Changes, "btree_v1.nc", "source_changed", "changed")]
#[case::changed_unnoticed_by_the_server(
    Fault::ChangesAndIgnoresConditions,
    "btree_v1.nc",
    "source_changed",
    "changed"
)]
#[case::busy_for_good(Fault::AlwaysBusy, "btree_v1.nc", "read_failed", "503")]
#[case::redirects_in_circles(Fault::MovesForEver, "btree_v1.nc", "read_failed", "redirects")]
#[case::compressed(Fault::Encoded, "btree_v1.nc", "read_failed", "Content-Encoding")]
#[case::forbidden(Fault::Forbidden, "btree_v1.nc", "access_denied", "403")]
#[case::missing(Fault::None, "absent.nc", "not_found", "does not exist")]
fn what_cannot_is_an_error_by_name(
    #[case] fault: Fault,
    #[case] name: &str,
    #[case] code: &str,
    #[case] message: &str,
) {
    let web = Web::serve(files(), fault, Duration::ZERO);
    let done = run("virtualize", &web.url(&format!("{name}?sig=SECRET")));
    assert_eq!(done.output.status.code(), Some(1), "{}", done.line);
    let error = &done.line["error"];
    assert_eq!(error["code"], code, "{error}");
    let text = error["message"].as_str().unwrap();
    assert!(text.contains(message) && text.contains(name), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
    assert!(done.document.is_none());
    assert!(web.requests().len() <= 24, "tries are counted");
}

/// A server with a certificate of its own authority; it ends with its stdin.
struct Https {
    server: Child,
    port: String,
    certificates: tempfile::TempDir,
}

impl Https {
    fn serve(folder: PathBuf) -> Self {
        let certificates = tempfile::tempdir().unwrap();
        let mut server = Command::new(python())
            .arg(repository().join("tests/support/https_server.py"))
            .arg(&folder)
            .arg(certificates.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let mut told = BufReader::new(server.stdout.take().unwrap());
        told.read_line(&mut port).unwrap();
        assert!(!port.is_empty(), "the server says why on stderr");
        Self {
            server,
            port: port.trim().to_owned(),
            certificates,
        }
    }

    /// What the program says of a file when it trusts an authority, with its exit code.
    fn read(&self, host: &str, authority: &str) -> (Option<i32>, Value) {
        let name = name_of(&demo_series()[0]);
        let output = landfall()
            .arg("validate")
            .arg(format!("https://{host}:{}/{name}", self.port))
            .arg("--json")
            .env("NO_PROXY", host)
            .env("SSL_CERT_FILE", self.certificates.path().join(authority))
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        let line = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), line)
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        self.server.wait().ok();
    }
}

#[test]
fn certificates_are_trusted_that_ssl_cert_file_names_and_no_others() {
    let https = Https::serve(fixture("cmip6"));
    let (code, line) = https.read("127.0.0.1", "ca.pem");
    assert_eq!(code, Some(0), "{line}");
    assert_eq!(line["recommendation"], "suitable_for_virtualization");
    for (host, authority) in [("127.0.0.1", "other.pem"), ("localhost", "ca.pem")] {
        let start = Instant::now();
        let (code, line) = https.read(host, authority);
        let error = &line["error"];
        assert_eq!(
            (code, error["code"].as_str()),
            (Some(1), Some("certificate_invalid")),
            "{line}"
        );
        let text = error["message"].as_str().unwrap();
        assert!(text.contains("certificate is not trusted"), "{text}");
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "it is not tried again"
        );
    }
}

#[test]
fn a_file_without_a_byte_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty.nc"), b"").unwrap();
    let web = Web::serve(folder.path(), Fault::None, Duration::ZERO);
    let done = run("virtualize", &web.url("empty.nc"));
    assert_eq!(done.output.status.code(), Some(3));
    assert_eq!(done.line["error"]["code"], "truncated", "{}", done.line);
}

#[test]
fn what_signs_an_address_is_used_and_written_nowhere() {
    let web = Web::serve(fixture("cmip6"), Fault::None, Duration::ZERO);
    let name = name_of(&demo_series()[0]);
    let done = run(
        "virtualize",
        &web.url(&format!("{name}?sv=2024&sp=r&sig=SECRET")),
    );
    assert!(done.output.status.success(), "{}", done.line);
    let document = done.document.as_ref().unwrap().to_string();
    assert!(document.contains(&format!("[\"{}\"", web.url(&name))));
    for text in [&document, &done.line.to_string()] {
        assert!(!text.contains("SECRET") && !text.contains("sv=2024"));
    }
    let findings = done.line["findings"].as_array().unwrap();
    assert!(findings.iter().any(|f| f["code"] == "unsigned-reference"));
}

#[test]
fn a_series_on_a_server_is_joined_proven_and_read() {
    let web = Web::serve(fixture("cmip6"), Fault::None, Duration::ZERO);
    let folder = tempfile::tempdir().unwrap();
    let combined = folder.path().join("combined.json");
    let addresses = demo_series();
    let addresses = addresses
        .iter()
        .map(|file| web.url(&format!("{}?sig=SECRET", name_of(file))));
    let output = landfall()
        .arg("combine")
        .args(addresses)
        .arg("-o")
        .arg(&combined)
        .arg("--json")
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["dimensions"]["time"], 36);
    assert!(line["verified"].is_object(), "{line}");
    assert!(
        !std::fs::read_to_string(&combined)
            .unwrap()
            .contains("SECRET")
    );
    read_with_xarray("kerchunk", &combined.display().to_string(), &demo_series());
}

#[test]
fn an_address_is_judged_like_a_file() {
    let web = Web::serve(fixture("cmip6"), Fault::None, Duration::ZERO);
    let done = run("validate", &web.url(&name_of(&demo_series()[0])));
    assert_eq!(done.line["recommendation"], "suitable_for_virtualization");
}

#[test]
fn an_address_with_a_password_is_refused_without_repeating_it() {
    let done = run("validate", "https://user:SECRET@h.org/a.nc");
    assert_eq!(done.output.status.code(), Some(3));
    assert_eq!(
        done.line["error"]["code"], "address_invalid",
        "{}",
        done.line
    );
    assert!(!done.line.to_string().contains("SECRET"), "{}", done.line);
}
