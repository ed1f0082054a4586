use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rstest::rstest;

use super::*;
use crate::stores::azure::fake::azurite::{self, azurite};
use crate::stores::azure::fake::{Answer, Fake, emulated};
use crate::stores::blobs::contract;
use crate::stores::retry;

fn container(account: &str, container: &str) -> ContainerConfig {
    ContainerConfig {
        account: account.to_owned(),
        container: container.to_owned(),
    }
}

fn containers(bronze: ContainerConfig, silver: ContainerConfig) -> Containers {
    let sources = BTreeSet::from([bronze]);
    Containers::Listed { sources, silver }
}

#[tokio::test]
async fn the_contract_holds() {
    let azurite = azurite();
    azurite.make_container(azurite::BRONZE, "contract").await;
    azurite
        .make_container(azurite::SILVER, "contract-silver")
        .await;
    let containers = containers(
        container(azurite::BRONZE, "contract"),
        container(azurite::SILVER, "contract-silver"),
    );
    let blobs = AzureBlobs::over(emulated(), containers, String::from(azurite::BRONZE));
    let land = |name: String, bytes: Vec<u8>| {
        async move {
            let name = percent_encoding::percent_encode(
                name.as_bytes(),
                percent_encoding::NON_ALPHANUMERIC,
            );
            azurite
                .put(azurite::BRONZE, &format!("contract/{name}"), bytes)
                .await;
        }
        .boxed()
    };
    let subject = contract::Subject {
        blobs: &blobs,
        source: BlobPath::new(azurite::BRONZE, "contract", ""),
        land: &land,
    };
    contract::holds(subject).await;
}

/// A store over a service that answers so.
async fn faked(answers: Vec<Answer>) -> (AzureBlobs, Fake) {
    let fake = Fake::start(answers).await;
    let containers = containers(container("acct", "bronze"), container("acct", "silver"));
    let blobs = AzureBlobs::over(fake.connection(), containers, String::from("acct"));
    (blobs, fake)
}

const VERSION: [(&str, &str); 2] = [
    ("etag", "\"0x1\""),
    ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT"),
];

fn part(range: &'static str, body: &[u8]) -> Answer {
    let headers = [VERSION.as_slice(), &[("content-range", range)]].concat();
    Answer::of(206, &headers, body)
}

fn source() -> BlobPath {
    BlobPath::new("acct", "bronze", "a/b.nc")
}

async fn read(blobs: &AzureBlobs) -> Result<Vec<Bytes>, BlobError> {
    let range = [ByteRange::new(2, 3)];
    blobs.get_ranges(&source(), "0x1", &range).await
}

/// Each passes, and the one after it succeeds.
#[rstest]
#[case::throttled(vec![Answer::refusal(429, "TooManyRequests")])]
#[case::busy(vec![Answer::refusal(503, "ServerBusy"), Answer::refusal(503, "ServerBusy")])]
#[case::failing(vec![Answer::refusal(500, "InternalError")])]
#[case::timed_out(vec![Answer::refusal(500, "OperationTimedOut")])]
#[case::asks_to_wait(vec![Answer::of(503, &[("retry-after", "0")], b"")])]
#[case::cut_off(vec![Answer::Send(Vec::new())])]
#[case::cut_in_the_body(vec![Answer::said_to_be(
    206, &[VERSION[0], VERSION[1], ("content-range", "bytes 2-4/9")], b"2", 3
)])]
#[case::no_answer(vec![Answer::Stall])]
#[case::other_bytes(vec![part("bytes 3-5/9", b"345")])]
#[case::no_range(vec![Answer::of(200, &VERSION, b"012345678")])]
#[case::shorter_than_said(vec![part("bytes 2-4/9", b"2")])]
#[tokio::test]
async fn what_passes_is_tried_again(#[case] mut answers: Vec<Answer>) {
    let failures = answers.len();
    answers.push(part("bytes 2-4/9", b"234"));
    let (blobs, fake) = faked(answers).await;
    assert_eq!(read(&blobs).await.unwrap(), [Bytes::from("234")]);
    let requests = fake.requests();
    assert_eq!(requests.len(), failures + 1);
    for request in requests {
        assert!(
            request.starts_with("get /acct/bronze/a%2fb.nc http/1.1"),
            "{request}"
        );
        assert!(request.contains("if-match: \"0x1\""), "{request}");
        assert!(request.contains("range: bytes=2-4"), "{request}");
    }
}

