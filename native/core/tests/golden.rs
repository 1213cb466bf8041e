//! The fixed formats against vectors that another implementation made (`tests/golden/make.py`).
use serde_json::Value;
use sprawl_core::batch::{records, stamp, verify, Header};
use sprawl_core::cursor::{self, Entry};
use sprawl_core::disk;
use sprawl_core::envelope::{Envelope, ENVELOPE_LEN};
use sprawl_core::ids;

fn load(name: &str) -> Value {
    let path = format!("{}/../../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn number<T: TryFrom<u64>>(value: &Value) -> T {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap();
    T::try_from(number).ok().unwrap()
}

#[test]
fn slots_keys_and_topic_ids_are_fixed() {
    let golden = load("ids.json");
    let vectors = |name: &str| golden[name].as_array().unwrap().clone();
    assert!(vectors("slots").len() > 50 && vectors("keys").len() > 20 && vectors("topic_ids").len() == 5);
    for vector in vectors("slots") {
        let name = vector[0].as_str().unwrap();
        assert_eq!(ids::slot_of(name.as_bytes(), number(&vector[1])), number::<u16>(&vector[2]), "{name}");
    }
    for vector in vectors("keys") {
        assert_eq!(ids::partition_of_key(&bytes(&vector[0]), number(&vector[1])), number::<u32>(&vector[2]));
    }
    for vector in vectors("topic_ids") {
        let text = vector[1].as_str().unwrap().as_bytes();
        assert_eq!(&ids::topic_id_text(number(&vector[0]))[..], text);
        assert_eq!(ids::parse_topic_id(text), Some(number(&vector[0])));
    }
}

#[test]
fn cursors_are_fixed() {
    for vector in load("ids.json")["cursors"].as_array().unwrap() {
        let entries: Vec<Entry> = vector["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| Entry {
                topic_id: number(&entry[0]),
                partition: number(&entry[1]),
                epoch: number(&entry[2]),
                next: number(&entry[3]),
            })
            .collect();
        let text = vector["text"].as_str().unwrap();
        assert_eq!(cursor::encode(&entries), text);
        assert_eq!(cursor::decode(text), Ok(entries));
    }
}

#[test]
fn envelopes_and_batches_are_fixed() {
    let golden = load("log.json");
    for (name, vector) in golden.as_object().unwrap() {
        let (sealed, batch) = (bytes(&vector["sealed"]), bytes(&vector["batch"]));
        let (envelope, length) = Envelope::check(&sealed).unwrap().unwrap();
        assert_eq!(length, sealed.len(), "{name}");
        assert_eq!(u64::from(envelope.slot), vector["envelope"]["slot"].as_u64().unwrap());
        assert_eq!(envelope.append_ns, vector["envelope"]["append_ns"].as_i64().unwrap());
        assert_eq!(envelope.expiry_ns, vector["envelope"]["expiry_ns"].as_i64().unwrap());
        assert_eq!(&sealed[ENVELOPE_LEN..], &batch[..]);
        let mut again = Vec::new();
        envelope.write_into(&batch, &mut again);
        assert_eq!(again, sealed);

        let verified = verify(&batch).unwrap().unwrap();
        assert_eq!(verified.count(), envelope.records_count);
        let mut scratch = Vec::new();
        assert_eq!(
            records(&batch, &mut scratch).unwrap().filter_map(Result::ok).count() as u32,
            verified.count()
        );
        let mut stamped = batch.clone();
        stamp(&mut stamped, 0, 0);
        stamp(&mut stamped, 1 << 33, 7);
        assert_eq!(stamped, batch);
        assert_eq!(Header::parse(&batch).unwrap().unwrap().producer_id, 1 << 62);
    }
}

#[test]
fn values_of_the_disk_tier_are_fixed() {
    let golden = load("disk.json");
    let source = &golden["source"];
    let run = vec![b'x'; number(&source["x"])];
    let (before, after) = (bytes(&source["before"]), bytes(&source["after"]));
    let (parts, first) = ([&before[..], &run, &after], number::<u64>(&source["first_lsn"]));
    let pieces = disk::cut(first, &parts).unwrap();
    let stated = golden["log"].as_array().unwrap();
    assert_eq!(pieces.len(), stated.len());
    for (piece, stated) in pieces.iter().zip(stated) {
        assert_eq!((&piece.key, &piece.value[..16]), (&bytes(&stated[0]), &bytes(&stated[1])[..]));
        assert_eq!(piece.value.len(), number::<usize>(&stated[2]));
    }
    let window = disk::build(first, &parts, true, &[]).unwrap();
    let stated = golden["index"].as_array().unwrap();
    assert_eq!(window.pairs.len(), stated.len());
    for (pair, stated) in window.pairs.iter().zip(stated) {
        assert_eq!((&pair.key, &pair.value[..]), (&bytes(&stated[0]), &bytes(&stated[1])[..]));
        disk::check_value(&pair.key, &pair.value).unwrap();
    }
}
