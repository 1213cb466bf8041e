#![no_main]
#[path = "../src/http_chunked.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
