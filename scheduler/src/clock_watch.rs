//! Keeps an eye on this server's wall clock: asks the peers what time it is and publishes what to make of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_core::time::Timestamp;
use berth_daemon::tasks::Tasks;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::clock::{Boot, Clock, Doubt, Frame, Now, Reading};
use crate::log::Log;
use crate::raft::membership::MemberId;

/// Between two rounds of questions, once a peer has answered.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Between two rounds before that.
const ASK_FIRST: Duration = Duration::from_millis(100);
/// How long an answer is waited for.
const ANSWER_MAX: Duration = Duration::from_millis(800);

/// The clocks of this machine, now.
pub fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every Linux has a boot clock");
    let boot = u64::try_from(Duration::from(boot).as_millis()).unwrap_or(u64::MAX);
    Now { wall, boot: Boot(boot) }
}

/// Where the time is read. Cheap to clone; reading never waits.
#[derive(Debug, Clone)]
pub struct Clocks {
    frame: watch::Receiver<Frame>,
}

impl Clocks {
    /// What the time is now.
    pub fn read(&self) -> Reading {
        self.frame.borrow().read(now())
    }
}

/// The loop.
#[derive(Debug)]
pub struct ClockWatch {
    clock: Clock,
    frame: watch::Sender<Frame>,
    doubt: Option<Doubt>,
}

impl ClockWatch {
    /// The watch of a server that starts, and where the time is read. `alone` says that it has no peers.
    pub fn new(alone: bool) -> (ClockWatch, Clocks) {
        let mut clock = Clock::new(now(), alone);
        let (sender, frame) = watch::channel(clock.look(now(), Timestamp(0)));
        (ClockWatch { clock, frame: sender, doubt: None }, Clocks { frame })
    }

    /// Runs until the server stops.
    pub async fn run(mut self, log: Log, tasks: Tasks) {
        let stop = tasks.token();
        let mut answered = false;
        let mut round = interval(ASK_FIRST);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = round.tick() => {}
            }
            let answers = ask(&log).await;
            if !answers.is_empty() && !answered {
                answered = true;
                round = interval(ASK_EVERY);
                round.set_missed_tick_behavior(MissedTickBehavior::Delay);
            }
            for (peer, sent, heard, wall) in answers {
                self.clock.measured(peer, sent, heard, wall);
            }
            self.look(log.latest().state.time());
        }
    }

    fn look(&mut self, stamped: Timestamp) {
        let now = now();
        let frame = self.clock.look(now, stamped);
        let doubt = frame.read(now).doubt.filter(Doubt::is_alarm);
        match (&doubt, &self.doubt) {
            (Some(doubt), None) => tracing::error!(wall = now.wall.0, "{doubt}"),
            (None, Some(_)) => tracing::info!("the wall clock is right again"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        self.doubt = doubt;
        self.frame.send_replace(frame);
    }
}

/// Asks every peer; gives what came back, with when it was sent and heard.
async fn ask(log: &Log) -> Vec<(MemberId, Boot, Boot, Timestamp)> {
    let own = log.node().identity().member;
    let peers: Vec<MemberId> = {
        let status = log.node().status();
        let membership = status.borrow().membership.clone();
        membership.members().map(|member| member.id).filter(|id| *id != own).collect()
    };
    let questions: FuturesUnordered<_> = peers
        .into_iter()
        .map(|peer| async move {
            let sent = now().boot;
            let wall = timeout(ANSWER_MAX, log.time_of(peer)).await.ok()??;
            Some((peer, sent, now().boot, wall))
        })
        .collect();
    questions.filter_map(|answer| async move { answer }).collect().await
}
