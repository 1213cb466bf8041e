//! Any bytes as a batch: as they are, and again with a right length, magic and checksum, so that the records are met.
use sprawl_core::batch::{records, verify, Builder, Record, HEADER_LEN};

/// Verifies `data` both ways; what verifies must read back, and encode again to the same records.
pub fn run(data: &[u8]) {
    check(data);
    if data.len() >= HEADER_LEN {
        let mut sealed = data.to_vec();
        let counted = (data.len() - 12) as i32;
        sealed[8..12].copy_from_slice(&counted.to_be_bytes());
        sealed[16] = 2;
        // A flag refuses the batch at once: only the codec is left to chance.
        sealed[21] = 0;
        sealed[22] &= 0x07;
        let crc = crc32c::crc32c(&sealed[21..]);
        sealed[17..21].copy_from_slice(&crc.to_be_bytes());
        check(&sealed);
    }
}

fn check(data: &[u8]) {
    let mut scratch = Vec::new();
    let verified = verify(data).ok().flatten();
    let Ok(found) = records(data, &mut scratch) else {
        assert!(verified.is_none());
        return;
    };
    let found: Result<Vec<_>, _> = found.collect();
    let Some(verified) = verified else { return };
    let found = found.expect("a verified batch reads back");
    assert!(verified.length <= data.len());
    assert_eq!(verified.count() as usize, found.len());
    let mut builder = Builder::new();
    for record in &found {
        let again = Record {
            timestamp_ms: record.timestamp_ms,
            key: record.key,
            value: record.value,
            headers: &[],
            ttl_s: record.ttl_s,
            idempotency_key: record.idempotency_key,
            content_type: record.content_type.map(str::as_bytes),
        };
        // The first timestamp may be further from the others than the header's base is: only that may refuse.
        if let Err(error) = builder.push_with(&again, record.headers) {
            assert!(
                error.reason.contains("timestamp") || error.reason.contains("batch_bytes_max"),
                "{error}"
            );
            return;
        }
    }
    let mut out = Vec::new();
    builder.finish_into(&mut out, verified.header.base_offset, 0, None);
    let mut scratch = Vec::new();
    for (index, (written, read)) in
        records(&out, &mut scratch).expect("our own batch").zip(&found).enumerate()
    {
        let written = written.expect("our own record");
        assert_eq!(
            (written.offset, written.timestamp_ms),
            (read.offset, read.timestamp_ms),
            "record {index}"
        );
        assert_eq!((written.key, written.value, written.ttl_s), (read.key, read.value, read.ttl_s));
        assert_eq!(
            (written.idempotency_key, written.content_type),
            (read.idempotency_key, read.content_type)
        );
        assert!(written.headers.eq(read.headers));
    }
}
