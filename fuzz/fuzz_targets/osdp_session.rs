#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| punchgate_fuzz::targets::run("osdp_session", bytes));
