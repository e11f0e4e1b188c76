//! What makes a write safe to repeat.

use std::fmt;
use std::str::FromStr;

use berth_core::id::RequestId;

/// Sixteen bytes that name one logical request. A second request with the same key gets the first one's answer and
/// changes nothing, so a key may be sent as often as needed and must not be used for anything else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey([u8; 16]);

impl RequestKey {
    /// A key that nobody else has: random bytes of the operating system.
    ///
    /// # Panics
    /// When the operating system has no random bytes to give, which it does once it runs.
    pub fn random() -> RequestKey {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("a running operating system gives random bytes");
        RequestKey(bytes)
    }

    /// A key of the caller's own, for programs that keep it to ask again after their own restart.
    pub const fn new(bytes: [u8; 16]) -> RequestKey {
        RequestKey(bytes)
    }

    /// The bytes.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// As the messages carry it.
    pub(crate) fn wire<B: From<Vec<u8>>>(self) -> B {
        B::from(self.0.to_vec())
    }
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        RequestId(u128::from_be_bytes(self.0)).fmt(f)
    }
}

/// The text is not a key as it is shown: 26 digits of base 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has 26 digits of base 32: 0 to 9 and a to z without i, l, o and u")]
pub struct NotAKey;

impl FromStr for RequestKey {
    type Err = NotAKey;

    /// Reads a key as [`Display`](fmt::Display) shows it.
    fn from_str(text: &str) -> Result<RequestKey, NotAKey> {
        let id: RequestId = text.parse().map_err(|_| NotAKey)?;
        Ok(RequestKey(id.0.to_be_bytes()))
    }
}

impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestKey({self})")
    }
}
