//! Connections, transactions and the errors of both.
//!
//! Transactions run at *read committed* and lock what they decide on (files, then groups by id, then Releases, then
//! jobs: one order everywhere). What PostgreSQL still ends to resolve a conflict is run again, and so is the attempt to
//! connect. A connection that is lost ends the call: whether its commit was carried out is then unknown, and the work is
//! delivered again, which changes nothing where it was.

use std::pin::pin;
use std::time::Duration;

use deadpool::managed::{Object, Pool, PoolError, Timeouts};
use deadpool_postgres::Transaction;
use futures_util::FutureExt as _;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, GenericClient, Row, Statement};

use super::connect::{ConnectError, Connections};
use crate::stores::ledger::LedgerError;
use crate::stores::retry::{Again, Failed, RetryPolicy, soon};

/// How long a caller waits for a connection of the pool, a new one included.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a caller waits for an answer: longer than PostgreSQL lets a statement run, so that only a server or a network
/// that says nothing at all is given up.
const ANSWER: Duration = Duration::from_secs(90);

/// How a connection is tried for again that a busy or starting server refuses: for about two seconds.
const CONNECTING: RetryPolicy = RetryPolicy {
    tries: 5,
    first_wait: Duration::from_millis(150),
    longest_wait: Duration::from_secs(2),
};

/// How often a transaction is run that others keep ending.
const ATTEMPTS: u32 = 8;

pub(super) type Client = Object<Connections>;
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The pool of one process; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pool: Pool<Connections>,
}

impl Database {
    /// A pool that connects when it is first needed.
    pub(super) fn new(connections: Connections, size: usize) -> Result<Self, LedgerError> {
        let timeouts = Timeouts {
            wait: Some(PATIENCE),
            create: Some(PATIENCE),
            recycle: Some(PATIENCE),
        };
        let pool = Pool::builder(connections)
            .max_size(size)
            .timeouts(timeouts)
            .runtime(deadpool::Runtime::Tokio1)
            .build();
        Ok(Self {
            pool: pool.map_err(|error| LedgerError::Unavailable(Box::new(error)))?,
        })
    }

    /// A connection of our own for a while.
    pub(super) async fn client(&self) -> Result<Client, LedgerError> {
        let connected = CONNECTING.run(|_| async { self.pool.get().await.map_err(Refused) });
        connected.await.map_err(|Refused(error)| match error {
            PoolError::Backend(ConnectError::Database(error)) => error.into(),
            error => LedgerError::Unavailable(Box::new(error)),
        })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Refused(PoolError<ConnectError>);

impl Failed for Refused {
    /// A server that starts or has no room may have some soon, and so may a network that drops us.
    fn again(&self) -> Again {
        let PoolError::Backend(ConnectError::Database(error)) = &self.0 else {
            return Again::Never;
        };
        let is_passing = match error.code() {
            Some(code) => is_lost(error) || is_full(code),
            None => error.is_closed() || is_of_network(error),
        };
        match is_passing {
            true => Again::Soon,
            false => Again::Never,
        }
    }
}

fn is_of_network(error: &Error) -> bool {
    let cause = std::error::Error::source(error);
    cause.is_some_and(|cause| cause.is::<std::io::Error>())
}

/// Class 53, insufficient resources: too many clients, no memory, no room on the disk.
fn is_full(code: &SqlState) -> bool {
    code.code().starts_with("53")
}

/// Runs `$body`, a future over the transaction `$tx`, and commits it; again, where PostgreSQL ended it to resolve a
/// conflict. A macro, because a closure cannot say that its future, which borrows the transaction, may be sent. The
/// future is made when there is a connection: hundreds may wait for one, and should hold little meanwhile.
macro_rules! transact {
    ($database:expr, $tx:ident => $body:expr) => {{
        let mut tries = $crate::stores::ledger::postgres::database::Tries::default();
        loop {
            let done: Result<_, $crate::stores::ledger::LedgerError> = async {
                let mut client = $database.client().await?;
                client.ask();
                let asked = Box::pin(async {
                    let transaction = client.transaction().await?;
                    let $tx = &transaction;
                    let value = $body.await?;
                    transaction.commit().await?;
                    Ok(value)
                });
                let done = $crate::stores::ledger::postgres::database::in_time(asked).await;
                $crate::stores::ledger::postgres::database::conclude(&client, &done);
                done
            }
            .await;
            match done {
                Err(error) if tries.allow(&error) => tries.pause().await,
                done => break done,
            }
        }
    }};
}
pub(super) use transact;

/// The outcome of something that is asked of the database, if it comes soon enough.
pub(super) fn in_time<T>(
    work: impl Future<Output = Result<T, LedgerError>>,
) -> impl Future<Output = Result<T, LedgerError>> {
    soon(ANSWER, work)
        .map(|done| done.unwrap_or_else(|| Err(LedgerError::Unavailable(Box::new(Silent)))))
}

/// The database did not answer in time; what becomes of what it was asked is not known.
#[derive(Debug, thiserror::Error)]
#[error("the database does not answer")]
struct Silent;

/// Notes that an answer has come, unless an error has shown that the connection is lost or says nothing; the pool may
/// notice that later.
pub(super) fn conclude<T>(client: &Client, done: &Result<T, LedgerError>) {
    let is_lost = match done {
        Err(LedgerError::Unavailable(error)) => {
            error.is::<Silent>() || error.downcast_ref::<Error>().is_some_and(is_lost)
        }
        _ => false,
    };
    if !is_lost {
        client.answered();
    }
}

fn is_lost(error: &Error) -> bool {
    let code = error.code().map(SqlState::code);
    error.is_closed() || code.is_none_or(|code| LOST.iter().any(|start| code.starts_with(start)))
}

/// Codes with which PostgreSQL ends a connection begin with these: it stops or starts, the connection itself failed, a
/// transaction was left open for too long.
const LOST: [&str; 4] = ["57P", "08", "25P03", "25P04"];

/// Whether a lost connection is to blame, a busy server, or others who stood in the way: the same may succeed later.
pub(super) fn is_passing(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let is_busy = |code: &SqlState| {
        let has_waited = [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED].contains(code);
        is_rivalry(code) || is_full(code) || has_waited
    };
    let answer = error.downcast_ref::<Error>();
    let answer = answer.is_some_and(|error| is_lost(error) || error.code().is_some_and(is_busy));
    answer || error.is::<Silent>()
}

/// Counts the attempts at one transaction.
#[derive(Debug, Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Whether the transaction is to be run again after this error.
    pub(super) fn allow(&mut self, error: &LedgerError) -> bool {
        self.0 += 1;
        self.0 < ATTEMPTS && is_conflict(error)
    }

    /// Waits a moment, longer each time and never the same for two that met.
    pub(super) async fn pause(&self) {
        let longest = 4_u64 << self.0.min(6);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=longest))).await;
    }
}

