//! What is to be done, as a pure difference of what is desired and what is observed.

use std::collections::BTreeSet;

use berth_core::id::AttemptHandle;
use berth_core::reason::EndReason;
use berth_core::time::Millis;

use crate::attempts::{Attempt, Attempts};
use crate::clock::Boot;
use crate::journal::StopCause;
use crate::message::{Desired, Intent, Order};

#[cfg(test)]
mod tests;

/// All that an agent does with attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Takes an attempt on and starts it.
    Start(Order),
    /// Does not start it, because there was an attempt with this handle before, and reports that.
    RefuseStart { attempt: AttemptHandle, name: String },
    /// Asks it to end, and ends it by force after the grace.
    Stop { attempt: AttemptHandle, grace: Millis, cause: StopCause },
    /// Stops it as the launch says; when it is over it is forgotten, and nobody is told.
    Abandon { attempt: AttemptHandle },
    /// Reports the end, for that reason, of an attempt that was to stop before it was ever started here.
    ReportNeverStarted { attempt: AttemptHandle, name: String, reason: EndReason },
    /// Reports an end again that the server took once and does not know any more.
    ReportAgain { attempt: AttemptHandle },
    /// Drops it; its logs stay a while.
    Forget { attempt: AttemptHandle },
}

/// What brings the attempts to what is desired. `reporting` says whether the end of an attempt is still to be
/// acknowledged. What is done already is not in it, so the same orders may come any number of times.
pub fn reconcile(
    attempts: &Attempts,
    reporting: impl Fn(AttemptHandle) -> bool,
    desired: Desired,
) -> Vec<Action> {
    let mut actions = Vec::new();
    if desired.full {
        let named: BTreeSet<AttemptHandle> = desired.set.iter().map(|order| order.attempt).collect();
        let unnamed = attempts.iter().filter(|(handle, _)| !named.contains(handle));
        actions.extend(unnamed.filter_map(|(handle, attempt)| let_go(handle, attempt)));
    }
    for handle in desired.forget {
        let known = attempts.get(handle).filter(|_| !desired.full);
        actions.extend(known.and_then(|attempt| let_go(handle, attempt)));
    }
    for order in desired.set {
        let handle = order.attempt;
        let action = match attempts.get(handle) {
            Some(attempt) if attempt.is_live() => stop_live(attempt, &order),
            Some(_) => {
                (desired.full && !reporting(handle)).then_some(Action::ReportAgain { attempt: handle })
            }
            None => Some(first_order(attempts, order)),
        };
        actions.extend(action);
    }
    actions
}

/// What becomes of an attempt that the server does not want to have.
fn let_go(attempt: AttemptHandle, known: &Attempt) -> Option<Action> {
    match (known.is_live(), known.unwanted) {
        (true, true) => None,
        (true, false) => Some(Action::Abandon { attempt }),
        (false, _) => Some(Action::Forget { attempt }),
    }
}

fn stop_live(attempt: &Attempt, order: &Order) -> Option<Action> {
    match &order.intent {
        Intent::Start(_) => None,
        Intent::Stop { .. } if attempt.stopping => None,
        Intent::Stop { grace, .. } => {
            Some(Action::Stop { attempt: order.attempt, grace: *grace, cause: StopCause::Ordered })
        }
    }
}

fn first_order(attempts: &Attempts, order: Order) -> Action {
    let (attempt, name) = (order.attempt, order.name.clone());
    let used = attempts.forgotten(attempt).is_some() || attempts.has_name(&name);
    match &order.intent {
        Intent::Start(_) if used => Action::RefuseStart { attempt, name },
        Intent::Start(_) => Action::Start(order),
        Intent::Stop { reason, .. } => Action::ReportNeverStarted { attempt, name, reason: reason.clone() },
    }
}

/// What has become due: attempts that have run for as long as they may, and those that may not go on any longer
/// without contact, last had at `contact`.
pub fn overdue(attempts: &Attempts, now: Boot, contact: Boot) -> Vec<Action> {
    let late = attempts
        .deadlines()
        .take_while(|(deadline, _)| *deadline <= now)
        .map(|(_, attempt)| (attempt, StopCause::TimedOut));
    let loose = attempts
        .leashes()
        .take_while(|(span, _)| contact + *span <= now)
        .map(|(_, attempt)| (attempt, StopCause::Disconnected));
    let mut seen = BTreeSet::new();
    late.chain(loose)
        .filter(|(attempt, _)| seen.insert(*attempt))
        .map(|(attempt, cause)| Action::Stop { attempt, grace: grace_of(attempts, attempt), cause })
        .collect()
}

/// How long an attempt has between the request to stop and the kill, when nobody says otherwise.
pub fn grace_of(attempts: &Attempts, attempt: AttemptHandle) -> Millis {
    let launch = attempts.get(attempt).and_then(|attempt| attempt.launch.as_ref());
    launch.map_or(Millis(0), |launch| launch.stop_grace)
}
