//! Whatever bytes programs pass, nothing panics and nothing loops.

use netspace_uapi::fuzz;
use proptest::prelude::*;

/// Bytes that look like a structure now and then: small numbers, lengths, families, and plain noise.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![Just(0u32), Just(16), Just(20), Just(u32::MAX), 0u32..300, any::<u32>()];
    let words = prop::collection::vec(word, 0..40);
    let tail = prop::collection::vec(any::<u8>(), 0..7);
    (words, tail).prop_map(|(words, tail)| {
        let mut out: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        out.extend(tail);
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn sockaddr(family in 0u16..12, bytes in bytes()) {
        fuzz::sockaddr(&bytes);
        let mut typed = family.to_ne_bytes().to_vec();
        typed.extend(bytes);
        fuzz::sockaddr(&typed);
    }

    #[test]
    fn cmsg(bytes in bytes()) {
        fuzz::cmsg(&bytes);
    }

    #[test]
    fn packet(version in 0u8..4, number in prop_oneof![Just(5u8), Just(13), 0u8..30], pages in 1u32..5,
              frame in prop_oneof![Just(128u32), Just(2048), any::<u32>()], bytes in bytes()) {
        let mut input = vec![version, number];
        let per_block = 4096u32.checked_div(frame).unwrap_or(0);
        for word in [4096, pages, frame, pages * per_block, 60, 0, 0] {
            input.extend(word.to_ne_bytes());
        }
        input.extend(&bytes);
        // The three options are thirds of the input: the ring's request is the first.
        let len = input.len();
        input.resize(len.max(3 * 30), 1);
        fuzz::packet(&input);
    }

    #[test]
    fn option(level in prop_oneof![Just(0u8), Just(1), Just(6), Just(17), Just(41), Just(58), Just(255)],
              number in 0u8..110, room in any::<u8>(), bytes in bytes()) {
        let mut input = vec![level, number, room];
        input.extend(bytes);
        fuzz::option(&input);
    }

    #[test]
    fn ioctl(number in any::<u8>(), name in prop_oneof![Just("lo"), Just("eth0"), Just("")], bytes in bytes()) {
        let mut input = vec![number];
        input.extend(name.bytes());
        input.resize(17, 0);
        input.extend(bytes);
        fuzz::ioctl(&input);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn netlink(ty in 16u16..100, flags in prop_oneof![Just(1u16), Just(5), Just(0x301), Just(0x605), any::<u16>()],
               family in prop_oneof![Just(0u8), Just(2), Just(10), Just(7), any::<u8>()], bytes in bytes()) {
        let mut input = ((20 + bytes.len()) as u32).to_ne_bytes().to_vec();
        input.extend(ty.to_ne_bytes());
        input.extend(flags.to_ne_bytes());
        input.extend([0; 8]);
        input.extend([family, 0, 0, 0]);
        input.extend(bytes);
        fuzz::netlink(&input);
    }
}
