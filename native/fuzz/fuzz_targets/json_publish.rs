#![no_main]
#[path = "../src/json_publish.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
