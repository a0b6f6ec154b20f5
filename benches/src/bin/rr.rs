//! TCP request and response of one byte: `rr serve PORT`, `rr ask HOST PORT COUNT` prints microseconds a round trip.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

fn serve(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        let mut byte = [0];
        while stream.read(&mut byte)? > 0 {
            stream.write_all(&byte)?;
        }
    }
    Ok(())
}

fn ask(host: &str, port: u16, count: u32) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((host, port))?;
    stream.set_nodelay(true)?;
    let mut byte = [1];
    let mut round = || -> std::io::Result<()> {
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)
    };
    for _ in 0..count / 10 {
        round()?;
    }
    let started = Instant::now();
    for _ in 0..count {
        round()?;
    }
    println!("{:.2}", started.elapsed().as_secs_f64() * 1e6 / f64::from(count));
    Ok(())
}

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |s: &str| s.parse().expect("a number");
    match words[..] {
        ["serve", port] => serve(number(port)),
        ["ask", host, port, count] => ask(host, number(port), count.parse().expect("a number")),
        _ => panic!("rr serve PORT | rr ask HOST PORT COUNT"),
    }
}
