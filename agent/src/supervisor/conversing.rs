//! What the leader says, and what is said to it first.

use berth_core::time::Millis;

use super::{Output, Supervisor};
use crate::clock::Now;
use crate::disk::Disk;
use crate::fence::{self, Registration};
use crate::journal;
use crate::message::{Fence, Hello, Refusal, Said};
use crate::reconcile::reconcile;
use crate::session::SessionId;

/// The least time between two notes of the last contact.
const CONTACT_EVERY: Millis = Millis(1_000);

impl<D: Disk> Supervisor<D> {
    pub(super) fn hello(&self) -> Hello {
        Hello {
            node: self.config.node.clone(),
            known: *self.journal.known(),
            journal: self.journal.id(),
            incarnation: self.config.incarnation,
            facts: self.config.facts.clone(),
            version: self.config.version.clone(),
            reported: self.journal.reported(),
        }
    }

    pub(super) fn refused(&mut self, session: SessionId, refusal: &Refusal, now: Now, out: &mut Vec<Output>) {
        if refusal.code.is_lasting() {
            tracing::warn!(node = self.config.node, code = ?refusal.code, reason = refusal.message, "the server refuses this node");
        } else {
            tracing::debug!(code = ?refusal.code, reason = refusal.message, "the session ends");
        }
        self.session.closed(session, Some(refusal), now.boot);
        out.push(Output::HangUp { session });
    }

    pub(super) fn said(
        &mut self,
        session: SessionId,
        fence: &Fence,
        said: Said,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), journal::Error> {
        let welcome = matches!(said, Said::Welcome { .. });
        // A welcome in an open session says that the node was registered anew, because its facts have changed.
        let expected = if welcome { self.session.may_be_welcomed() } else { !self.session.is_greeting() };
        if !expected {
            return Ok(());
        }
        let registration = if welcome { Registration::Renewed } else { Registration::Same };
        let known = match fence::admit(self.journal.known(), fence, registration) {
            Ok(known) => known,
            Err(error) => {
                self.refused += 1;
                tracing::warn!(%error, "what a server says is refused");
                self.hang_up(session, now, out);
                return Ok(());
            }
        };
        let anew = known.cluster_epoch != self.journal.known().cluster_epoch;
        // Before anything is done by this term's right: after a crash an older one must stay refused.
        match self.journal.learn(known) {
            Ok(()) => {}
            // Nothing was done yet, so nothing is lost. The agent lives on, to free room and to try it again.
            Err(journal::Error::Write { path, source }) if journal::is_shortage(&source) => {
                tracing::warn!(path, %source, "what the server says cannot be written down, so it is not taken");
                self.hang_up(session, now, out);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        if anew {
            self.session.registered_anew();
        }
        self.session.heard(now.boot);
        match said {
            Said::Welcome { lease, heartbeat, reported } => {
                self.session.welcomed(lease, heartbeat, now.boot);
                self.reports.welcomed(reported);
                self.sessions += 1;
                if self.journal.reported() != reported {
                    self.journal.note_reported(reported)?;
                }
                out.push(Output::Welcomed { session, known });
            }
            Said::HeartbeatAck { boot, lease } => {
                self.session.heartbeat_acknowledged(boot, lease, now.boot);
                self.note_contact()?;
            }
            Said::ReportsAck { up_to } => {
                self.reports.acknowledged(up_to);
                if up_to > self.journal.reported() {
                    self.journal.note_reported(up_to)?;
                }
            }
            Said::Desired(part) => match self.session.take(part) {
                Ok(None) => {}
                Ok(Some(desired)) => {
                    let actions = reconcile(&self.attempts, |attempt| self.reports.has_end(attempt), desired);
                    self.act(actions, now, out)?;
                }
                Err(error) => {
                    tracing::warn!(%error, "the session's orders make no sense");
                    self.hang_up(session, now, out);
                }
            },
        }
        Ok(())
    }

    fn hang_up(&mut self, session: SessionId, now: Now, out: &mut Vec<Output>) {
        self.session.closed(session, None, now.boot);
        out.push(Output::HangUp { session });
    }

    /// When the agent is gone, or was restarted in the same boot, attempts on a leash are counted from here on.
    pub(super) fn note_contact(&mut self) -> Result<(), journal::Error> {
        let contact = self.session.contact();
        let noted = self.journal.contact().is_some_and(|noted| contact < noted + CONTACT_EVERY);
        if noted || self.attempts.leashes().next().is_none() {
            return Ok(());
        }
        self.journal.note_contact(contact)
    }
}
