//! See `loquat_server::fuzzing::resume_cursor`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| loquat_server::fuzzing::resume_cursor(data));
