//! Programs that people use, on a host's loopback device: what they print is what counts.

mod common;

use common::Lab;

fn shell(script: &str) -> String {
    let mut lab = Lab::new();
    let program = lab.launch(&["bash", "-c", script]);
    let done = lab.wait(program);
    let refused: Vec<_> = lab.door.report().iter().collect();
    assert!(refused.is_empty(), "{refused:?}\n{}", done.text);
    done.text
}

/// Waits, within the script, until somebody listens on a TCP port.
const UP: &str = "up() { until (exec 3<>/dev/tcp/127.0.0.1/$1) 2>/dev/null; do sleep 0.02; done; }\n";

fn contains_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn curl_and_wget_from_a_python_server() {
    let text = shell(&format!(
        "{UP} cd /etc; python3 -m http.server 8000 >/dev/null 2>&1 & up 8000
         curl -sv http://server:8000/passwd -o /dev/null 2>&1 | grep -E '^(. Connected|< HTTP|< Content-Length)'
         curl -s http://127.0.0.1:8000/services | sha256sum; wget -qO- http://localhost:8000/services | sha256sum
         sha256sum < /etc/services; kill $!"
    ));
    contains_all(&text, &["Connected to server (127.0.0.1) port 8000", "HTTP/1.0 200 OK"]);
    let sums: Vec<&str> = text.lines().rev().take(3).collect();
    assert!(sums[0] == sums[1] && sums[1] == sums[2] && sums[0].len() > 64, "{text}");
}

#[test]
fn netcat_and_socat() {
    let text = shell(
        "nc -l -p 9000 & nc=$!; sleep 0.2; echo over tcp | nc -N 127.0.0.1 9000; wait $nc
         nc -vz 127.0.0.1 9000 2>&1; nc -u -l -p 9001 > /dev/null & udp=$!
         socat TCP-LISTEN:9002,reuseaddr,fork EXEC:'tr a-z A-Z' & sleep 0.3
         echo through socat | socat - TCP:127.0.0.1:9002
         echo udp | nc -u -w 1 127.0.0.1 9001; kill $udp %socat",
    );
    contains_all(&text, &["over tcp\n", "Connection refused", "THROUGH SOCAT\n"]);
}

#[test]
fn ping_traceroute_and_tracepath() {
    let text = shell(
        "ping -c 2 -i 0.2 127.0.0.1; ping -6 -c 1 ::1; ping -c 1 -s 1400 -M do localhost
         traceroute -n 127.0.0.1; tracepath -n 127.0.0.1",
    );
    contains_all(
        &text,
        &[
            "64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=",
            "2 packets transmitted, 2 received, 0% packet loss",
            "64 bytes from ::1: icmp_seq=1 ttl=64",
            "1408 bytes from",
            " 1  127.0.0.1  ",
            "pmtu 65535 hops 1 back 1",
        ],
    );
}

#[test]
fn ip_ss_and_sysctl() {
    let text = shell(
        "ip addr show lo; python3 -c 'import socket; l = socket.socket(); l.bind((\"127.0.0.1\", 8080)); l.listen(9)
import subprocess; subprocess.run([\"ss\", \"-tlnp\"])'; cat /proc/sys/net/ipv4/ip_forward; ip route get 127.0.0.1",
    );
    contains_all(
        &text,
        &[
            "inet 127.0.0.1/8 scope host lo",
            "LISTEN 0      9          127.0.0.1:8080",
            "python3",
            "local 127.0.0.1 dev lo",
        ],
    );
}

#[test]
fn nginx_with_two_workers() {
    let text = shell(&format!(
        "{UP} d=$(mktemp -d); mkdir $d/www; head -c 3000000 /dev/urandom > $d/www/big
         cat > $d/conf <<END
worker_processes 2; daemon off; pid $d/pid; error_log stderr;
events {{ worker_connections 64; }}
http {{ access_log off; sendfile on; client_body_temp_path $d/b; proxy_temp_path $d/p; fastcgi_temp_path $d/f;
uwsgi_temp_path $d/u; scgi_temp_path $d/s; server {{ listen 8081; root $d/www; }} }}
END
         nginx -c $d/conf 2>/dev/null & up 8081
         curl -s http://server:8081/big | cmp - $d/www/big && echo same
         curl -s -o /dev/null -w '%{{http_code}}\\n' http://server:8081/none; kill $!; wait; rm -r $d"
    ));
    contains_all(&text, &["same\n404\n"]);
}

#[test]
fn iperf3_both_ways() {
    let text = shell(&format!(
        "{UP} iperf3 -s > /dev/null & sleep 0.3
         iperf3 -c 127.0.0.1 -n 20M | grep receiver; iperf3 -c 127.0.0.1 -n 20M -R -P 2 | grep SUM.*receiver
         iperf3 -c 127.0.0.1 -u -b 10M -n 1M | grep receiver; kill $!"
    ));
    assert_eq!(text.lines().filter(|line| line.ends_with("receiver")).count(), 3, "{text}");
}
