#![no_main]

libfuzzer_sys::fuzz_target!(|query: &[u8]| netspace_fuzz::lab::dns(query));
