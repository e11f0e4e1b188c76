//! Identities. Inside the state everything has a dense handle that is given out in log order and
//! never used again; outside a run is known by a 128-bit hash, so that firing the same instant
//! twice names the same run.

use std::fmt;
use std::str::FromStr;

use crate::canonical::{Canonical, canonical};

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        canonical!($name(_));

        impl From<$name> for u64 {
            fn from(handle: $name) -> u64 {
                u64::from(handle.0)
            }
        }
    };
}

handle!(
    /// A tenant.
    TenantHandle(u32)
);
handle!(
    /// A job, whatever its version.
    JobHandle(u64)
);
handle!(
    /// An interned job spec, shared by all runs of that version.
    SpecHandle(u64)
);
handle!(
    /// A run.
    RunHandle(u64)
);
handle!(
    /// A step: one named task of one run, with all its indexes.
    StepHandle(u64)
);
handle!(
    /// A task: one index of one step of one run. The indexes of a step have consecutive handles.
    TaskHandle(u64)
);
handle!(
    /// One launch of a task on one node. Unique within a cluster for ever.
    AttemptHandle(u64)
);
handle!(
    /// A node. A name that is removed and comes back gets a new handle.
    NodeHandle(u32)
);
handle!(
    /// An interned resource name such as `cpu` or `memory`.
    ResourceHandle(u32)
);
handle!(
    /// An interned request class: everything about a task that placement looks at.
    ClassHandle(u32)
);

/// The place of an entry in the replicated log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryId {
    /// Raft term under which the entry was proposed.
    pub term: u64,
    /// Position, counted from 1.
    pub index: u64,
}

/// The registration of a node's agent process; the log index of that registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeEpoch(pub u64);

canonical!(NodeEpoch(_));

/// A caller-chosen key that makes a request safe to repeat. Packed as [`RunId`] is.
#[repr(C, packed(8))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RequestId(pub u128);

/// The outside name of a run: a hash of tenant, job, kind and nominal instant. Packed, because an alignment of 16
/// would make each entry of the timer table half as large again, and there is one for every task that waits for a
/// retry.
#[repr(C, packed(8))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u128);

/// Identifies one cluster from its birth; fixed when the first member list is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClusterId(pub u128);

/// Identifies the journal of an agent's data directory; a wiped directory gets a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct JournalId(pub u128);

/// Crockford's base 32 in lower case: no i, l, o, u, so that ids can be read aloud.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 26 digits of 5 bits hold 128 bits.
const BASE32_DIGITS: usize = 26;

macro_rules! base32_id {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&encode_base32(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), encode_base32(self.0))
            }
        }

        impl Canonical for $name {
            #[inline]
            fn digest(&self) -> u128 {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = NotBase32;

            fn from_str(text: &str) -> Result<Self, NotBase32> {
                match IdPrefix::from_str(text)? {
                    IdPrefix { digits: BASE32_DIGITS, low, .. } => Ok(Self(low)),
                    _ => Err(NotBase32),
                }
            }
        }
    };
}

base32_id!(RunId);
base32_id!(ClusterId);
base32_id!(JournalId);
base32_id!(RequestId);

/// The text is not an id in base 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: ids have up to 26 digits of 0-9 and a-z without i, l, o and u")]
pub struct NotBase32;

/// The first digits of a run id, as a person types them; stands for a range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdPrefix {
    digits: usize,
    low: u128,
    high: u128,
}

impl IdPrefix {
    /// The first and last run id that begin with this prefix.
    pub fn range(self) -> std::ops::RangeInclusive<RunId> {
        RunId(self.low)..=RunId(self.high)
    }
}

impl FromStr for IdPrefix {
    type Err = NotBase32;

    fn from_str(text: &str) -> Result<Self, NotBase32> {
        if text.is_empty() || text.len() > BASE32_DIGITS {
            return Err(NotBase32);
        }
        let mut value = 0u128;
        for byte in text.bytes() {
            let digit = BASE32.iter().position(|&d| d == byte.to_ascii_lowercase()).ok_or(NotBase32)?;
            // The first digit carries only 3 bits: 26 x 5 = 130.
            if value >> 123 != 0 {
                return Err(NotBase32);
            }
            value = (value << 5) | digit as u128;
        }
        let missing = (BASE32_DIGITS - text.len()) * 5;
        if missing >= 128
            || (value != 0 && value.leading_zeros() < u32::try_from(missing).unwrap_or(u32::MAX))
        {
            return Err(NotBase32);
        }
        let low = value << missing;
        Ok(IdPrefix { digits: text.len(), low, high: low | ((1u128 << missing) - 1) })
    }
}

fn encode_base32(mut value: u128) -> String {
    let mut digits = [0u8; BASE32_DIGITS];
    for slot in digits.iter_mut().rev() {
        *slot = BASE32[usize::try_from(value & 31).expect("5 bits fit")];
        value >>= 5;
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        for value in [0, 1, 31, u128::from(u64::MAX), u128::MAX] {
            assert_eq!(RunId(value).to_string().parse(), Ok(RunId(value)));
        }
    }

    #[test]
    fn a_prefix_covers_exactly_the_ids_that_begin_with_it() {
        let id = RunId(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
        let text = id.to_string();
        for length in 1..=text.len() {
            let prefix: IdPrefix = text[..length].parse().unwrap();
            assert!(prefix.range().contains(&id), "{length}");
            assert!(prefix.range().start().to_string().starts_with(&text[..length]));
            assert!(prefix.range().end().to_string().starts_with(&text[..length]));
        }
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in ["", "u", "0!", "zzzzzzzzzzzzzzzzzzzzzzzzzz", "000000000000000000000000000"] {
            assert_eq!(text.parse::<RunId>(), Err(NotBase32), "{text}");
        }
    }
}
