use netspace_base::{Bytes, DevId, Instant, PktType};
use netspace_stack::packet::{Frame, PacketType};

use super::*;
use crate::bytes_at::u16_at;

impl Memory for Vec<u8> {
    fn load(&self, at: usize) -> u32 {
        u32_at(self, at).unwrap()
    }

    fn store(&mut self, at: usize, word: u32) {
        self[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        self[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn read(&self, at: usize, into: &mut [u8]) {
        into.copy_from_slice(&self[at..at + into.len()]);
    }
}

const AT: Duration = Duration::new(1_700_000_000, 123_456_789);

fn frame(len: usize, mark: u8) -> Frame {
    Frame {
        data: [Bytes::from(vec![mark; 14]), Bytes::from(vec![mark; len - 14])].into_iter().collect(),
        len,
        network: 14,
        dev: DevId(2),
        link_type: 1,
        pkt_type: PktType::Outgoing,
        protocol: 0x0800,
        source: [2, 0, 0, 0, 0, 7],
        at: Instant::ZERO,
        checksum_partial: true,
        checksum_valid: false,
    }
}

fn request(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn ring(version: Version, words: &[u32]) -> (RxRing, Vec<u8>) {
    let geometry = Geometry::parse(&request(words), version, 0).unwrap().unwrap();
    (RxRing::new(version, geometry, PacketType::Raw, 0), vec![0; geometry.bytes()])
}

/// A V2 frame as libpcap reads it: status, bytes, link-layer address, time; and gives it back.
fn take_v2(memory: &mut Vec<u8>, at: usize) -> Option<(u32, Vec<u8>, u16, u32)> {
    let status = memory.load(at);
    (status & STATUS_USER != 0).then_some(())?;
    let (len, mac) = (u32_at(memory, at + 8)? as usize, usize::from(u16_at(memory, at + 12)?));
    let data = memory[at + mac..at + mac + len].to_vec();
    assert_eq!(memory[at + 32..at + 34], (libc::AF_PACKET as u16).to_ne_bytes());
    let found = (status, data, u16_at(memory, at + 14)? - mac as u16, u32_at(memory, at + 20)?);
    memory.store(at, STATUS_KERNEL);
    Some(found)
}

#[test]
fn a_v2_ring_is_filled_frame_by_frame_until_the_reader_is_behind() {
    // Blocks of 4096 hold two frames of 1616 and a gap.
    let (mut ring, mut memory) = ring(Version::V2, &[4096, 2, 1616, 4]);
    let places = [0, 1616, 4096, 4096 + 1616];
    assert!(!ring.is_readable(&memory));
    for mark in 0..4 {
        assert!(ring.push(&mut memory, &frame(60, mark), AT));
    }
    assert!(ring.is_readable(&memory));
    assert!(!ring.push(&mut memory, &frame(60, 9), AT), "the reader has given nothing back");
    for (mark, at) in places.into_iter().enumerate() {
        let (status, data, link, nanos) = take_v2(&mut memory, at).unwrap();
        assert_eq!(data, vec![mark as u8; 60]);
        assert_eq!((link, nanos), (14, 123_456_789));
        assert_eq!(status, STATUS_USER | STATUS_TIME_SOFTWARE | STATUS_CSUM_NOT_READY);
    }
    assert!(!ring.is_readable(&memory));
    assert!(ring.push(&mut memory, &frame(60, 5), AT), "and round again");
    assert_eq!(take_v2(&mut memory, 0).unwrap().1, [5; 60]);
}

#[test]
fn what_is_longer_than_a_frame_is_cut_and_said_so() {
    let (mut ring, mut memory) = ring(Version::V2, &[4096, 1, 128, 32]);
    assert!(ring.push(&mut memory, &frame(1500, 1), AT));
    assert_eq!(u32_at(&memory, 4), Some(1500), "tp_len");
    let (status, data, ..) = take_v2(&mut memory, 0).unwrap();
    assert!(status & STATUS_COPY != 0);
    assert_eq!(data.len(), 128 - 66, "room behind the headers: 52 + 16, back by 14, and all aligned");
    assert!(memory[128..].iter().all(|&byte| byte == 0), "nothing beyond the frame");
}

#[test]
fn a_v1_frame_has_a_long_status_and_microseconds() {
    let (mut ring, mut memory) = ring(Version::V1, &[4096, 1, 2048, 2]);
    assert!(ring.push(&mut memory, &frame(60, 3), AT));
    let mac = usize::from(u16_at(&memory, 16).unwrap());
    assert_eq!(memory[mac..mac + 60], [3; 60]);
    assert_eq!((u32_at(&memory, 8), u32_at(&memory, 12)), (Some(60), Some(60)));
    assert_eq!((u32_at(&memory, 20), u32_at(&memory, 24)), (Some(1_700_000_000), Some(123_456)));
}

/// A V3 block as libpcap walks it: the packets' bytes; and gives it back.
fn take_v3(memory: &mut Vec<u8>, block: usize) -> Option<Vec<Vec<u8>>> {
    (memory.load(block + BLOCK_STATUS) & STATUS_USER != 0).then_some(())?;
    let count = u32_at(memory, block + 12)?;
    let mut at = block + u32_at(memory, block + 16)? as usize;
    let mut packets = Vec::new();
    for n in 0..count {
        let mac = usize::from(u16_at(memory, at + 24)?);
        let len = u32_at(memory, at + 12)? as usize;
        packets.push(memory[at + mac..at + mac + len].to_vec());
        let next = u32_at(memory, at)? as usize;
        assert_eq!(next == 0, n + 1 == count, "only the last has no next");
        at += next;
    }
    memory.store(block + BLOCK_STATUS, STATUS_KERNEL);
    Some(packets)
}

#[test]
fn a_v3_block_is_handed_over_when_full_or_when_its_time_is_up() {
    let (mut ring, mut memory) = ring(Version::V3, &[4096, 2, 2048, 4, 60, 0, 0]);
    assert_eq!(ring.retire_after(), None);
    assert!(ring.push(&mut memory, &frame(1400, 1), AT));
    assert_eq!(ring.retire_after(), Some(Duration::from_millis(60)));
    assert!(!ring.is_readable(&memory), "not before it is handed over");
    assert!(ring.push(&mut memory, &frame(1400, 2), AT));
    assert!(ring.push(&mut memory, &frame(1400, 3), AT), "a third one fits the next block");
    assert!(ring.is_readable(&memory));
    assert_eq!(take_v3(&mut memory, 0).unwrap(), [vec![1; 1400], vec![2; 1400]]);
    ring.retire(&mut memory);
    assert_eq!(memory.load(4096 + BLOCK_STATUS) & STATUS_BLOCK_TIMEOUT, STATUS_BLOCK_TIMEOUT);
    for mark in [4, 5] {
        assert!(ring.push(&mut memory, &frame(1400, mark), AT));
    }
    assert!(!ring.push(&mut memory, &frame(1400, 6), AT), "the other block is still the reader's");
    assert_eq!(take_v3(&mut memory, 4096).unwrap(), [vec![3; 1400]]);
    assert!(ring.push(&mut memory, &frame(1400, 7), AT));
    assert_eq!(take_v3(&mut memory, 0).unwrap(), [vec![4; 1400], vec![5; 1400]]);
}

#[test]
fn impossible_rings_are_refused() {
    let parse = |version, words: &[u32]| Geometry::parse(&request(words), version, 0);
    for (version, words) in [
        (Version::V2, &[4096, 1, 2048, 3][..]),
        (Version::V2, &[4000, 1, 2000, 2]),
        (Version::V2, &[4096, 1, 48, 85]),
        (Version::V2, &[4096, 1, 2040, 2]),
        (Version::V2, &[0, 1, 2048, 2]),
        (Version::V2, &[0, 0, 0, 2]),
        (Version::V2, &[4096, 1, 8192, 0]),
        (Version::V3, &[4096, 2, 2048, 4]),
        (Version::V3, &[4096, 2, 2048, 4, 0, 4096, 0]),
        (Version::V3, &[4096, 2, 2048, 4, 0, u32::MAX, 0]),
    ] {
        assert_eq!(parse(version, words), Err(EINVAL), "{version:?} {words:?}");
    }
    assert_eq!(parse(Version::V2, &[1 << 20, 4096, 1 << 20, 4096]), Err(Errno(libc::ENOMEM)));
    assert_eq!(parse(Version::V2, &[4096, 0, 0, 0]), Ok(None));
}

#[test]
fn a_frame_to_be_sent_is_taken_once() {
    let geometry = Geometry::parse(&request(&[4096, 1, 2048, 2]), Version::V2, 0).unwrap().unwrap();
    let (mut ring, mut memory) = (TxRing::new(Version::V2, geometry, 4096), vec![0; 8192]);
    assert_eq!(ring.take(&mut memory), None);
    for (at, len) in [(4096, 60_u32), (4096 + 2048, 5000)] {
        memory.write(at + 4, &len.to_ne_bytes());
        memory[at + TX_DATA..at + TX_DATA + 60].fill(8);
        memory.store(at, STATUS_SEND_REQUEST);
    }
    assert_eq!(ring.take(&mut memory), Some(Ok(vec![8; 60])));
    assert_eq!(memory.load(4096), STATUS_KERNEL);
    assert_eq!(ring.take(&mut memory), Some(Err(EINVAL)));
    assert_eq!(memory.load(4096 + 2048), STATUS_WRONG_FORMAT);
    assert_eq!(ring.take(&mut memory), None);
}
