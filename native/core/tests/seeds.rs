//! The fuzz targets over their seeds (and the corpus of this checkout, if it has been fuzzed), as ordinary tests.
use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/batch.rs"]
mod batch;
#[path = "../../fuzz/src/connection.rs"]
mod connection;
#[path = "../../fuzz/src/cursor.rs"]
mod cursor;
#[path = "../../fuzz/src/disk.rs"]
mod disk;
#[path = "../../fuzz/src/envelope.rs"]
mod envelope;
#[path = "../../fuzz/src/http_chunked.rs"]
mod http_chunked;
#[path = "../../fuzz/src/http_head.rs"]
mod http_head;
#[path = "../../fuzz/src/json_publish.rs"]
mod json_publish;
#[path = "../../fuzz/src/trie.rs"]
mod trie;

/// Runs `target` over its files, each also cut short and with a byte changed.
fn replay(name: &str, target: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut count = 0;
    for folder in ["seeds", "corpus"] {
        let Ok(entries) = fs::read_dir(root.join(folder).join(name)) else { continue };
        for entry in entries {
            let data = fs::read(entry.unwrap().path()).unwrap();
            target(&data);
            for at in 0..data.len().min(400) {
                target(&data[..at]);
                let mut changed = data.clone();
                changed[at] ^= 1 << (at % 8);
                target(&changed);
            }
            count += 1;
        }
    }
    assert!(count > 0, "no seeds of {name}");
}

#[test]
fn batch_seeds() {
    replay("batch", batch::run);
}

#[test]
fn envelope_seeds() {
    replay("envelope", envelope::run);
}

#[test]
fn cursor_seeds() {
    replay("cursor", cursor::run);
}

#[test]
fn http_head_seeds() {
    replay("http_head", http_head::run);
}

#[test]
fn http_chunked_seeds() {
    replay("http_chunked", http_chunked::run);
}

#[test]
fn json_publish_seeds() {
    replay("json_publish", json_publish::run);
}

#[test]
fn trie_seeds() {
    replay("trie", trie::run);
}

#[test]
fn connection_seeds() {
    replay("connection", connection::run);
}

#[test]
fn disk_seeds() {
    replay("disk", disk::run);
}
