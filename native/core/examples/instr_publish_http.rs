//! One publish of 100 raw bytes over HTTP, a tick each.
mod common;

fn main() {
    let mut edge = common::edge();
    let request = common::post("orders.eu", "text/plain", &[b'x'; 100]);
    common::publish(&mut edge, &request, common::WARM_UP);
    common::publish(&mut edge, &request, common::operations());
}
