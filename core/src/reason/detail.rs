use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::canonical::canonical;

/// The text of a reason: who cancelled, or why something did not start. Most reasons have none and there are
/// millions of them, so it takes one word where it stands, and all tasks of a cancelled run share one text.
#[derive(Clone, PartialEq, Eq)]
pub struct Detail(Arc<String>);

canonical!(Detail(_));

impl Deref for Detail {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Detail {
        Detail(Arc::new(text))
    }
}

impl From<&str> for Detail {
    fn from(text: &str) -> Detail {
        Detail::from(text.to_owned())
    }
}

impl From<Detail> for String {
    fn from(detail: Detail) -> String {
        Arc::unwrap_or_clone(detail.0)
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
