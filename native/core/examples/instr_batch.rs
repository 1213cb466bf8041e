//! One RecordBatch of 100 records over HTTP, a tick each.
mod common;

fn main() {
    let mut edge = common::edge();
    let request = common::post("orders.eu", "application/x-sprawl-batch", &common::record_batch(100));
    common::publish(&mut edge, &request, common::WARM_UP);
    common::publish(&mut edge, &request, common::operations());
}
