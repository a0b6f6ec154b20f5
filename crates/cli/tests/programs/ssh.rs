//! OpenSSH: a file by sftp and a forwarded port, with a server that runs as the same plain user.

use super::{content, lab, wait_for};

/// The plain user's account may have no shell to log in with: nss_wrapper gives the server an account `someone` of the
/// same uid.
const SERVER: &str = r#"set -e
umask 077
ssh-keygen -q -t ed25519 -N '' -f hostkey
ssh-keygen -q -t ed25519 -N '' -f id
cp id.pub keys
cat > sshd_config <<END
Port 22
HostKey $PWD/hostkey
AuthorizedKeysFile $PWD/keys
PidFile none
StrictModes no
Subsystem sftp internal-sftp
END
echo "someone:x:$(id -u):$(id -g)::$PWD:/bin/sh" > passwd
echo "sshd:x:100:100::/run/sshd:/usr/sbin/nologin" >> passwd
echo "someone:x:$(id -g):" > group
export LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_PASSWD=$PWD/passwd NSS_WRAPPER_GROUP=$PWD/group
exec /usr/sbin/sshd -D -e -f $PWD/sshd_config
"#;

const OPTIONS: &str =
    "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i id";

#[test]
fn sftp_carries_a_file_both_ways() {
    let lab = lab("bash server.sh");
    lab.file("server.sh", SERVER).file("big", content(3_000_000));
    let script = format!(
        "{}echo -e \"put big $PWD/up\\nget $PWD/up down\" | sftp {OPTIONS} -b - someone@server && cmp big down && echo same",
        wait_for(22)
    );
    let said = lab.on("client", &script).ok();
    assert!(said.ends_with("same\n"), "{said}");
}

#[test]
fn ssh_runs_a_command_on_another_host() {
    let lab = lab("bash server.sh");
    lab.file("server.sh", SERVER);
    let script = format!("{}ssh {OPTIONS} someone@server 'echo hello from $(hostname)'", wait_for(22));
    assert_eq!(lab.on("client", &script).ok(), "hello from server\n");
}

#[test]
fn ssh_forwards_a_port() {
    let lab = lab("bash server.sh\npython3 -m http.server 80");
    lab.file("server.sh", SERVER).file("page", "through the tunnel\n");
    let script = format!(
        "{}{}ssh {OPTIONS} -N -L 8080:localhost:80 someone@server & pid=$!; \
         for i in $(seq 100); do curl -sf http://localhost:8080/page && break; sleep 0.05; done; kill $pid",
        wait_for(22),
        wait_for(80)
    );
    assert_eq!(lab.on("client", &script).ok(), "through the tunnel\n");
}
