//! Known content: byte `i` of what a source sends depends on `i` only, so that a sink can tell a byte that is lost,
//! doubled, moved or changed, and where.

/// A well-mixed word for a number (SplitMix64's output function).
fn word(n: u64) -> [u8; 8] {
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)).to_le_bytes()
}

/// Fills `buffer` with the content from byte `offset` on.
pub(super) fn fill(mut offset: u64, mut buffer: &mut [u8]) {
    let skip = (offset % 8) as usize;
    if skip != 0 {
        let n = buffer.len().min(8 - skip);
        buffer[..n].copy_from_slice(&word(offset / 8)[skip..skip + n]);
        buffer = &mut buffer[n..];
        offset += n as u64;
    }
    for (i, chunk) in buffer.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&word(offset / 8 + i as u64)[..chunk.len()]);
    }
}

/// Follows a stream and remembers where it first differs from the known content.
#[derive(Default)]
pub(super) struct Checker {
    offset: u64,
    first_difference: Option<u64>,
    expected: Vec<u8>,
}

impl Checker {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.first_difference.is_none() {
            self.expected.resize(bytes.len(), 0);
            fill(self.offset, &mut self.expected);
            if self.expected != bytes {
                let at = self.expected.iter().zip(bytes).position(|(a, b)| a != b).unwrap_or(0);
                self.first_difference = Some(self.offset + at as u64);
            }
        }
        self.offset += bytes.len() as u64;
    }

    /// How many bytes came.
    pub(super) fn len(&self) -> u64 {
        self.offset
    }

    /// Where the first byte stands that is not the known content's.
    pub(super) fn first_difference(&self) -> Option<u64> {
        self.first_difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_does_not_depend_on_how_it_is_cut() {
        let mut whole = [0; 100];
        fill(0, &mut whole);
        for cut in 0..100 {
            let mut parts = [0; 100];
            let (a, b) = parts.split_at_mut(cut);
            fill(0, a);
            fill(cut as u64, b);
            assert_eq!(parts, whole, "{cut}");
        }
    }

    #[test]
    fn the_checker_names_the_first_wrong_byte() {
        let mut bytes = vec![0; 1000];
        fill(0, &mut bytes);
        let mut checker = Checker::default();
        checker.feed(&bytes[..333]);
        bytes[700] ^= 1;
        checker.feed(&bytes[333..]);
        assert_eq!((checker.len(), checker.first_difference()), (1000, Some(700)));
    }
}