#[rstest]
#[case::throttled(
    Answer::refusal(429, "TooManyRequests"),
    6,
    "could not reach abfs://bronze@acct/a/b.nc: the service throttles: 429 TooManyRequests"
)]
#[case::failing(
    Answer::refusal(500, "InternalError"),
    6,
    "could not reach abfs://bronze@acct/a/b.nc: the service fails: 500 InternalError"
)]
#[case::changed(
    Answer::refusal(412, "ConditionNotMet"),
    1,
    "abfs://bronze@acct/a/b.nc has changed"
)]
#[case::missing(
    Answer::refusal(404, "BlobNotFound"),
    1,
    "abfs://bronze@acct/a/b.nc does not exist"
)]
#[case::no_container(
    Answer::refusal(404, "ContainerNotFound"),
    1,
    "container bronze does not exist"
)]
#[case::no_role(
    Answer::refusal(403, "AuthorizationPermissionMismatch"),
    1,
    "access to abfs://bronze@acct/a/b.nc is refused: 403 AuthorizationPermissionMismatch: the identity lacks a role \
     assignment (`Storage Blob Data Reader` on acct, or on its container bronze)"
)]
#[case::archived(
    Answer::refusal(409, "BlobArchived"),
    1,
    "access to abfs://bronze@acct/a/b.nc is refused: the service answers 409 BlobArchived"
)]
#[case::redirected(
    Answer::of(302, &[("location", "http://127.0.0.1:9/")], b""),
    1,
    "access to abfs://bronze@acct/a/b.nc is refused: the service answers 302 "
)]
#[tokio::test]
async fn what_does_not_pass_is_told(
    #[case] answer: Answer,
    #[case] requests: usize,
    #[case] message: &str,
) {
    let (blobs, fake) = faked(vec![answer]).await;
    let error = read(&blobs).await.unwrap_err();
    assert_eq!(crate::pipeline::chain(&error), message);
    assert_eq!(error.is_transient(), requests > 1);
    assert_eq!(fake.requests().len(), requests);
}

#[tokio::test]
async fn a_version_that_the_service_did_not_check_is_refused() {
    let (blobs, _) = faked(vec![part("bytes 2-4/9", b"234")]).await;
    let range = [ByteRange::new(2, 3)];
    let read = blobs.get_ranges(&source(), "0x2", &range).await;
    assert!(matches!(read, Err(BlobError::Changed(_))), "{read:?}");
}

#[tokio::test]
async fn nobody_waits_past_the_end_of_the_invocation() {
    let answer = Answer::of(
        503,
        &[("retry-after", "1"), ("x-ms-error-code", "ServerBusy")],
        b"",
    );
    let (blobs, fake) = faked(vec![answer]).await;
    let started = Instant::now();
    let error = retry::within(Duration::from_millis(30), read(&blobs)).await;
    assert!(error.unwrap_err().is_transient());
    assert_eq!(fake.requests().len(), 1);
    assert!(started.elapsed() < Duration::from_millis(900));
}

fn written(etag: &str) -> Answer {
    Answer::of(201, &[("etag", etag), VERSION[1]], b"")
}

async fn write(blobs: &AzureBlobs) -> Result<String, BlobError> {
    let path = blobs.silver("refs/a.json");
    blobs
        .put(&path, Bytes::from("{}"), PutCondition::IfAbsent)
        .await
}

