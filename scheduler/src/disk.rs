//! Looking after the disk of the data directory.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use berth_daemon::metrics::Gauge;
use nix::sys::statvfs::statvfs;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::log::Log;
use crate::raft::driver::TransferError;
use crate::room::Room;

/// How often the disk is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long leadership is not handed over again: when all disks are full, it would go round without end.
const HAND_OVER_AGAIN: Duration = Duration::from_secs(30);

/// Looks at the disk from time to time.
#[derive(Debug)]
pub struct Prober {
    dir: PathBuf,
    room: watch::Sender<Room>,
    free: Gauge,
}

impl Prober {
    /// A prober of the disk that has this directory, and where its judgement is found. It has looked once.
    pub fn new(dir: PathBuf, free: Gauge) -> (Prober, watch::Receiver<Room>) {
        let (room, judged) = watch::channel(Room::default());
        let prober = Prober { dir, room, free };
        prober.look();
        (prober, judged)
    }

    /// Looks until it is told to stop. A leader without room hands over to another member, if there is one.
    pub async fn run(self, log: Log, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let mut handed_over: Option<Instant> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            self.look();
            let lately = handed_over.is_some_and(|at| at.elapsed() < HAND_OVER_AGAIN);
            if *self.room.borrow() == Room::Exhausted && log.leads() && !lately {
                match log.node().transfer_leadership(None).await {
                    Ok(to) => {
                        handed_over = Some(Instant::now());
                        tracing::warn!(to, "leadership is handed over, because the disk here is full");
                    }
                    Err(TransferError::NoSuccessor | TransferError::NotLeader { .. }) => {}
                    Err(TransferError::Stopped) => return,
                }
            }
        }
    }

    fn look(&self) {
        let (free, total) = match statvfs(&self.dir) {
            Ok(disk) => (
                disk.blocks_available().saturating_mul(disk.fragment_size()),
                disk.blocks().saturating_mul(disk.fragment_size()),
            ),
            Err(error) => {
                tracing::error!(dir = %self.dir.display(), %error, "the disk cannot be looked at");
                return;
            }
        };
        self.free.set(i64::try_from(free).unwrap_or(i64::MAX));
        let now = Room::of(free, total);
        let before = self.room.send_replace(now);
        if before == now {
            return;
        }
        let (dir, free_mib) = (self.dir.display(), free >> 20);
        match now.alarm() {
            None => tracing::info!(%dir, free_mib, "the disk has room again"),
            Some(alarm) if now == Room::Low => tracing::warn!(%dir, free_mib, "{alarm}"),
            Some(alarm) => tracing::error!(%dir, free_mib, "{alarm}"),
        }
    }
}
