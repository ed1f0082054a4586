//! A proxy between an app and PostgreSQL that fails as networks and busy servers do: connections are refused, cut before
//! and after a statement was carried out and in the middle of its answer, answers are held back, the server has no room
//! for more clients for a while, and after some questions nothing comes at all.
//!
//! What it does wrong is chance, from a seed. A commit that was carried out and whose answer does not arrive is the
//! fault that matters most, so commits meet more of them than other statements do. It looks into what is sent, so
//! connections through it are in the clear.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WireFault {
    /// The connection ends as soon as it is made.
    Refused,
    /// `sorry, too many clients already`, as all who connect hear for a while.
    Full,
    /// The connection ends before the statement is passed on.
    CutBefore,
    /// The connection ends after the statement was carried out, and its answer with it.
    CutAfter,
    /// Half of the answer comes.
    CutAnswer,
    /// The answer comes late.
    Held,
    /// No answer comes for long, then the connection ends.
    Stalled,
}

impl WireFault {
    /// Each of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Refused,
        Self::Full,
        Self::CutBefore,
        Self::CutAfter,
        Self::CutAnswer,
        Self::Held,
        Self::Stalled,
    ];

    /// Whether it happens to a connection as it is made, and else to a statement.
    const fn is_of_connecting(self) -> bool {
        matches!(self, Self::Refused | Self::Full)
    }
}

/// How many of a thousand meet a fault.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rates {
    /// Of connections that are made.
    pub(crate) connections: u32,
    /// Of what is asked, but commits.
    pub(crate) statements: u32,
    /// Of commits.
    pub(crate) commits: u32,
}

/// The faults so far, by kind and whether a commit met them.
pub(crate) type Met = BTreeMap<(WireFault, bool), u32>;

/// A proxy at work.
pub(crate) struct Wire {
    port: u16,
    state: Arc<State>,
    runtime: Option<tokio::runtime::Runtime>,
}

struct State {
    server: u16,
    chance: Mutex<fastrand::Rng>,
    rates: Mutex<Rates>,
    kinds: Mutex<Vec<WireFault>>,
    stall: Duration,
    full_until: Mutex<Option<Instant>>,
    met: Mutex<Met>,
}

impl Wire {
    /// In front of a PostgreSQL on a port of loopback.
    pub(crate) fn before(server: u16, seed: u64, stall: Duration) -> Self {
        let state = Arc::new(State {
            server,
            chance: Mutex::new(fastrand::Rng::with_seed(seed)),
            rates: Mutex::default(),
            kinds: Mutex::new(WireFault::ALL.into()),
            stall,
            full_until: Mutex::default(),
            met: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(accept(listener, Arc::clone(&state)));
        Self {
            port,
            state,
            runtime: Some(runtime),
        }
    }

    /// The address of a database, of this proxy in place of its server.
    pub(crate) fn url(&self, url: &str) -> String {
        let port = |port: u16| format!("127.0.0.1:{port}/");
        assert!(url.contains(&port(self.state.server)), "{url}");
        url.replace(&port(self.state.server), &port(self.port))
    }

    /// How many of a thousand commits meet a fault from now on; of connections half as many, of other statements a
    /// twentieth, since a piece of work has so many more of them.
    pub(crate) fn set_faults(&self, per_mille: u32) {
        self.set_rates(Rates {
            connections: per_mille / 2,
            statements: per_mille / 20,
            commits: per_mille,
        });
    }

    /// How many of each meet a fault from now on.
    pub(crate) fn set_rates(&self, rates: Rates) {
        *self.state.rates.lock().unwrap() = rates;
    }

    /// Makes faults of one kind only.
    pub(crate) fn set_kind(&self, kind: WireFault) {
        *self.state.kinds.lock().unwrap() = vec![kind];
    }

    /// The faults so far.
    pub(crate) fn faults(&self) -> Met {
        self.state.met.lock().unwrap().clone()
    }
}

impl Drop for Wire {
    /// Without waiting for what is under way, so that a test that is asynchronous itself may do it.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let state = Arc::clone(&state);
        // An error is a connection that one of the two, or a fault, has cut.
        tokio::spawn(async move { state.serve(client).await.ok() });
    }
}

fn cut() -> io::Error {
    io::Error::other("cut off")
}

/// The answer to a start-up message: FATAL, with the code and the words of PostgreSQL.
fn too_many_clients() -> Vec<u8> {
    let fields = b"SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0";
    let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
    [b"E".as_slice(), &length, fields].concat()
}

impl State {
    /// What goes wrong next, if anything does, with so many of a thousand.
    fn fault(&self, per_mille: u32, of_connecting: bool, is_commit: bool) -> Option<WireFault> {
        let kinds = self.kinds.lock().unwrap();
        let kinds: Vec<WireFault> = kinds
            .iter()
            .copied()
            .filter(|kind| kind.is_of_connecting() == of_connecting)
            .collect();
        let mut chance = self.chance.lock().unwrap();
        if kinds.is_empty() || chance.u32(..1000) >= per_mille {
            return None;
        }
        let fault = kinds[chance.usize(..kinds.len())];
        *self
            .met
            .lock()
            .unwrap()
            .entry((fault, is_commit))
            .or_default() += 1;
        Some(fault)
    }

