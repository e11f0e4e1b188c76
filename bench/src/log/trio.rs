use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::From;
use super::member::{Answer, Ask, Member};

/// How long members may take to agree on a leader.
const ELECTION_MAX: Duration = Duration::from_secs(20);

/// Three members, each a process.
pub(super) struct Trio {
    members: Vec<Process>,
}

/// What was reached.
pub(super) struct Measured {
    pub(super) rate: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Syncs of the leader's disk, and the entries that they made durable.
    pub(super) syncs: u64,
    pub(super) entries: u64,
}

struct Process {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Trio {
    pub(super) fn start(directory: &Path) -> Result<Trio> {
        // All are held until all are known, so that no port is given out twice.
        let held: Vec<TcpListener> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
        let addresses: Vec<String> =
            held.iter().map(|listener| Ok(listener.local_addr()?.to_string())).collect::<Result<_>>()?;
        drop(held);
        let mut trio = Trio { members: Vec::new() };
        for id in 1..=3 {
            let directory = directory.join(format!("member-{id}"));
            trio.members.push(Process::start(&Member { id, directory, addresses: addresses.clone() })?);
        }
        trio.leader()?;
        Ok(trio)
    }

    /// Keeps that many proposals in flight, from a process of the kind asked for.
    pub(super) fn measure(&mut self, from: From, in_flight: usize, span: Duration) -> Result<Measured> {
        let leader = self.leader()?;
        let proposer = match from {
            From::Leader => leader,
            From::Follower => (leader + 1) % self.members.len(),
        };
        let before = self.syncs(leader)?;
        let millis = u64::try_from(span.as_millis())?;
        let ask = Ask::Propose { forward: from == From::Follower, in_flight, millis };
        let Answer::Proposed { done, seconds, p50_ms, p99_ms } = self.members[proposer].ask(ask)? else {
            bail!("another answer than to what was asked");
        };
        ensure!(done > 0, "nothing was committed");
        let after = self.syncs(leader)?;
        let rate = done as f64 / seconds;
        Ok(Measured { rate, p50_ms, p99_ms, syncs: after.0 - before.0, entries: after.1 - before.1 })
    }

    /// Ends all members in order.
    pub(super) fn stop(mut self) -> Result<()> {
        for member in &mut self.members {
            member.tell(Ask::Stop)?;
        }
        for member in &mut self.members {
            ensure!(member.child.wait()?.success(), "a member failed");
        }
        Ok(())
    }

    fn leader(&mut self) -> Result<usize> {
        let began = Instant::now();
        while began.elapsed() < ELECTION_MAX {
            for (at, member) in self.members.iter_mut().enumerate() {
                if matches!(member.ask(Ask::Leads)?, Answer::Leads(true)) {
                    return Ok(at);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("no member leads after {} s", ELECTION_MAX.as_secs())
    }

    fn syncs(&mut self, member: usize) -> Result<(u64, u64)> {
        match self.members[member].ask(Ask::Syncs)? {
            Answer::Syncs { syncs, entries } => Ok((syncs, entries)),
            Answer::Leads(_) | Answer::Proposed { .. } => bail!("another answer than to what was asked"),
        }
    }
}

impl Process {
    fn start(member: &Member) -> Result<Process> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["log-member", &serde_json::to_string(member)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asks = child.stdin.take().context("a member without an input")?;
        let answers = BufReader::new(child.stdout.take().context("a member without an output")?);
        Ok(Process { child, asks, answers })
    }

    fn tell(&mut self, ask: Ask) -> Result<()> {
        writeln!(self.asks, "{}", serde_json::to_string(&ask)?)?;
        Ok(self.asks.flush()?)
    }

    fn ask(&mut self, ask: Ask) -> Result<Answer> {
        self.tell(ask)?;
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "a member ended too early");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Only matters when something failed: a member that was told to stop has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
