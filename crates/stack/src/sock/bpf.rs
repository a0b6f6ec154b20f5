//! Classic BPF: the filter programs of `SO_ATTACH_FILTER`, verified once and then interpreted.
//!
//! S. McCanne, V. Jacobson, "The BSD Packet Filter" (1993); Linux's additions (ancillary loads at negative offsets, modulo
//! and exclusive or) as in its `Documentation/networking/filter.rst`. The program's result is the number of bytes to keep: 0 drops the
//! packet.

use bytes::Bytes;
use netspace_base::Pkt;

use super::{BpfInsn, SockError};

/// Longest program (`BPF_MAXINSNS`).
pub const MAX_INSNS: usize = 4096;
/// Scratch words (`BPF_MEMWORDS`).
const MEMORY_WORDS: usize = 16;

/// Loads at and above this offset (as unsigned) look outside of the data.
const AD_OFF: u32 = 0xffff_f000; // SKF_AD_OFF = -0x1000
const NET_OFF: u32 = 0xfff0_0000; // SKF_NET_OFF = -0x100000
const LL_OFF: u32 = 0xffe0_0000; // SKF_LL_OFF = -0x200000

mod class {
    pub(super) const LD: u16 = 0;
    pub(super) const LDX: u16 = 1;
    pub(super) const ST: u16 = 2;
    pub(super) const STX: u16 = 3;
    pub(super) const ALU: u16 = 4;
    pub(super) const JMP: u16 = 5;
    pub(super) const RET: u16 = 6;
}

/// A verified program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program(Box<[BpfInsn]>);

/// What a program looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Input<'a> {
    /// The start of the data.
    pub data: &'a [u8],
    /// The rest of it.
    pub frags: &'a [Bytes],
    /// From the network header on.
    pub network: &'a [u8],
    /// From the link-layer header on.
    pub link: &'a [u8],
    /// EtherType.
    pub protocol: u16,
    /// `PACKET_HOST` and its kin.
    pub pkt_type: u32,
    /// Device number.
    pub dev: u32,
    /// Firewall mark.
    pub mark: u32,
    /// Hash of the flow.
    pub hash: u32,
}

impl<'a> Input<'a> {
    /// A packet: its data from where they now start.
    pub fn of(pkt: &'a Pkt) -> Self {
        Self {
            data: pkt.data(),
            frags: pkt.frags(),
            network: pkt.network_header(),
            link: pkt.mac_header().unwrap_or_default(),
            protocol: pkt.protocol,
            pkt_type: u32::from(pkt.pkt_type.number()),
            dev: pkt.dev.0,
            mark: pkt.mark,
            hash: pkt.hash,
        }
    }

    fn len(&self) -> usize {
        self.data.len() + self.frags.iter().map(Bytes::len).sum::<usize>()
    }

    /// `size` bytes (1, 2 or 4) at `offset`, big-endian.
    fn load(&self, offset: u32, size: usize) -> Option<u32> {
        match offset {
            AD_OFF.. => self.ancillary(offset - AD_OFF),
            NET_OFF.. => read(self.network, (offset - NET_OFF) as usize, size),
            LL_OFF.. => read(self.link, (offset - LL_OFF) as usize, size),
            _ => read(self.data, offset as usize, size).or_else(|| self.load_slow(offset as usize, size)),
        }
    }

    #[cold]
    fn load_slow(&self, offset: usize, size: usize) -> Option<u32> {
        (offset.checked_add(size)? <= self.len()).then_some(())?;
        let mut value = 0;
        for at in offset..offset + size {
            value = value << 8 | u32::from(self.byte(at)?);
        }
        Some(value)
    }

    fn byte(&self, mut at: usize) -> Option<u8> {
        for part in std::iter::once(self.data).chain(self.frags.iter().map(AsRef::as_ref)) {
            if let Some(&byte) = part.get(at) {
                return Some(byte);
            }
            at -= part.len();
        }
        None
    }

    fn ancillary(&self, what: u32) -> Option<u32> {
        Some(match what {
            0 => u32::from(self.protocol),
            4 => self.pkt_type,
            8 => self.dev,
            20 => self.mark,
            28 => 1, // ARPHRD_ETHER
            32 => self.hash,
            // Queue, CPU, VLAN tag and its presence, payload offset, random: one queue, one CPU, none.
            24 | 36 | 44 | 48 | 52 | 56 => 0,
            _ => return None,
        })
    }
}

fn read(data: &[u8], at: usize, size: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(size)?)?;
    Some(bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)))
}

