//! The columns of a segment and how each is stored.
use std::sync::{Arc, OnceLock};

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr, WriterVersion};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

use super::VERSION;

/// The schema; `Index` names its leaves in this order.
const MESSAGE: &str = "message sprawl {
    REQUIRED BYTE_ARRAY topic (STRING);
    REQUIRED BYTE_ARRAY topic_id (STRING);
    REQUIRED INT32 partition;
    REQUIRED INT64 offset;
    REQUIRED INT64 epoch;
    REQUIRED INT64 append_time (TIMESTAMP(MICROS,true));
    REQUIRED INT32 append_time_ns;
    REQUIRED INT64 create_time (TIMESTAMP(MILLIS,true));
    OPTIONAL INT64 expiry_time (TIMESTAMP(MICROS,true));
    OPTIONAL INT64 ttl_s;
    OPTIONAL BYTE_ARRAY key;
    OPTIONAL BYTE_ARRAY value;
    OPTIONAL BYTE_ARRAY content_type (STRING);
    OPTIONAL BYTE_ARRAY idempotency_key (STRING);
    OPTIONAL INT64 producer_id;
    OPTIONAL INT32 producer_epoch;
    OPTIONAL INT32 producer_sequence;
    REQUIRED group headers (LIST) {
        REPEATED group list {
            REQUIRED group element {
                REQUIRED BYTE_ARRAY name (STRING);
                OPTIONAL BYTE_ARRAY value;
            }
        }
    }
}";

/// Leaves of the schema, in its order.
#[derive(Clone, Copy)]
pub(super) enum Index {
    Offset = 3,
    Epoch = 4,
    AppendTime = 5,
    AppendTimeNs = 6,
    CreateTime = 7,
    ExpiryTime = 8,
    Ttl = 9,
    Key = 10,
    Value = 11,
    ContentType = 12,
    IdempotencyKey = 13,
    ProducerId = 14,
    ProducerEpoch = 15,
    ProducerSequence = 16,
    HeaderName = 17,
    HeaderValue = 18,
}

/// Leaves of the schema.
pub(super) const COLUMNS_COUNT: usize = 19;
/// Few values repeat: a dictionary of them is small.
const REPEATING: [&str; 3] = ["topic", "topic_id", "content_type"];
const NUMBERS: [&str; 11] = [
    "partition",
    "offset",
    "epoch",
    "append_time",
    "append_time_ns",
    "create_time",
    "expiry_time",
    "ttl_s",
    "producer_id",
    "producer_epoch",
    "producer_sequence",
];
/// Zstandard's fastest ordinary level: higher ones gain a few percent and cost the mover's figure.
const ZSTD_LEVEL: i32 = 1;

fn path(name: &str) -> ColumnPath {
    ColumnPath::new(name.split('.').map(str::to_owned).collect())
}

/// The schema, parsed once.
pub(super) fn schema() -> TypePtr {
    static SCHEMA: OnceLock<TypePtr> = OnceLock::new();
    Arc::clone(
        SCHEMA.get_or_init(|| Arc::new(parse_message_type(MESSAGE).expect("the schema is well-formed"))),
    )
}

/// How files are written; nothing in it differs from node to node.
pub(super) fn properties() -> WriterPropertiesPtr {
    static PROPERTIES: OnceLock<WriterPropertiesPtr> = OnceLock::new();
    Arc::clone(PROPERTIES.get_or_init(|| {
        let sorting = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
        let level = ZstdLevel::try_new(ZSTD_LEVEL).expect("a level that exists");
        let version = KeyValue::new("sprawl.version".into(), VERSION.to_string());
        let mut builder = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_created_by(format!("sprawl segment version {VERSION}"))
            .set_key_value_metadata(Some(vec![version]))
            .set_compression(Compression::ZSTD(level))
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_sorting_columns(Some([0, 1, 2, 3].map(sorting).to_vec()))
            // Pages end by their bytes alone, and groups where we end them.
            .set_data_page_row_count_limit(usize::MAX)
            .set_max_row_group_row_count(None);
        for name in REPEATING {
            builder = builder.set_column_dictionary_enabled(path(name), true);
        }
        for name in NUMBERS {
            builder = builder.set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED);
        }
        for name in ["value", "headers.list.element.name", "headers.list.element.value"] {
            builder = builder.set_column_statistics_enabled(path(name), EnabledStatistics::None);
        }
        Arc::new(builder.build())
    }))
}
