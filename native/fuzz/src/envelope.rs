//! Any bytes as an envelope: what checks out is written again byte for byte.
use sprawl_core::envelope::{Envelope, ENVELOPE_LEN};

/// Checks `data`, and what it says once it is sealed properly.
pub fn run(data: &[u8]) {
    if let Ok(Some((envelope, length))) = Envelope::check(data) {
        again(&envelope, &data[ENVELOPE_LEN..length], &data[..length]);
    }
    if let Ok(Some((envelope, _))) = Envelope::parse(data) {
        let mut sealed = data.to_vec();
        envelope.seal(&mut sealed);
        assert_eq!(Envelope::check(&sealed), Ok(Some((envelope, sealed.len()))));
        again(&envelope, &data[ENVELOPE_LEN..], &sealed);
    }
}

fn again(envelope: &Envelope, batch: &[u8], expected: &[u8]) {
    let mut out = Vec::new();
    envelope.write_into(batch, &mut out);
    assert_eq!(out, expected);
}