    /// A time of so many milliseconds at most.
    fn moment(&self, longest: u64) -> Duration {
        Duration::from_millis(self.chance.lock().unwrap().u64(longest / 4..=longest))
    }

    /// What goes wrong with a connection that is being made.
    fn fault_of_connecting(&self) -> Option<WireFault> {
        let mut full_until = self.full_until.lock().unwrap();
        if full_until.is_some_and(|until| Instant::now() < until) {
            return Some(WireFault::Full);
        }
        let rates = *self.rates.lock().unwrap();
        let fault = self.fault(rates.connections, true, false);
        if fault == Some(WireFault::Full) {
            *full_until = Some(Instant::now() + self.moment(800));
        }
        fault
    }

    /// What goes wrong with what a client sends.
    fn fault_of_statement(&self, sent: &[u8]) -> Option<WireFault> {
        let is_commit = sent.windows(7).any(|window| window == b"COMMIT\0");
        let rates = *self.rates.lock().unwrap();
        let per_mille = match is_commit {
            true => rates.commits,
            false => rates.statements,
        };
        self.fault(per_mille, false, is_commit)
    }

    async fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        match self.fault_of_connecting() {
            Some(WireFault::Full) => {
                some(client.read(&mut [0; 1024]).await?)?;
                return client.write_all(&too_many_clients()).await;
            }
            Some(_) => return Ok(()),
            None => {}
        }
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server)).await?;
        let (mut asked, mut answer) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        let mut fault = None;
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let sent = &asked[..some(read?)?];
                    fault = self.fault_of_statement(sent).or(fault);
                    if fault == Some(WireFault::CutBefore) {
                        return Err(cut());
                    }
                    server.write_all(sent).await?;
                }
                read = server.read(&mut answer) => {
                    let got = &answer[..some(read?)?];
                    self.pass_back(&mut client, got, fault.take()).await?;
                }
            }
        }
    }

    /// Passes an answer back, or what the fault leaves of it.
    async fn pass_back(
        &self,
        client: &mut TcpStream,
        answer: &[u8],
        fault: Option<WireFault>,
    ) -> io::Result<()> {
        match fault {
            None => return client.write_all(answer).await,
            Some(WireFault::Held) => {
                tokio::time::sleep(self.moment(600)).await;
                return client.write_all(answer).await;
            }
            Some(WireFault::CutAnswer) => client.write_all(&answer[..answer.len() / 2]).await?,
            Some(WireFault::Stalled) => tokio::time::sleep(self.stall).await,
            Some(_) => {}
        }
        Err(cut())
    }
}

/// How much was read; nothing is the end of the connection.
fn some(read: usize) -> io::Result<usize> {
    (read > 0).then_some(read).ok_or_else(cut)
}
