//! Programs without a C library: a static Go server and client, a static Rust program.

use std::process::Command;

use netspace_testkit::{Lab, find_program};

use super::{lab, wait_for};

const GO: &str = r#"package main
import ("fmt"; "io"; "net"; "net/http"; "os")
func main() {
	if os.Args[1] == "serve" {
		http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "go says hello to %s\n", r.URL.Path) })
		fmt.Println(http.ListenAndServe(":80", nil))
		os.Exit(1)
	}
	r, err := http.Get("http://server/" + os.Args[2])
	if err != nil { fmt.Println(err); os.Exit(1) }
	io.Copy(os.Stdout, r.Body)
	c, err := net.Dial("udp", "server:9")
	if err != nil { fmt.Println(err); os.Exit(1) }
	fmt.Println(c.RemoteAddr().Network())
}
"#;

const RUST: &str = r#"use std::io::{Read, Write};
fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("serve") {
        for stream in std::net::TcpListener::bind(("::", 80)).unwrap().incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || { let mut b = [0; 64]; let n = stream.read(&mut b).unwrap(); stream.write_all(&b[..n]).unwrap(); });
        }
    }
    let mut stream = std::net::TcpStream::connect(("server", 80)).unwrap();
    stream.write_all(b"rust").unwrap();
    let mut s = String::new();
    stream.read_to_string(&mut s).unwrap();
    println!("{s} {}", stream.peer_addr().unwrap().port());
}
"#;

fn build(lab: &Lab, command: &mut Command) {
    let output = command
        .current_dir(lab.dir())
        .env("GOCACHE", lab.dir().join("gocache"))
        .env("GOFLAGS", "-mod=mod")
        .env("GO111MODULE", "off")
        .output();
    let output = output.expect("the compiler runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_static_go_server_and_client() {
    assert!(find_program("go").is_some(), "install golang-go");
    let lab = lab("./prog serve");
    lab.file("prog.go", GO);
    build(&lab, Command::new("go").args(["build", "-o", "prog", "prog.go"]).env("CGO_ENABLED", "0"));
    let said = lab.on("client", &format!("{}./prog get world", wait_for(80))).ok();
    assert_eq!(said, "go says hello to /world\nudp\n");
}

#[test]
fn a_static_rust_server_and_client() {
    let lab = lab("./prog serve");
    lab.file("prog.rs", RUST);
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    build(
        &lab,
        Command::new(rustc).args([
            "-O",
            "-C",
            "target-feature=+crt-static",
            "--edition",
            "2021",
            "-o",
            "prog",
            "prog.rs",
        ]),
    );
    let said = lab.on("client", &format!("{}./prog get", wait_for(80))).ok();
    assert_eq!(said, "rust 80\n");
}
