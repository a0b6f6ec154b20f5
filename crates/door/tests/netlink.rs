//! Netlink, device requests and the error queue, as programs use them.

mod common;

use common::Lab;

#[test]
fn addresses_and_devices_by_netlink_and_ioctl() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, struct, fcntl
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); s.bind((0, 0)); pid, groups = s.getsockname()
import os; print(pid == os.getpid(), groups)
t = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); t.bind((0, 0)); print(t.getsockname()[0] != pid)
def dump(send, recv):
    send(struct.pack('IHHIIB3x', 20, 18, 0x301, 1, 0, 0))
    n, types = 0, []
    while True:
        d = recv()
        while d:
            l, ty = struct.unpack('IH', d[:6]); types.append(ty); d = d[(l + 3) & ~3:]
        if types[-1] == 3: return types
print(dump(lambda d: s.sendto(d, (0, 0)), lambda: s.recvfrom(65536)[0]))
print(dump(s.send, lambda: s.recv(65536)))
s.send(struct.pack('IHHIIB3x', 20, 18, 0x301, 1, 0, 0))
n = s.recvmsg_into([bytearray(0)], 0, socket.MSG_PEEK | socket.MSG_TRUNC); print(n[0] > 100, n[2] & socket.MSG_TRUNC != 0)
print(socket.if_nameindex())
u, v = socket.socketpair()
print(struct.unpack('i', fcntl.ioctl(u, 0x8933, b'lo'.ljust(40, b'\\0'))[16:20])[0])
print(len(open('/proc/net/dev').readlines()))
",
    );
    assert_eq!(text, "True 0\nTrue\n[16, 3]\n[16, 3]\nTrue True\n[(1, 'lo')]\n1\n3\n");
}

#[test]
fn the_error_queue_tells_who_refused() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, select, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.IPPROTO_IP, 11, 1)
s.sendto(b'probe', ('127.0.0.1', 33434))
p = select.poll(); p.register(s, 0); print(p.poll(5000)[0][1])
d, anc, flags, addr = s.recvmsg(100, 500, 0x2000)
level, ty, data = anc[0]; errno, origin, t, c = struct.unpack('IBBB', data[:7])
print(d, flags & 0x2000, addr, level, ty, errno, origin, t, c, socket.inet_ntoa(data[20:24]))
print(p.poll(0))
try: s.recvmsg(100, 500, 0x2000)
except BlockingIOError: print('empty')
",
    );
    assert_eq!(text, "8\nb'probe' 8192 ('127.0.0.1', 33434) 0 11 111 2 3 3 127.0.0.1\n[]\nempty\n");
}

#[test]
fn settings_are_read_and_written() {
    let mut lab = Lab::new();
    let program = lab.launch(&[
        "sh",
        "-c",
        "f=/proc/sys/net/ipv4/ip_forward; cat $f; echo 1 > $f; cat $f; echo 0 > $f; cat $f",
    ]);
    assert_eq!(lab.wait(program).text, "0\n1\n0\n");
}

#[test]
fn a_monitor_is_told_of_changes() {
    let mut lab = Lab::new();
    let program = lab.launch(&[
        "bash",
        "-c",
        "coproc M { exec stdbuf -oL ip monitor address; }; sleep 0.3; ip addr add 127.0.0.2/8 dev lo
         read -t 5 -u ${M[0]} line; echo \"told: $line\"; kill $M_PID",
    ]);
    let text = lab.wait(program).text;
    assert!(text.contains("told: 1: lo    inet 127.0.0.2/8"), "{text}");
}