impl Program {
    /// Verifies a program: known operations, jumps forward and inside, scratch memory in bounds, a return at the end.
    /// Fails with `Invalid`.
    pub fn new(insns: &[BpfInsn]) -> Result<Self, SockError> {
        let valid = !insns.is_empty()
            && insns.len() <= MAX_INSNS
            && insns.iter().enumerate().all(|(pc, insn)| valid_insn(insn, insns.len() - pc - 1))
            && insns.last().is_some_and(|last| last.code & 7 == class::RET);
        if !valid {
            return Err(SockError::Invalid);
        }
        Ok(Self(insns.into()))
    }

    /// The program's instructions.
    pub fn insns(&self) -> &[BpfInsn] {
        &self.0
    }

    /// Runs the program: how many bytes of the packet to keep; 0 drops it. A load outside of the packet drops it too.
    pub fn run(&self, input: &Input<'_>) -> u32 {
        self.interpret(input).unwrap_or(0)
    }

    fn interpret(&self, input: &Input<'_>) -> Option<u32> {
        let (mut a, mut x, mut memory) = (0u32, 0u32, [0u32; MEMORY_WORDS]);
        let mut pc = 0;
        loop {
            let insn = self.0.get(pc)?;
            pc += 1;
            match insn.code & 7 {
                class::LD => a = load(insn, x, &memory, input)?,
                class::LDX => x = load_index(insn, &memory, input)?,
                class::ST => memory[insn.k as usize] = a,
                class::STX => memory[insn.k as usize] = x,
                class::ALU => a = alu(insn, a, x)?,
                class::JMP => pc += jump(insn, a, x),
                class::RET => return Some(if insn.code & 0x18 == 0x10 { a } else { insn.k }),
                _ if insn.code & 0x80 == 0 => x = a,
                _ => a = x,
            }
        }
    }

    /// For a group of `len` sockets (`SO_ATTACH_REUSEPORT_CBPF`): the place that is chosen for a packet whose data is at the
    /// transport header, the payload `payload_at` bytes on; none if there is no such place.
    pub(crate) fn place(&self, pkt: &Pkt, payload_at: usize, len: usize) -> Option<usize> {
        let mut input = Input::of(pkt);
        input.data = input.data.get(payload_at..).unwrap_or_default();
        Some(self.run(&input) as usize).filter(|&place| place < len)
    }
}

/// Whether an instruction is known and stays in bounds; `ahead` instructions follow it.
fn valid_insn(insn: &BpfInsn, ahead: usize) -> bool {
    let k = insn.k as usize;
    match insn.code {
        // ld [k], ldh, ldb, [x + k], len, #k; ldx len, #k, 4*([k]&0xf)
        0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 | 0x80 | 0x00 | 0x81 | 0x01 | 0xb1 => true,
        // ld M[k], ldx M[k], st, stx
        0x60 | 0x61 | 0x02 | 0x03 => k < MEMORY_WORDS,
        // add sub mul or and xor, with K and X; div and mod with X; neg
        0x04 | 0x0c | 0x14 | 0x1c | 0x24 | 0x2c | 0x44 | 0x4c | 0x54 | 0x5c | 0xa4 | 0xac | 0x3c | 0x9c
        | 0x84 => true,
        // lsh, rsh
        0x64 | 0x74 => k < 32,
        0x6c | 0x7c => true,
        // div, mod by K
        0x34 | 0x94 => k != 0,
        // ja
        0x05 => k < ahead,
        // jeq jgt jge jset
        0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d => {
            usize::from(insn.jt) < ahead && usize::from(insn.jf) < ahead
        }
        // ret #k, ret a; tax, txa
        0x06 | 0x16 | 0x07 | 0x87 => true,
        _ => false,
    }
}

fn load(insn: &BpfInsn, x: u32, memory: &[u32; MEMORY_WORDS], input: &Input<'_>) -> Option<u32> {
    let size = match insn.code & 0x18 {
        0x00 => 4,
        0x08 => 2,
        _ => 1,
    };
    match insn.code & 0xe0 {
        0x00 => Some(insn.k),
        0x20 => input.load(insn.k, size),
        0x40 => input.load(x.checked_add(insn.k)?, size),
        0x60 => Some(memory[insn.k as usize]),
        _ => Some(input.len() as u32),
    }
}

fn load_index(insn: &BpfInsn, memory: &[u32; MEMORY_WORDS], input: &Input<'_>) -> Option<u32> {
    match insn.code & 0xe0 {
        0x00 => Some(insn.k),
        0x60 => Some(memory[insn.k as usize]),
        0x80 => Some(input.len() as u32),
        _ => input.load(insn.k, 1).map(|byte| (byte & 0xf) << 2),
    }
}

