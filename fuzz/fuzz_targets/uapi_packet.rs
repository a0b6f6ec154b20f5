#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| netspace_uapi::fuzz::packet(bytes));
