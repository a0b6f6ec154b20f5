#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| drop(netspace_fuzz::stack::frames(script)));
