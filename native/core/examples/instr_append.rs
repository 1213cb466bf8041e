//! One record of 100 bytes appended to a hot topic; 64 appends share a tick.
mod common;

use sprawl_core::log::{Log, NewRecord, Options};

fn append(log: &mut Log, topic: u32, count: usize) {
    let record = NewRecord { value: &[b'x'; 100], ..NewRecord::default() };
    for at in 0..count {
        log.publish(topic, &record, &Options::default(), common::NOW).expect("taken");
        if at % 64 == 63 {
            log.end_tick(common::NOW);
        }
    }
    log.end_tick(common::NOW);
}

fn main() {
    let mut log = common::log();
    let topic = log.topic_to_publish(b"orders.eu", common::NOW).expect("created");
    append(&mut log, topic, common::WARM_UP);
    append(&mut log, topic, common::operations());
}
