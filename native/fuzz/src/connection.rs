//! Any bytes in any pieces into a connection: no panic, exact books, whole answers, and the pieces do not matter.
use sprawl_core::edge::{Connection, Edge, Step};
use sprawl_core::log::{Log, Setup};
use sprawl_core::slots::SlotTable;
use std::sync::Arc;

const NOW: i64 = 1_700_000_000_000_000_000;
const STEPS_MAX: usize = 1000;

/// The first byte says in which pieces the others arrive; then they arrive once more in one piece.
pub fn run(data: &[u8]) {
    let Some((&piece, bytes)) = data.split_first() else { return };
    let cut = serve(bytes.chunks(usize::from(piece % 64) + 1));
    let whole = serve(std::iter::once(bytes));
    // A stream of lines answers in chunks as they come, and whether a body has to be asked for depends on its arrival.
    let depends = bytes.windows(6).any(|w| w.eq_ignore_ascii_case(b"ndjson"))
        || bytes.windows(6).any(|w| w.eq_ignore_ascii_case(b"expect"));
    if !depends {
        assert!(cut == whole, "answers depend on where the bytes were cut");
    }
}

fn serve<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let setup = Setup {
        memory_bytes_max: 1 << 18,
        chunk_bytes: 1 << 14,
        dedup_keys_max: 8,
        topics_max: 16,
        seed: 1,
        auto_create: true,
        delete_grace_s: 1,
        disk_lsn: None,
    };
    let mut edge = Edge::new(Log::new(setup, Arc::new(SlotTable::single("n", 1).expect("a table"))));
    let mut connection = Connection::new(1, true);
    let mut all = Vec::new();
    let mut is_open = true;
    for piece in pieces {
        let mut out = Vec::new();
        let mut step = edge.receive(&mut connection, piece, NOW, &mut out);
        loop {
            assert_eq!(edge.buffered(), connection.held());
            match step {
                Step::More => break,
                Step::Close => {
                    is_open = false;
                    break;
                }
                // The client takes its answers; with them in the way, it would be full for ever.
                Step::Full => all.append(&mut out),
                Step::Upgrade(_) => {
                    edge.take_rest(&mut connection);
                    is_open = false;
                    break;
                }
                Step::Cold(request) => {
                    assert!(connection.is_pending() && request.body.len() <= 1 << 20);
                    out.extend_from_slice(b"HTTP/1.1 204 No Content\r\n\r\n");
                }
                Step::Wait(mut waiting, until_ns) => {
                    assert!(until_ns > NOW);
                    edge.answer_fetch(&mut waiting, until_ns, true, &mut out);
                }
                Step::Stream(mut waiting) => {
                    let mut pulls = 0;
                    while edge.pull(&mut waiting.reader, 1000, u64::MAX, NOW, &mut out).more {
                        pulls += 1;
                        assert!(pulls < STEPS_MAX, "a stream that goes on for ever");
                    }
                    is_open = false;
                    break;
                }
            }
            step = edge.resume(&mut connection, NOW, &mut out);
        }
        assert!(
            out.is_empty() || out.starts_with(b"HTTP/1.1 ") || is_chunk(&out),
            "no answer begins like this"
        );
        all.extend(out);
        if !is_open {
            break;
        }
    }
    edge.forget(&mut connection);
    assert_eq!(edge.buffered(), 0);
    for _ in 0..2 {
        edge.log.end_tick(NOW);
    }
    assert!(!edge.log.is_dirty() && edge.log.ring().bytes_allocated() <= 1 << 18);
    all
}

/// A piece of an answer that has begun before.
fn is_chunk(out: &[u8]) -> bool {
    out[0].is_ascii_hexdigit()
}
