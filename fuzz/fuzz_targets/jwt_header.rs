//! See `loquat_server::fuzzing::jwt_header`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| loquat_server::fuzzing::jwt_header(data));
