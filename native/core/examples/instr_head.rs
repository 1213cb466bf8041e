//! One request head of a usual client parsed.
mod common;

use std::hint::black_box;

fn main() {
    let request = common::post("orders.eu", "text/plain", b"");
    for _ in 0..common::WARM_UP + common::operations() {
        let head = sprawl_core::http::head::parse(black_box(&request)).expect("well-formed");
        black_box(head.expect("whole"));
    }
}
