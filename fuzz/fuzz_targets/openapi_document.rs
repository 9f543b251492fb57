//! See `loquat_server::fuzzing::openapi_document`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| loquat_server::fuzzing::openapi_document(data));