fn alu(insn: &BpfInsn, a: u32, x: u32) -> Option<u32> {
    let operand = if insn.code & 8 == 0 { insn.k } else { x };
    Some(match insn.code & 0xf0 {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        0x30 => a.checked_div(operand)?,
        0x40 => a | operand,
        0x50 => a & operand,
        0x60 => a.wrapping_shl(operand),
        0x70 => a.wrapping_shr(operand),
        0x80 => a.wrapping_neg(),
        0x90 => a.checked_rem(operand)?,
        _ => a ^ operand,
    })
}

/// How many instructions to skip.
fn jump(insn: &BpfInsn, a: u32, x: u32) -> usize {
    let operand = if insn.code & 8 == 0 { insn.k } else { x };
    let taken = match insn.code & 0xf0 {
        0x00 => return insn.k as usize,
        0x10 => a == operand,
        0x20 => a > operand,
        0x30 => a >= operand,
        _ => a & operand != 0,
    };
    usize::from(if taken { insn.jt } else { insn.jf })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insn(code: u16, jt: u8, jf: u8, k: u32) -> BpfInsn {
        BpfInsn { code, jt, jf, k }
    }

    fn run(insns: &[BpfInsn], data: &[u8]) -> u32 {
        Program::new(insns).unwrap().run(&Input { data, protocol: 0x800, ..Input::default() })
    }

    #[test]
    fn a_port_filter_keeps_and_drops() {
        // ldh [2]; jeq #53; ret #-1; ret #0
        let program =
            [insn(0x28, 0, 0, 2), insn(0x15, 0, 1, 53), insn(0x06, 0, 0, u32::MAX), insn(0x06, 0, 0, 0)];
        assert_eq!(run(&program, &[0, 1, 0, 53, 9]), u32::MAX);
        assert_eq!(run(&program, &[0, 1, 0, 54, 9]), 0);
        assert_eq!(run(&program, &[0, 1, 0]), 0, "a load beyond the packet drops it");
    }

    #[test]
    fn header_lengths_scratch_memory_and_arithmetic() {
        // ldx 4*([0]&0xf); ld #7; st M[3]; ldb [x+1]; ldx M[3]; mul x; ret a
        let program = [
            insn(0xb1, 0, 0, 0),
            insn(0x00, 0, 0, 7),
            insn(0x02, 0, 0, 3),
            insn(0x50, 0, 0, 1),
            insn(0x61, 0, 0, 3),
            insn(0x2c, 0, 0, 0),
            insn(0x16, 0, 0, 0),
        ];
        assert_eq!(run(&program, &[0x41, 0, 0, 0, 0, 6]), 42);
        // Division by zero drops.
        assert_eq!(run(&[insn(0x00, 0, 0, 1), insn(0x3c, 0, 0, 0), insn(0x16, 0, 0, 0)], &[]), 0);
        // ld [SKF_AD_OFF + PROTOCOL]; ret a
        assert_eq!(run(&[insn(0x20, 0, 0, AD_OFF), insn(0x16, 0, 0, 0)], &[]), 0x800);
    }

    #[test]
    fn bytes_behind_the_linear_area_are_found() {
        let frags = [Bytes::from_static(&[3, 4]), Bytes::from_static(&[5])];
        let program = Program::new(&[insn(0x20, 0, 0, 1), insn(0x16, 0, 0, 0)]).unwrap();
        let input = Input { data: &[1, 2], frags: &frags, ..Input::default() };
        assert_eq!(program.run(&input), 0x0203_0405);
    }

    #[test]
    fn bad_programs_are_refused() {
        let bad: [&[BpfInsn]; 6] = [
            &[],
            &[insn(0x28, 0, 0, 2)],
            &[insn(0x15, 3, 0, 0), insn(0x06, 0, 0, 0)],
            &[insn(0x02, 0, 0, 16), insn(0x06, 0, 0, 0)],
            &[insn(0x34, 0, 0, 0), insn(0x06, 0, 0, 0)],
            &[insn(0xff, 0, 0, 0), insn(0x06, 0, 0, 0)],
        ];
        for program in bad {
            assert_eq!(Program::new(program), Err(SockError::Invalid), "{program:?}");
        }
        assert!(Program::new(&vec![insn(0x06, 0, 0, 0); MAX_INSNS + 1]).is_err());
    }
}
