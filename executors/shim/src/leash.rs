//! How long a task goes on without contact to the servers, also when there is no agent that would stop it.
//!
//! The agent writes down when it last had contact, about once a second while it has any such task. Here that file is
//! looked at when the time seems to be over, and no sooner: whoever keeps it, this agent or the next one, it tells.

use std::time::{Duration, Instant};

use crate::clock;
use crate::record::{Contact, LeashOrder, Record};

/// An agent that lives and has lost its contact comes first: it can tell why it stops a task.
const SLACK_MS: u64 = 1_000;
/// How long to sleep at most. Sleep is not counted while the machine is suspended, but the leash is.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// How soon a file that cannot be read is looked at again, for it may be in the writing.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How often that is done.
const LOOKS_MAX: u32 = 20;

/// The leash of a running task.
#[derive(Debug)]
pub(crate) struct Leash {
    order: LeashOrder,
    boot_id: String,
    /// The last contact that is known of, on the boot clock.
    contact_ms: u64,
    /// How often the file could not be read in turn.
    unreadable: u32,
    look_at: Instant,
}

impl Leash {
    /// Counts from now until the file says otherwise: an order comes from servers.
    pub(crate) fn new(order: LeashOrder, boot_id: String) -> Leash {
        Leash { order, boot_id, contact_ms: clock::boot_ms(), unreadable: 0, look_at: Instant::now() }
    }

    /// When [`Leash::is_over`] is to be asked next.
    pub(crate) fn look_at(&self) -> Instant {
        self.look_at
    }

    /// How long the task has to end by itself when it is over.
    pub(crate) fn grace(&self) -> Duration {
        Duration::from_millis(self.order.grace_ms)
    }

    /// True when there was no contact for too long.
    pub(crate) fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if now < self.look_at {
            return false;
        }
        match self.rest(clock::boot_ms()) {
            Some(rest) => {
                self.look_at = now + rest;
                false
            }
            None => true,
        }
    }

    /// How long nothing is to be done at least; `None` when it is over.
    fn rest(&mut self, now_ms: u64) -> Option<Duration> {
        if self.over_ms() <= now_ms {
            match Contact::read(&self.order.contact) {
                Ok(Some(contact)) if contact.boot_id == self.boot_id => {
                    self.contact_ms = self.contact_ms.max(contact.at_ms.min(now_ms));
                    self.unreadable = 0;
                }
                Ok(_) | Err(_) if self.unreadable < LOOKS_MAX => {
                    self.unreadable += 1;
                    return Some(AGAIN_AFTER);
                }
                Ok(_) | Err(_) => {}
            }
        }
        let rest = self.over_ms().checked_sub(now_ms).filter(|rest| *rest > 0)?;
        Some(Duration::from_millis(rest).min(SLEEP_MAX))
    }

    fn over_ms(&self) -> u64 {
        self.contact_ms.saturating_add(self.order.span_ms).saturating_add(SLACK_MS)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const BOOT: &str = "this boot";

    fn contact(at_ms: u64, boot_id: &str) -> Vec<u8> {
        Contact { at_ms, boot_id: boot_id.to_owned() }.encode()
    }

    #[test]
    fn it_is_over_only_when_the_last_contact_that_anybody_noted_is_long_ago() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("contact");
        let order = LeashOrder { span_ms: 5_000, grace_ms: 0, contact: file.clone() };
        let mut leash = Leash { contact_ms: 1_000, ..Leash::new(order, BOOT.to_owned()) };
        fs::write(&file, contact(900, BOOT)).unwrap();
        assert_eq!(leash.rest(1_000), Some(Duration::from_secs(6)));
        fs::write(&file, contact(6_800, BOOT)).unwrap();
        assert_eq!(leash.rest(7_000), Some(Duration::from_millis(5_800)));
        assert_eq!(leash.rest(12_799), Some(Duration::from_millis(1)));
        assert_eq!(leash.rest(12_800), None);
    }

    #[test]
    fn a_file_in_the_writing_is_looked_at_again_and_a_file_that_stays_unreadable_keeps_nothing_alive() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("contact");
        let order = LeashOrder { span_ms: 5_000, grace_ms: 0, contact: file.clone() };
        let mut leash = Leash { contact_ms: 0, ..Leash::new(order, BOOT.to_owned()) };
        fs::write(&file, &contact(5_500, BOOT)[..30]).unwrap();
        assert_eq!(leash.rest(6_000), Some(AGAIN_AFTER));
        fs::write(&file, contact(5_500, BOOT)).unwrap();
        assert_eq!(leash.rest(6_050), Some(Duration::from_millis(5_450)));
        fs::write(&file, contact(11_000, "another boot")).unwrap();
        let looks = (0..100).take_while(|look| leash.rest(12_000 + look).is_some()).count();
        assert_eq!(looks, 20);
    }
}
