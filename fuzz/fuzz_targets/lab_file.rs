#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| netspace_fuzz::lab::file(text));
