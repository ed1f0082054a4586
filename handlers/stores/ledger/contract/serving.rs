//! Rules on what the served stores ask for.

use tokio::task::JoinSet;

use super::super::ids;
use super::*;

pub(crate) async fn a_secret_is_what_was_kept_first(subject: &dyn Subject) {
    let ledger = subject.ledger();
    assert_eq!(ledger.secret("key", b"one").await.unwrap(), b"one");
    assert_eq!(ledger.secret("key", b"two").await.unwrap(), b"one");
    let another = subject.another();
    assert_eq!(another.secret("key", b"three").await.unwrap(), b"one");
    assert_eq!(
        another.secret("other", b"\x00\xff").await.unwrap(),
        [0, 255]
    );
}

pub(crate) async fn handlers_that_first_ask_for_a_secret_at_once_get_the_same(
    subject: &dyn Subject,
) {
    let handlers = [subject.another(), subject.another()];
    for round in 0..10_u8 {
        let mut asking = JoinSet::new();
        for number in 0..16_u8 {
            let handler = Arc::clone(&handlers[usize::from(number % 2)]);
            let name = format!("round {round}");
            asking.spawn(async move { handler.secret(&name, &[number; 32]).await.unwrap() });
        }
        let secrets = asking.join_all().await;
        assert!(
            secrets.iter().all(|secret| *secret == secrets[0]),
            "{secrets:?}"
        );
    }
}

// printf 'local|bronze|a/b.nc' | sha256sum | cut -c-32
pub(crate) async fn a_file_is_found_by_the_id_of_its_store(subject: &dyn Subject) {
    let ledger = subject.ledger();
    for blob in ["a/a.nc", "a/b.nc", "a/Temp\u{e9}rature.nc"] {
        land(ledger, blob, "v1").await;
    }
    let id = "1da5c262ba43d86c0aa5359c15c6af48";
    let found = ledger.file_by_store_id(id).await.unwrap().unwrap();
    assert_eq!(found.path, path("a/b.nc"));
    let accented = path("a/Temp\u{e9}rature.nc");
    let found = ledger
        .file_by_store_id(&ids::file_store_id(&accented))
        .await;
    assert_eq!(found.unwrap().unwrap().path, accented);
    let unknown = ids::file_store_id(&path("none.nc"));
    assert_eq!(ledger.file_by_store_id(&unknown).await.unwrap(), None);
}
