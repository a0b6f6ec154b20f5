//! A value that many have alike: they share it until one of them changes its own.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Reads as the value itself; the first change makes a copy, if others have it too.
#[derive(Clone, Debug)]
pub(crate) struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_nobody_elses() {
        let mut one = Shared::new(vec![1]);
        let other = one.clone();
        assert!(std::ptr::eq(&*one, &*other));
        one.push(2);
        assert_eq!((one.len(), other.len()), (2, 1));
    }
}