/// Whether others stood in the way: nothing was done, and the next attempt may succeed.
fn is_conflict(error: &LedgerError) -> bool {
    let LedgerError::Unavailable(source) = error else {
        return false;
    };
    let error = source.downcast_ref::<Error>();
    error.and_then(Error::code).is_some_and(is_rivalry)
}

/// Whether the role may not do what it was told to.
pub(super) fn is_denied(error: &LedgerError) -> bool {
    let LedgerError::Unavailable(source) = error else {
        return false;
    };
    let error = source.downcast_ref::<Error>();
    error.and_then(Error::code) == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
}

fn is_rivalry(code: &SqlState) -> bool {
    matches!(
        *code,
        SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::UNIQUE_VIOLATION
    )
}

impl From<Error> for LedgerError {
    fn from(error: Error) -> Self {
        // Class 22, data exceptions: another try would end the same.
        let is_refused = error
            .code()
            .is_some_and(|code| code.code().starts_with("22"));
        if is_refused {
            Self::Refused(Box::new(error))
        } else {
            Self::Unavailable(Box::new(error))
        }
    }
}

/// What runs statements: a connection, or a transaction on one.
pub(super) trait Session: Sync {
    /// The same without the cache of statements.
    type Raw: GenericClient + Sync;

    /// Runs what is prepared.
    fn raw(&self) -> &Self::Raw;

    /// A statement, prepared once for each connection.
    fn prepared(&self, sql: &str) -> impl Future<Output = Result<Statement, Error>> + Send;

    /// Waits for what is asked.
    fn answer<T: Send>(
        &self,
        asked: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> impl Future<Output = Result<T, LedgerError>> + Send;
}

impl Session for Client {
    type Raw = tokio_postgres::Client;

    fn raw(&self) -> &Self::Raw {
        self
    }

    async fn answer<T: Send>(
        &self,
        asked: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        self.ask();
        let done = in_time(asked).await;
        conclude(self, &done);
        done
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, Error> {
        self.prepare_cached(sql).await
    }
}

impl<'a> Session for Transaction<'a> {
    type Raw = tokio_postgres::Transaction<'a>;

    fn raw(&self) -> &Self::Raw {
        self
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, Error> {
        self.prepare_cached(sql).await
    }

    /// [`transact`] waits for all of it.
    async fn answer<T: Send>(
        &self,
        asked: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        asked.await
    }
}

/// The rows of a query.
pub(super) async fn rows(
    session: &impl Session,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, LedgerError> {
    let asked = pin!(async {
        let statement = session.prepared(sql).await?;
        Ok(session.raw().query(&statement, parameters).await?)
    });
    session.answer(asked).await
}

/// The row of a query that has one at most.
pub(super) async fn row(
    session: &impl Session,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Option<Row>, LedgerError> {
    let asked = pin!(async {
        let statement = session.prepared(sql).await?;
        Ok(session.raw().query_opt(&statement, parameters).await?)
    });
    session.answer(asked).await
}

/// The row of a query that has one, or the data are at fault.
pub(super) async fn one(
    session: &impl Session,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Row, LedgerError> {
    let found = row(session, sql, parameters).await?;
    found.ok_or_else(|| LedgerError::Corrupt {
        what: "a row that another one names",
        source: "it is not there".into(),
    })
}

/// Runs a statement; how many rows it changed.
pub(super) async fn execute(
    session: &impl Session,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<u64, LedgerError> {
    let asked = pin!(async {
        let statement = session.prepared(sql).await?;
        Ok(session.raw().execute(&statement, parameters).await?)
    });
    session.answer(asked).await
}
