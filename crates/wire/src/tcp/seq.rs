//! Sequence numbers.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A TCP sequence number: compared modulo 2³² (RFC 9293 §3.4), so it has no total order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// Whether this comes before `other`.
    #[inline]
    pub const fn lt(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether this comes before `other` or is equal.
    #[inline]
    pub const fn le(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) <= 0
    }

    /// Whether this comes after `other`.
    #[inline]
    pub const fn gt(self, other: Self) -> bool {
        other.lt(self)
    }

    /// Whether this comes after `other` or is equal.
    #[inline]
    pub const fn ge(self, other: Self) -> bool {
        other.le(self)
    }

    /// The later of the two.
    #[inline]
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        if self.lt(other) { other } else { self }
    }

    /// The earlier of the two.
    #[inline]
    #[must_use]
    pub const fn min(self, other: Self) -> Self {
        if self.lt(other) { self } else { other }
    }

    /// Whether this lies in `start..end`.
    #[inline]
    pub const fn is_within(self, start: Self, end: Self) -> bool {
        self.0.wrapping_sub(start.0) < end.0.wrapping_sub(start.0)
    }
}

impl Add<usize> for SeqNum {
    type Output = Self;

    #[inline]
    fn add(self, n: usize) -> Self {
        Self(self.0.wrapping_add(n as u32))
    }
}

impl AddAssign<usize> for SeqNum {
    #[inline]
    fn add_assign(&mut self, n: usize) {
        *self = *self + n;
    }
}

impl Sub<usize> for SeqNum {
    type Output = Self;

    #[inline]
    fn sub(self, n: usize) -> Self {
        Self(self.0.wrapping_sub(n as u32))
    }
}

impl Sub for SeqNum {
    type Output = i32;

    /// How far this lies after `other`; negative if before it.
    #[inline]
    fn sub(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_wraps() {
        let (a, b) = (SeqNum(u32::MAX - 1), SeqNum(1));
        assert!(a.lt(b) && b.gt(a) && a.le(a) && a.ge(a) && !a.gt(a));
        assert_eq!(b - a, 3);
        assert_eq!(a - b, -3);
        assert_eq!(a + 3, b);
        assert_eq!(b - 3usize, a);
        assert_eq!((a.max(b), a.min(b)), (b, a));
        assert!(SeqNum(0).is_within(a, b) && !b.is_within(a, b) && !a.is_within(a, a));
    }
}
