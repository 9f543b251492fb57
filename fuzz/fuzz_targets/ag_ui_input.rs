//! See `loquat_server::fuzzing::ag_ui_input`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| loquat_server::fuzzing::ag_ui_input(data));
