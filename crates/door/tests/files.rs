//! The network's files and directories under `/proc` and `/sys`, as programs find them.

mod common;

use common::Lab;

/// What a shell script prints on a host, nothing having been refused.
#[track_caller]
fn shell(script: &str) -> String {
    let mut lab = Lab::new();
    let program = lab.launch(&["bash", "-c", script]);
    let text = lab.wait(program).text;
    let refused: Vec<_> = lab.door.report().iter().collect();
    assert!(refused.is_empty(), "{refused:?}\n{text}");
    text
}

#[test]
fn directories_list_what_the_host_has() {
    assert_eq!(
        shell("ls /sys/class/net; ls /sys/class/net/lo/statistics/ | head -3"),
        "lo\ncollisions\nmulticast\nrx_bytes\n"
    );
    let net = shell(
        "ls /proc/net; ls -l /proc/self/net/ | grep -c ^-r--r--r--; for f in /proc/net/*; do cat $f > /dev/null; done",
    );
    let names: Vec<_> = net.lines().collect();
    assert!(["arp", "dev", "route", "tcp6", "unix"].iter().all(|name| names.contains(name)), "{net}");
    assert_eq!(names.last().unwrap().parse(), Ok(names.len() - 1), "{net}");
    assert_eq!(
        shell("ls -d /proc/net /proc/net/ /sys/class/net; [ -L /proc/net ] && readlink /proc/net"),
        "/proc/net\n/proc/net/\n/sys/class/net\nself/net\n"
    );
    assert_eq!(
        shell("find /proc/sys/net /sys/class/net -name ip_forward -o -name mtu -o -type l | sort"),
        "/proc/sys/net/ipv4/ip_forward\n/proc/sys/net/ipv6/conf/all/mtu\n/proc/sys/net/ipv6/conf/default/mtu\n/proc/sys/net/ipv6/conf/lo/mtu\n/sys/class/net/lo/mtu\n"
    );
}

#[test]
fn sysctl_lists_the_hosts_settings_and_no_others() {
    let text = shell(
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.lo.rp_filter=2; sysctl -a 2>&1 | grep ^net > /tmp/$$; \
         grep -E '^net.ipv4.(ip_forward|conf.lo.rp_filter) ' /tmp/$$; cut -d ' ' -f1 /tmp/$$ | sort -u | wc -l; rm /tmp/$$
         find /proc/sys/net -type f | wc -l",
    );
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["net.ipv4.conf.lo.rp_filter = 2", "net.ipv4.ip_forward = 1"]);
    assert_eq!(lines[2], lines[3]);
}

#[test]
fn files_are_there_or_not_as_on_the_host() {
    let text = shell(
        "cd /; for f in /proc/net/tcp /proc/net/nothing /sys/class/net/lo/mtu /sys/class/net/eth9 sys/class/net/lo proc/sys/net/ipv4/ip_forward; do
           test -e $f && stat -c '%n %F %a' $f; done
         test -w /proc/sys/net/ipv4/ip_forward && echo writable; test -w /proc/net/tcp || echo not; test -x /proc/net && echo to enter
         readlink -f /sys/class/net/lo/mtu; readlink /proc/net/tcp || echo no link; realpath /proc/net/tcp | sed s/[0-9][0-9]*//",
    );
    let expected = "\
/proc/net/tcp regular empty file 444
/sys/class/net/lo/mtu regular empty file 444
sys/class/net/lo directory 755
proc/sys/net/ipv4/ip_forward regular empty file 644
writable
not
to enter
/sys/class/net/lo/mtu
no link
/proc//net/tcp
";
    assert_eq!(text, expected);
}

#[test]
fn a_device_that_the_machine_does_not_have_is_listed_in_full() {
    let text = shell(
        "ip link add dummy77 type dummy && ls -l /sys/class/net/ /sys/class/net/dummy77/ 2>&1 |
         grep -E -o '^d.* dummy77|address$|No such' | sed 's/.* //'",
    );
    assert_eq!(text, "dummy77\naddress\n");
}

#[test]
fn programs_may_stand_in_a_directory() {
    let text = shell(
        "cd /proc/sys/net/ipv4 && sysctl -qw net.ipv4.ip_default_ttl=77 && cat ip_default_ttl && ls ip_default_ttl && cd ../../net && cat ipv4/ip_default_ttl",
    );
    assert_eq!(text, "77\nip_default_ttl\n77\n");
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import os
d = os.open('/sys/class/net', os.O_RDONLY | os.O_DIRECTORY)
print(os.listdir(d), os.stat('lo', dir_fd=d).st_mode & 0o170000 == 0o040000)
print(os.read(os.open('lo/mtu', os.O_RDONLY, dir_fd=d), 100))
os.fchdir(d); print(open('lo/operstate').read(), os.listdir('lo/statistics')[:0], os.access('eth0', os.F_OK))
print(sorted(next(os.walk('/proc/sys/net'))[1]))
",
    );
    assert_eq!(text, "['lo'] True\nb'65536\\n'\nunknown\n [] False\n['core', 'ipv4', 'ipv6']\n");
}

#[test]
fn nothing_is_left_when_the_door_is_closed() {
    let shadows = |base: &str| {
        let entries = std::fs::read_dir(base).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap_or_default());
        names.filter(|name| name.starts_with("netspace-files-")).collect::<Vec<_>>()
    };
    let mut lab = Lab::new();
    let text = lab.run_python("import os; print(os.readlink(f'/proc/self/fd/{os.open(\"/proc/net/\", 0)}'))");
    let (base, rest) = text.split_at(text.find("/netspace-files-").unwrap());
    let name = rest.split('/').nth(1).unwrap().to_owned();
    assert!(shadows(base).contains(&name), "{text}");
    drop(lab);
    assert!(!shadows(base).contains(&name));
}

#[test]
fn a_setting_refuses_an_invalid_value_by_the_write_itself() {
    let text = shell(
        "cd /proc/sys/net/ipv4; echo 77 > ip_default_ttl && cat ip_default_ttl
         (echo none > ip_default_ttl) 2>&1; echo $?; cat ip_default_ttl; /bin/echo 300 2>&1 > ip_default_ttl; cat ip_default_ttl
         sysctl -w net.ipv4.ip_default_ttl=1000 2>&1; sysctl -w net.ipv4.ip_default_ttl=78; sysctl -n net.ipv4.ip_default_ttl
         echo 79 | tee ip_default_ttl; cat ip_default_ttl; exec 3> ip_default_ttl; echo 80 >&3; exec 3>&-; cat ip_default_ttl
         echo; printf %070d 1 | sed s/0//g",
    );
    let expected = "\
77
bash: line 2: echo: write error: Invalid argument
1
77
/bin/echo: write error: Invalid argument
77
sysctl: setting key \"net.ipv4.ip_default_ttl\": Invalid argument
net.ipv4.ip_default_ttl = 78
78
79
79
80

1";
    assert_eq!(text, expected);
}

#[test]
fn a_setting_written_through_its_own_descriptor_is_read_back() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import os, errno
fd = os.open('/proc/sys/net/ipv4/ip_default_ttl', os.O_RDWR)
print(os.read(fd, 10), os.pwrite(fd, b'', 0))
for value in b'81', b'x', b'82':
    try: print(os.write(fd, value), os.pread(fd, 10, 0))
    except OSError as e: print(errno.errorcode[e.errno])
print(open('/proc/sys/net/ipv4/ip_default_ttl').read())
",
    );
    assert_eq!(text, "b'64\\n' 0\n2 b'81'\nEINVAL\n2 b'82'\n82\n\n");
}
