#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| punchgate_fuzz::targets::run("backup_contents", bytes));
