//! One JSON batch of ten messages over HTTP, a tick each.
mod common;

fn main() {
    let mut edge = common::edge();
    let request = common::post("orders.eu", "application/vnd.sprawl.messages+json", &common::json_batch(10));
    common::publish(&mut edge, &request, common::WARM_UP);
    common::publish(&mut edge, &request, common::operations());
}
