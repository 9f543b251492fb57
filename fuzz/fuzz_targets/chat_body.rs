//! See `loquat_server::fuzzing::chat_body`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| loquat_server::fuzzing::chat_body(data));
