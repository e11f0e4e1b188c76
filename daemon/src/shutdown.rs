//! From signals to the token that every task watches.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::tasks::Tasks;

/// The exit code of a process that a second Ctrl-C ended: 128 + SIGINT, as shells count.
const INTERRUPTED: i32 = 130;

/// From now on the first SIGINT or SIGTERM begins the orderly stop of `tasks`
/// ([`Tasks::begin_shutdown`]); a second SIGINT ends the process at once with code 130, for a
/// person who does not want to wait.
///
/// # Errors
/// When the system refuses to install the handlers.
pub fn on_signals(tasks: &Tasks) -> io::Result<()> {
    let interrupt = signal(SignalKind::interrupt())?;
    let terminate = signal(SignalKind::terminate())?;
    tasks.spawn_untracked("shutdown.signals", wait(interrupt, terminate, tasks.clone()));
    Ok(())
}

#[expect(clippy::exit, reason = "a second Ctrl-C asks for exactly this: no waiting for anything")]
async fn wait(mut interrupt: Signal, mut terminate: Signal, tasks: Tasks) {
    let name = tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    };
    tracing::info!(signal = name, "stopping; a second Ctrl-C ends the process at once");
    tasks.begin_shutdown();
    interrupt.recv().await;
    tracing::warn!("second SIGINT: ending without waiting");
    std::process::exit(INTERRUPTED);
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use super::{INTERRUPTED, on_signals};
    use crate::tasks::{OnFailure, Tasks};

    /// Set in the child process that the signals are sent to.
    const CHILD: &str = "BERTH_TEST_SHUTDOWN_CHILD";
    const TEST: &str = "shutdown::tests::the_first_signal_stops_in_order_and_a_second_ctrl_c_at_once";

    #[test]
    fn the_first_signal_stops_in_order_and_a_second_ctrl_c_at_once() {
        if let Ok(mode) = env::var(CHILD) {
            return victim(&mode);
        }
        let mut orderly = started("orderly");
        send("-TERM", &orderly);
        assert!(orderly.wait().unwrap().success());

        let mut stuck = started("stuck");
        send("-INT", &stuck);
        let mut lines = BufReader::new(stuck.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("stopping")), "the first signal was not seen");
        send("-INT", &stuck);
        assert_eq!(stuck.wait().unwrap().code(), Some(INTERRUPTED));
    }

    fn victim(mode: &str) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let tasks = Tasks::new();
            on_signals(&tasks).unwrap();
            println!("started");
            tasks.stopping().await;
            println!("stopping");
            if mode == "stuck" {
                tasks.spawn("test.stuck", OnFailure::Log, std::future::pending::<()>());
            }
            tasks.shutdown(Duration::from_secs(60)).await.unwrap();
        });
    }

    /// A child that has installed its handlers.
    fn started(mode: &str) -> Child {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(CHILD, mode)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.as_mut().unwrap());
        let mut line = String::new();
        while !line.ends_with("started\n") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child ended early");
        }
        child
    }

    fn send(signal: &str, child: &Child) {
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}
