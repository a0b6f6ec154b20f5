//! Requests of real tools and replies of a real kernel: all of them parse, and come out of the writer as they were.

use netspace_uapi::netlink::read::{self, Attr, HEADER_LEN, attrs, messages};
use netspace_uapi::netlink::write::Message;

const CORPUS: &str = include_str!("corpus/rtnetlink.txt");

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

/// The datagrams in one direction (`<` from the kernel, `>` to it), each with the command that it belongs to.
fn datagrams(direction: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut command = "";
    let mut out = Vec::new();
    for line in CORPUS.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            command = text;
        } else if let Some(hex) = line.strip_prefix(direction) {
            out.push((command, unhex(hex.trim())));
        }
    }
    out
}

/// Bytes of the family's header behind `nlmsghdr`, by message type.
fn family_header(ty: u16) -> Option<usize> {
    Some(match ty {
        16..=19 => 16,
        20..=22 => 8,
        24..=34 => 12,
        88..=90 => 4,
        _ => return None,
    })
}

/// `NLA_F_NESTED` is set where the writer was told so; attributes without it come out as plain bytes.
fn emit(message: &mut Message, attr: &Attr<'_>, flagged: bool) {
    if flagged {
        message.nest(attr.ty, true, |m| {
            for (inner, raw_type) in attr.nested().zip(raw_types(attr.data)) {
                emit(m, &inner, raw_type & 0x8000 != 0);
            }
        });
    } else {
        message.attr(attr.ty, attr.data);
    }
}

fn raw_types(bytes: &[u8]) -> Vec<u16> {
    let mut out = Vec::new();
    for attr in attrs(bytes, 0) {
        out.push(u16::from_ne_bytes([bytes[attr.offset + 2], bytes[attr.offset + 3]]));
    }
    out
}

#[test]
fn kernel_replies_re_emit_byte_for_byte() {
    let mut seen = 0;
    for (command, datagram) in datagrams("<") {
        let mut rest = datagram.len();
        for (header, bytes) in messages(&datagram) {
            rest -= read::align(bytes.len());
            let Some(family) = family_header(header.ty) else { continue };
            let mut again = Message::new(header.ty, header.flags, header.seq, header.pid);
            again.raw(&bytes[HEADER_LEN..HEADER_LEN + family]);
            let body = &bytes[HEADER_LEN + family..];
            let end = attrs(body, 0).last().map_or(0, |a| a.offset + read::align(4 + a.data.len()));
            assert_eq!(end, body.len(), "{command}: every byte belongs to an attribute");
            for (attr, raw_type) in attrs(body, 0).zip(raw_types(body)) {
                emit(&mut again, &attr, raw_type & 0x8000 != 0);
            }
            assert_eq!(again.into_bytes(), bytes, "{command}");
            seen += 1;
        }
        assert_eq!(rest, 0, "{command}: every byte belongs to a message");
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn requests_of_iproute2_have_messages() {
    let requests = datagrams(">");
    assert!(requests.len() > 30);
    for (command, datagram) in requests {
        assert!(messages(&datagram).count() >= 1, "{command}");
    }
}
