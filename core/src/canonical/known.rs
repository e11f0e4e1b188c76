use std::ops::Deref;
use std::sync::Arc;

use super::Canonical;

/// A shared value that never changes, with its digest: for large parts of records that change otherwise.
#[derive(Debug, Clone)]
pub struct Known<T>(Arc<Inside<T>>);

#[derive(Debug)]
struct Inside<T> {
    value: T,
    digest: u128,
}

impl<T: Canonical> From<T> for Known<T> {
    fn from(value: T) -> Known<T> {
        let digest = value.digest();
        Known(Arc::new(Inside { value, digest }))
    }
}

impl<T> Deref for Known<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: PartialEq> PartialEq for Known<T> {
    fn eq(&self, other: &Known<T>) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Known<T> {}

impl<T> Canonical for Known<T> {
    fn digest(&self) -> u128 {
        self.0.digest
    }
}
