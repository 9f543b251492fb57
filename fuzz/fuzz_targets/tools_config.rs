//! See `loquat_server::fuzzing::tools_config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| loquat_server::fuzzing::tools_config(data));
