//! Programs that watch links and make frames of their own: tcpdump, tshark, arping, nmap, traceroute by TCP, Python.

use super::lab;

/// Runs tcpdump with `args` while `traffic` happens, then `after`; gives what tcpdump printed, and `after`'s words.
fn tcpdump(args: &str, traffic: &str, after: &str) -> String {
    let script = format!(
        "tcpdump {args} >out 2>err & dump=$!
         for i in $(seq 200); do grep -q listening err && break; sleep 0.05; done
         {traffic} >/dev/null 2>&1
         wait $dump; cat out; {after}"
    );
    lab("").on("client", &script).ok()
}

#[test]
fn tcpdump_shows_both_directions_with_addresses_of_the_link() {
    let said = tcpdump("-i eth0 -n -e -c 4 icmp", "ping -4 -c 2 -i 0.1 server", "cat err");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains("ethertype IPv4 (0x0800), length 98: 10.0.1."), "{said}");
    assert!(lines[0].contains("ICMP echo request, id ") && lines[0].contains("seq 1"), "{said}");
    assert!(lines[1].contains("ICMP echo reply") && lines[3].contains("seq 2"), "{said}");
    let macs = |line: &str| line.split_whitespace().skip(1).take(3).map(str::to_owned).collect::<Vec<_>>();
    let (out, back) = (macs(lines[0]), macs(lines[1]));
    assert_eq!(
        (&out[0], out[2].trim_end_matches(',')),
        (&back[2].trim_end_matches(',').to_owned(), &*back[0])
    );
    assert!(said.contains("4 packets captured") && said.contains("0 packets dropped by kernel"), "{said}");
}

#[test]
fn tcpdump_on_any_device_tells_which_and_where_to() {
    let said = tcpdump("-i any -n -c 2 icmp", "ping -4 -c 1 server", "cat err");
    assert!(said.lines().next().is_some_and(|l| l.contains(" eth0  Out IP 10.0.1.")), "{said}");
    assert!(said.lines().nth(1).is_some_and(|l| l.contains(" eth0  In  IP 10.0.")), "{said}");
    assert!(said.contains("link-type LINUX_SLL2"), "{said}");
}

#[test]
fn a_filter_lets_only_segments_with_data_pass() {
    let with_data = "'tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)'";
    let server = "netspace tool http --port 80";
    let script = format!(
        "tcpdump -i eth0 -n -A -c 2 {with_data} >out 2>err & dump=$!
         for i in $(seq 200); do grep -q listening err && break; sleep 0.05; done
         {} curl -4 -s http://server/ >/dev/null; wait $dump; cat out",
        super::wait_for(80)
    );
    let said = lab(server).on("client", &script).ok();
    assert!(said.contains("GET / HTTP/1.1") && said.contains("HTTP/1.1 200"), "{said}");
    assert!(!said.contains("Flags [S]"), "{said}");
}

#[test]
fn a_file_that_tcpdump_writes_is_read_by_tshark() {
    let said = tcpdump(
        "-i eth0 -n -U -c 6 -w file.pcap 'icmp or arp'",
        "ping -4 -c 2 -i 0.1 server",
        "tshark -n -r file.pcap -T fields -e arp.opcode -e icmp.type 2>/dev/null",
    );
    let fields: Vec<&str> = said.lines().take(6).map(str::trim).collect();
    assert_eq!(fields, ["1", "2", "8", "0", "8", "0"], "{said}");
}

#[test]
fn tshark_captures_live() {
    let script = "tshark -i eth0 -n -l -c 2 -f icmp -T fields -e ip.dst -e icmp.type >out 2>err & shark=$!
         for i in $(seq 200); do grep -q 'Capture started' err && break; sleep 0.05; done
         ping -4 -c 1 server >/dev/null; wait $shark; cat out";
    let said = lab("").on("client", script).ok();
    assert!(said.lines().next().is_some_and(|l| l.ends_with("\t8")), "{said}");
    assert!(said.lines().nth(1).is_some_and(|l| l.starts_with("10.0.1.") && l.ends_with("\t0")), "{said}");
}

#[test]
fn a_router_shows_what_it_forwards() {
    let script = "tcpdump -i eth1 -n -c 2 icmp >out 2>err & dump=$!
         for i in $(seq 200); do grep -q listening err && break; sleep 0.05; done
         ping -4 -c 1 server >/dev/null; ping -4 -c 1 client >/dev/null; wait $dump; cat out";
    let said = lab("").on("gw", script).ok();
    assert_eq!(said.matches("ICMP echo").count(), 2, "{said}");
}

#[test]
fn arping_asks_and_is_answered() {
    let said =
        lab("").on("client", "arping -c 2 -w 5 -I eth0 $(ip -4 route show default | cut -d' ' -f3)").ok();
    assert!(said.contains("0% unanswered") || said.contains("Received 2 response"), "{said}");
}

#[test]
fn nmap_scans_by_half_open_connections() {
    let script = format!("{} NMAP_PRIVILEGED=1 nmap -n -Pn -sS -p 80,81 server", super::wait_for(80));
    let said = lab("netspace tool http --port 80").on("client", &script).ok();
    assert!(said.contains("80/tcp open") && said.contains("81/tcp closed"), "{said}");
}

#[test]
fn a_python_program_speaks_a_protocol_of_its_own() {
    let answer = "python3 -c \"import socket as k; s = k.socket(k.AF_PACKET, k.SOCK_DGRAM, k.htons(0x88b5)); \
         s.bind(('eth0', 0x88b5)); d, a = s.recvfrom(2000); s.sendto(d[:5][::-1], a)\"";
    let script = "python3 - <<'END'
import socket, struct
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5))
s.bind(('eth0', 0x88b5)); s.settimeout(0.3)
name = s.getsockname()
print(name[0], hex(name[1]), name[3], len(name[4]))
frame = b'\\xff' * 6 + name[4] + struct.pack('!H', 0x88b5) + b'hello' + bytes(41)
for attempt in range(50):
    s.send(frame)
    try: data, who = s.recvfrom(2000); break
    except TimeoutError: pass
print(data[14:], who[0], hex(who[1]), who[2], data[:6] == name[4], data[6:12] == who[4])
print(open('/proc/net/packet').read().splitlines()[1].split()[2:5])
s.close()
try: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).send(frame)
except OSError as error: print(error)
END";
    // Two hosts on one switch: the protocol is not routed.
    let yaml = format!(
        "hosts:\n  client: {{}}\n  server:\n    run:\n      - {}\nswitches: {{lan: {{}}}}\nlinks:\n  - client -- lan\n  - server -- lan\n",
        super::quote(answer)
    );
    let lab = netspace_testkit::Lab::new(env!("CARGO_BIN_EXE_netspace"), &yaml);
    let said = lab.on("client", script).ok();
    let expected = "eth0 0x88b5 1 6\nb'olleh' eth0 0x88b5 0 True True\n['3', '88b5', '2']\n[Errno 6] No such device or address\n";
    assert_eq!(said, expected);
}
