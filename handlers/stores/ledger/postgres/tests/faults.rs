//! A database behind a network that fails, and one that has no room: what is not known to be done is done again, once.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rstest::rstest;

use super::connections::{DUE, START, declaration, landing, outcome, result};
use super::wire::{Rates, Wire, WireFault};
use super::*;
use crate::stores::ledger::GroupState;
use crate::stores::retry;

/// How long a call may take that does not wait for a connection which says nothing.
const SOON: Duration = Duration::from_secs(10);

/// A ledger of one connection over a proxy.
fn over(wire: &Wire, subject: &InDatabase) -> PostgresLedger {
    PostgresLedger::new(&wire.url(&cluster().url(&subject.name)), 1, None).unwrap()
}

fn wire(kind: WireFault) -> Wire {
    let wire = Wire::before(cluster().port(), 1, Duration::from_secs(60));
    wire.set_kind(kind);
    wire
}

const COMMITS: Rates = Rates {
    connections: 0,
    statements: 0,
    commits: 1000,
};

const STATEMENTS: Rates = Rates {
    connections: 0,
    statements: 1000,
    commits: 1000,
};

const CONNECTIONS: Rates = Rates {
    connections: 1000,
    statements: 0,
    commits: 0,
};

/// Runs a call whose commit is carried out and whose answer does not arrive, and once more, as a redelivery does.
macro_rules! twice {
    ($wire:expr, $rates:expr, $call:expr) => {{
        $wire.set_rates($rates);
        let lost = $call.await;
        $wire.set_rates(Rates::default());
        assert!(matches!(lost, Err(LedgerError::Unavailable(_))), "{lost:?}");
        $call.await.unwrap()
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_unheard_and_is_done_again_counts_once() {
    let subject = InDatabase::new();
    let wire = wire(WireFault::CutAfter);
    let ledger = over(&wire, &subject);
    let declared = twice!(wire, COMMITS, ledger.declare_group(&declaration("once")));
    assert!(!declared.is_new, "it was made the first time");
    let group = declared.group.id;
    // What is one statement is prepared, so that it is carried out at once.
    ledger
        .record_landed(&landing("era5/other.nc", "v1"))
        .await
        .unwrap();
    let event = landing("era5/once.nc", "v1");
    let Recorded::Known(file) = twice!(wire, STATEMENTS, ledger.record_landed(&event)) else {
        panic!("it was recorded the first time")
    };
    twice!(wire, COMMITS, ledger.add_member(&group, file.id, true));
    assert!(
        ledger
            .record_outcome(file.id, "v1", &outcome())
            .await
            .unwrap()
    );
    let settled = twice!(wire, COMMITS, ledger.settle(&group, DUE, START));
    assert!(settled.is_due, "its message may not have been sent");
    let generation = settled.group.generation;
    let lease = |seconds: i64| Lease {
        runner: String::from("one"),
        now: START + SignedDuration::from_secs(seconds),
        until: START + SignedDuration::from_secs(seconds + 60),
    };
    let held = twice!(wire, COMMITS, ledger.claim(&group, generation, &lease(0)));
    assert_eq!(
        held,
        Claimed::Held(lease(0).until),
        "nobody knows that it is ours"
    );
    let Claimed::Ours(claim) = ledger.claim(&group, generation, &lease(61)).await.unwrap() else {
        panic!("its lease has run out")
    };
    let is_ours = twice!(wire, COMMITS, ledger.publish(&claim, &result()));
    assert!(!is_ours, "it was published the first time");
    assert_eq!(
        ledger.group(&group).await.unwrap().unwrap().state,
        GroupState::Combined
    );
    let told = [
        "created",
        "processing_started",
        "processing_started",
        "processing_completed",
    ];
    assert_eq!(subject.audit(&claim.release.release_id).await, told);
    let runs = "SELECT string_agg(state, ' ' ORDER BY id) FROM landfall.combine_run";
    assert_eq!(subject.sql(runs), "lost published");
    let commits = wire.faults()[&(WireFault::CutAfter, true)];
    assert_eq!(commits, 5, "{:?}", wire.faults());
}

#[rstest]
#[case::its_time_is_up(true)]
#[case::it_is_given_up(false)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_says_nothing_is_not_waited_for_by_the_next(#[case] has_deadline: bool) {
    let subject = InDatabase::new();
    let wire = wire(WireFault::Stalled);
    let ledger = over(&wire, &subject);
    ledger.check_schema().await.unwrap();
    let start = Instant::now();
    wire.set_rates(STATEMENTS);
    let moment = Duration::from_millis(300);
    match has_deadline {
        true => {
            let silent = retry::within(moment, ledger.check_schema())
                .await
                .unwrap_err();
            let chain = crate::pipeline::chain(&silent);
            assert!(chain.contains("does not answer"), "{chain}");
        }
        false => assert!(
            tokio::time::timeout(moment, ledger.declare_group(&declaration("x")))
                .await
                .is_err()
        ),
    }
    wire.set_rates(Rates::default());
    ledger.check_schema().await.unwrap();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lets_nobody_in_is_asked_again(
    #[values(WireFault::Refused, WireFault::Full)] kind: WireFault,
) {
    let subject = InDatabase::new();
    let wire = wire(kind);
    let ledger = over(&wire, &subject);
    wire.set_rates(CONNECTIONS);
    let asking = tokio::spawn(async move { ledger.check_schema().await });
    while wire.faults().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    wire.set_rates(Rates::default());
    asking.await.unwrap().unwrap();

    // Not for ever, and then it says why.
    let ledger = over(&wire, &subject);
    wire.set_rates(CONNECTIONS);
    let error = ledger.check_schema().await.unwrap_err();
    let is_full = ConnectTrouble::of(&error) == ConnectTrouble::Full;
    assert_eq!(is_full, kind == WireFault::Full, "{error:?}");
}
