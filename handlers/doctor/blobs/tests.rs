use std::collections::BTreeSet;

use rstest::rstest;

use super::*;
use crate::config::{AzureAccess, CredentialKind, IdentityConfig};
use crate::stores::azure::fake::{Answer, Fake};
use crate::stores::identity::Principal;

fn who() -> Who {
    Who::Known(Principal {
        object_id: Some(String::from("0b1e")),
        is_app: true,
        ..Principal::default()
    })
}

fn container(account: &str, container: &str) -> ContainerConfig {
    ContainerConfig {
        account: account.to_owned(),
        container: container.to_owned(),
    }
}

fn azure() -> AzureBlobsConfig {
    AzureBlobsConfig {
        sources: BTreeSet::from([container("acct", "bronze")]),
        silver: container("other", "silver"),
        account: String::from("acct"),
        access: AzureAccess {
            blob_endpoint: String::new(),
            queue_endpoint: String::new(),
            identity: IdentityConfig {
                credential: CredentialKind::Anonymous,
                client_id: None,
            },
        },
    }
}

/// What is told of a container that answers so.
async fn told(part: &str, answers: Vec<Answer>) -> (Check, Vec<String>) {
    let (fake, azure) = (Fake::start(answers).await, azure());
    let (wanted, is_written) = match part {
        "bronze" => (container("acct", "bronze"), false),
        _ => (container("other", "silver"), true),
    };
    let connection = fake.connection();
    let check = container_check(&connection, &azure, part, &wanted, is_written, &who()).await;
    (check, fake.requests())
}

const MISMATCH: &str = "AuthorizationPermissionMismatch";

fn empty_list() -> Answer {
    let xml =
        b"<?xml version=\"1.0\"?><EnumerationResults><Blobs/><NextMarker/></EnumerationResults>";
    Answer::of(200, &[("content-type", "application/xml")], xml)
}

fn made() -> Answer {
    Answer::of(201, &[("etag", "\"1\"")], b"")
}

#[rstest]
#[case::nothing_at_all(0, "cannot look at it: ")]
#[case::no_listing(1, "cannot list: ")]
#[tokio::test]
async fn who_may_not_read_a_source_learns_the_assignment(
    #[case] allowed: usize,
    #[case] doing: &str,
) {
    let mut answers = vec![Answer::of(200, &[], b"")];
    answers.truncate(allowed);
    answers.push(Answer::refusal(403, MISMATCH));
    let (check, _) = told("bronze", answers).await;
    assert_eq!(check.state, State::Failed);
    assert!(check.message.starts_with(doing), "{}", check.message);
    let remedy = check.remedy.unwrap();
    for part in [
        "az role assignment create --role \"Storage Blob Data Reader\" --assignee-object-id 0b1e ",
        "--name acct ",
        "/blobServices/default/containers/bronze\"",
    ] {
        assert!(remedy.contains(part), "{remedy}");
    }
}

#[tokio::test]
async fn a_source_is_never_written() {
    let (check, requests) = told("bronze", vec![Answer::of(200, &[], b""), empty_list()]).await;
    assert_eq!(check.state, State::Ok, "{check:?}");
    assert!(
        requests
            .iter()
            .all(|request| request.starts_with("get ") || request.starts_with("head ")),
        "{requests:?}"
    );
}

#[rstest]
#[case::no_write(0, "cannot write: ")]
#[case::no_listing(1, "cannot list: ")]
#[tokio::test]
async fn who_may_not_write_silver_learns_the_assignment(
    #[case] allowed: usize,
    #[case] doing: &str,
) {
    let mut answers = vec![made()];
    answers.truncate(allowed);
    answers.push(Answer::refusal(403, MISMATCH));
    let (check, requests) = told("silver", answers).await;
    assert!(check.message.starts_with(doing), "{}", check.message);
    let remedy = check.remedy.unwrap();
    for part in [
        "--role \"Storage Blob Data Contributor\"",
        "--name other ",
        "/containers/silver\"",
    ] {
        assert!(remedy.contains(part), "{remedy}");
    }
    // What was written is deleted, or tried to.
    let last = requests.last().unwrap();
    assert_eq!(last.starts_with("delete "), allowed > 0, "{requests:?}");
}

#[rstest]
#[case::no_container(
    404,
    "ContainerNotFound",
    "az storage container create --account-name other --name silver"
)]
#[case::network(403, "AuthorizationFailure", "network-rule add --account-name other")]
#[case::tenant(401, "InvalidAuthenticationInfo", "tenant")]
#[case::busy(503, "ServerBusy", "primaryEndpoints")]
#[tokio::test]
async fn every_refusal_has_its_remedy(
    #[case] status: u16,
    #[case] code: &str,
    #[case] remedy: &str,
) {
    let (check, _) = told("silver", vec![Answer::refusal(status, code)]).await;
    assert_eq!(check.state, State::Failed);
    assert!(check.remedy.as_ref().unwrap().contains(remedy), "{check:?}");
}

#[tokio::test]
async fn a_status_is_not_looked_for_in_a_name() {
    let (fake, azure) = (
        Fake::start(vec![Answer::refusal(403, MISMATCH)]).await,
        azure(),
    );
    let named = container("other", "silver-401-network-rules");
    let check = container_check(&fake.connection(), &azure, "silver", &named, true, &who()).await;
    let remedy = check.remedy.as_ref().unwrap();
    assert!(
        remedy.starts_with("az role assignment create") && !remedy.contains("network-rule add"),
        "{check:?}"
    );
}

#[tokio::test]
async fn folders_are_tried_and_left_as_they_were() {
    let root = tempfile::tempdir().unwrap();
    let (bronze, silver) = (root.path().join("bronze"), root.path().join("silver"));
    std::fs::create_dir(&silver).unwrap();
    let letters = DeadLettersConfig::Folder(silver.clone());
    let checks = folders(&bronze, &silver, Some(&letters)).await;
    let states: Vec<State> = checks.iter().map(|check| check.state).collect();
    assert_eq!(states, [State::Failed, State::Ok, State::Ok], "{checks:?}");
    assert!(checks[0].remedy.as_ref().unwrap().starts_with("mkdir"));
    assert!(!bronze.exists(), "nothing is made");
    assert_eq!(std::fs::read_dir(&silver).unwrap().count(), 0);
}
