//! Queues of a storage account: each takes a message that nobody sees, and gives it back.

use futures_util::future::join_all;

use super::Check;
use super::identity::{self, Scope, Who};
use crate::config::AzureQueueConfig;
use crate::stores::queue::{AzureQueue, Message, QueueTrial, QueueTrouble, QueueTroubleKind};

const PART: &str = "queue";

/// The app sends, the triggers receive and delete, the host makes poison queues.
const ROLE: &str = "Storage Queue Data Contributor";

pub(super) async fn check(azure: &AzureQueueConfig, who: &Who) -> Vec<Check> {
    let queues = Message::QUEUES.map(|queue| [queue.to_owned(), format!("{queue}-poison")]);
    let queues: Vec<String> = queues.into_iter().flatten().collect();
    let account = &azure.account;
    let made = match identity::connect(&azure.access) {
        _ if !who.has_token() => Err(String::from("not tried: there is no token")),
        Ok(connection) => AzureQueue::try_new(connection, account.clone())
            .map_err(|error| crate::pipeline::chain(&error)),
        Err(error) => Err(error),
    };
    let store = match made {
        Ok(store) => store,
        Err(error) => {
            let failed = |queue: &String| Check::failed(PART, name(account, queue), &*error);
            return queues.iter().map(failed).collect();
        }
    };
    let trials = queues.iter().map(|queue| store.try_out(queue));
    let tried = join_all(trials).await;
    let told = queues.iter().zip(tried);
    told.map(|(queue, tried)| tell(account, queue, tried, who))
        .collect()
}

fn name(account: &str, queue: &str) -> String {
    format!("{account}/{queue}")
}

fn tell(account: &str, queue: &str, tried: Result<QueueTrial, QueueTrouble>, who: &Who) -> Check {
    let is_poison = queue.ends_with("-poison");
    let name = name(account, queue);
    let trouble = match tried {
        Ok(trial) => return tell_trial(name, is_poison, trial),
        Err(trouble) => trouble,
    };
    let message = format!("cannot {trouble}");
    match trouble.kind {
        QueueTroubleKind::Missing if is_poison => {
            Check::ok(PART, name, "is made by the host when it is needed")
        }
        QueueTroubleKind::Missing => Check::failed(PART, name, "there is no such queue").cured_by(
            format!("az storage queue create --account-name {account} --name {queue} --auth-mode login"),
        ),
        QueueTroubleKind::Denied => {
            Check::failed(PART, name, message).cured_by(who.assign(ROLE, Scope::Account(account)))
        }
        QueueTroubleKind::Other => Check::failed(PART, name, message).cured_by(format!(
            "is `{account}` the name of an account, and its endpoint reached from here? az storage account show \
             --name {account} --query primaryEndpoints"
        )),
    }
}

fn tell_trial(name: String, is_poison: bool, trial: QueueTrial) -> Check {
    let QueueTrial {
        waiting,
        is_readable,
    } = trial;
    if !is_readable {
        return Check::warning(PART, name, "holds a message that is no JSON text").cured_by(
            "`messageEncoding` has to be `none` in host.json, and whoever else sends must not encode either",
        );
    }
    match (is_poison, waiting) {
        (true, 0) => Check::ok(PART, name, "is empty"),
        (true, _) => Check::warning(PART, name, format!("holds about {waiting} messages")).cured_by(
            "ReferencePoison and CombinePoison take them: does the app run? The status of their files says why",
        ),
        (false, _) => {
            let message = format!("takes messages and gives them back; about {waiting} are on it");
            Check::ok(PART, name, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::doctor::State;
    use crate::stores::azure::fake::{Answer, Fake};

    #[rstest]
    #[case::denied(
        403,
        "AuthorizationPermissionMismatch",
        "reference-due",
        "--role \"Storage Queue Data Contributor\""
    )]
    #[case::missing(
        404,
        "QueueNotFound",
        "combine-due",
        "az storage queue create --account-name acct --name combine-due"
    )]
    #[case::failing(500, "InternalError", "combine-due", "primaryEndpoints")]
    #[tokio::test]
    async fn every_refusal_has_its_remedy(
        #[case] status: u16,
        #[case] code: &str,
        #[case] queue: &str,
        #[case] remedy: &str,
    ) {
        let fake = Fake::start(vec![Answer::refusal(status, code)]).await;
        let store = AzureQueue::try_new(fake.connection(), "acct").unwrap();
        let check = tell("acct", queue, store.try_out(queue).await, &Who::Nobody);
        assert_eq!(check.state, State::Failed);
        assert!(check.remedy.as_ref().unwrap().contains(remedy), "{check:?}");
    }

    #[rstest]
    #[case::empty(true, 0, true, State::Ok)]
    #[case::poison(true, 2, true, State::Warning)]
    #[case::busy(false, 2, true, State::Ok)]
    #[case::encoded(false, 2, false, State::Warning)]
    fn what_is_on_a_queue_is_told(
        #[case] is_poison: bool,
        #[case] waiting: u64,
        #[case] is_readable: bool,
        #[case] state: State,
    ) {
        let trial = QueueTrial {
            waiting,
            is_readable,
        };
        let check = tell_trial(String::from("a/q"), is_poison, trial);
        assert_eq!(check.state, state);
    }
}
