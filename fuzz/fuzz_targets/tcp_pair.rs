#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| netspace_fuzz::tcp_pair::run(script));
