//! One message of 100 bytes written as an event, from a topic of 1,000 in ten batches.
mod common;

use sprawl_core::edge::encode::Form;
use sprawl_core::edge::fetch::Fetch;

fn main() {
    let mut edge = common::edge();
    let request = common::post("orders.eu", "application/x-sprawl-batch", &common::record_batch(100));
    common::publish(&mut edge, &request, 10);
    let fetch = Fetch::parse("", None, common::NOW).expect("no parameter");
    let fresh = fetch.reader(&mut edge.log, "orders.eu", Form::Sse).expect("a reader");
    let mut out = Vec::new();
    let mut left = 1000 + common::operations() as u64;
    while left > 0 {
        let mut reader = fresh.clone();
        out.clear();
        left -= edge.pull(&mut reader, usize::MAX / 2, left, common::NOW, &mut out).messages;
    }
}