/// The answer to HEAD about a blob of so many bytes.
fn head(length: usize) -> Answer {
    Answer::said_to_be(200, &VERSION, b"", length)
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_has_happened() {
    let there = Answer::refusal(409, "BlobAlreadyExists");
    for lost in [
        Answer::Send(Vec::new()),
        Answer::refusal(500, "OperationTimedOut"),
    ] {
        let answers = |rest: &[Answer]| [&[lost.clone(), there.clone()], rest].concat();
        let ours = answers(&[head(2), part("bytes 0-1/2", b"{}")]);
        assert_eq!(write(&faked(ours).await.0).await.unwrap(), "0x1");
        for theirs in [
            answers(&[head(2), part("bytes 0-1/2", b"[]")]),
            answers(&[head(3)]),
        ] {
            let error = write(&faked(theirs).await.0).await.unwrap_err();
            assert!(matches!(error, BlobError::Exists(_)), "{error:?}");
        }
    }
    let (blobs, fake) = faked(vec![Answer::refusal(503, "ServerBusy"), there]).await;
    let error = write(&blobs).await.unwrap_err();
    assert!(
        matches!(error, BlobError::Exists(_)),
        "a throttled request is not carried out"
    );
    assert_eq!(fake.requests().len(), 2);
}

#[tokio::test]
async fn a_write_says_what_it_writes_and_where_nothing_is() {
    let (blobs, fake) = faked(vec![written("\"0x7\"")]).await;
    assert_eq!(write(&blobs).await.unwrap(), "0x7");
    let requests = fake.requests();
    assert!(
        requests[0].starts_with("put /acct/silver/refs%2fa.json "),
        "{requests:?}"
    );
    assert!(requests[0].contains("if-none-match: *"), "{requests:?}");
    assert!(
        requests[0].contains("x-ms-blob-content-type: application/json"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_write_that_is_refused_names_its_role() {
    let (blobs, _) = faked(vec![Answer::refusal(
        403,
        "AuthorizationPermissionMismatch",
    )])
    .await;
    let message = crate::pipeline::chain(&write(&blobs).await.unwrap_err());
    assert!(
        message.contains("`Storage Blob Data Contributor` on acct"),
        "{message}"
    );
}

fn page(names: &[&str], marker: &str) -> Answer {
    let blob = |name: &&str| {
        let (folder, name) = match name.strip_suffix('!') {
            Some(name) => (
                "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>",
                name,
            ),
            None => ("", *name),
        };
        format!(
            "<Blob><Name>{name}</Name><Properties><Last-Modified>Wed, 21 Oct 2015 07:28:00 GMT</Last-Modified>\
             <Etag>0x1</Etag><Content-Length>7</Content-Length></Properties>{folder}</Blob>"
        )
    };
    let blobs: String = names.iter().map(blob).collect();
    let text = format!(
        "<?xml version=\"1.0\"?><EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
    );
    Answer::of(200, &[("content-type", "application/xml")], text.as_bytes())
}

/// What a scan of 10 000 files costs: a request for each 5000 of them, and none for the files.
#[tokio::test]
async fn an_inventory_of_ten_thousand_blobs_takes_two_requests() {
    let name = |number: usize| match number % 2 {
        0 => format!(
            "cmip6/tas_Amon_M{:02}_ssp585_r1i1p1f1_gn_{:04}01-{:04}12.nc",
            number / 2 % 50,
            1900 + number / 100,
            1900 + number / 100
        ),
        _ => format!(
            "obs/station{:02}_{:04}.nc",
            number / 2 % 50,
            1900 + number / 100
        ),
    };
    let names: Vec<String> = (0..10_000).map(name).collect();
    let (first, second) = names.split_at(5000);
    let listed = |names: &[String], marker| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        page(&names, marker)
    };
    let (blobs, fake) = faked(vec![listed(first, "m"), listed(second, "")]).await;
    let prefix = source().sibling("");
    let mut scan = crate::inventory::Scan::new(crate::inventory::Wanted {
        prefix: prefix.clone(),
        recursive: true,
        file_pattern: glob::Pattern::new("*").unwrap(),
    });
    let mut pages = blobs.list_pages(&prefix);
    let mut told = Vec::new();
    while let Some(page) = pages.try_next().await.unwrap() {
        page.iter().for_each(|info| scan.add(info));
        told.push(scan.progress().files);
    }
    assert_eq!(told, [5000, 10_000], "progress is told page by page");
    let inventory = scan.finish();
    let sizes: Vec<u64> = inventory.groups.iter().map(|series| series.files).collect();
    assert_eq!(sizes, [100; 100], "50 CMIP6 series and 50 others");
    let requests = fake.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(
        requests
            .iter()
            .all(|request| request.contains("maxresults=5000"))
    );
}

/// A page may be empty and not the last; folders are none of the blobs.
#[tokio::test]
async fn a_listing_goes_on_to_its_last_page_and_a_page_is_tried_again() {
    let (blobs, fake) = faked(vec![
        page(&["a/x.nc", "a/sub!"], "m1"),
        Answer::refusal(503, "ServerBusy"),
        page(&[], "m2"),
        page(&["a/y.nc", "a/../z.nc"], ""),
    ])
    .await;
    let prefix = source().sibling("a/");
    let pages: Vec<_> = blobs.list_pages(&prefix).try_collect().await.unwrap();
    let names: Vec<Vec<_>> = pages
        .iter()
        .map(|page| page.iter().map(|info| info.path.blob.as_str()).collect())
        .collect();
    assert_eq!(names, [vec!["a/x.nc"], vec![], vec!["a/y.nc"]]);
    assert_eq!((pages[0][0].length, pages[0][0].etag.as_str()), (7, "0x1"));
    let markers: Vec<bool> = fake
        .requests()
        .iter()
        .map(|request| request.contains("marker=m"))
        .collect();
    assert_eq!(markers, [false, true, true, true]);
}

#[rstest]
#[case("acct", "bronze", "a.nc", "az://bronze/a.nc")]
#[case(
    "other",
    "bronze",
    "a b.nc",
    "abfs://bronze@other.dfs.core.windows.net/a b.nc"
)]
#[tokio::test]
async fn a_reference_names_the_account_where_it_is_another(
    #[case] account: &str,
    #[case] container: &str,
    #[case] blob: &str,
    #[case] url: &str,
) {
    let fake = Fake::start(vec![Answer::Stall]).await;
    let blobs = AzureBlobs::any(fake.connection(), "acct");
    let path = BlobPath::new(account, container, blob);
    assert_eq!(blobs.reference_url(&path), url);
    assert_eq!(blobs.path_of(url), Some(path));
}
