//! Any bytes as a chunked body: the first byte says in which pieces they arrive, and the pieces must not
//! matter.

use sprawl_core::http::chunked::Decoder;
use sprawl_core::http::HttpError;

const LIMIT: usize = 4096;

fn decode(bytes: &[u8], piece: usize) -> Result<Option<(Vec<u8>, usize)>, HttpError> {
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    let mut at = 0;
    for piece in bytes.chunks(piece) {
        let progress = decoder.decode(piece, &mut out, LIMIT)?;
        assert!(out.len() <= LIMIT);
        at += progress.consumed;
        if progress.done {
            assert_eq!(decoder.body_bytes(), out.len() as u64);
            return Ok(Some((out, at)));
        }
        assert_eq!(progress.consumed, piece.len());
    }
    Ok(None)
}

/// One input.
pub fn run(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    assert_eq!(decode(bytes, usize::from(piece) + 1), decode(bytes, bytes.len().max(1)));
}
