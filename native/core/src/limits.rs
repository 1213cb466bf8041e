//! Every maximum of the compiled code, with its unit and reason. `sprawl/limits.py` states the same numbers for the
//! rest of the node and a test holds the two equal.

/// Bytes of one message's payload.
pub const PAYLOAD_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Bytes of one batch as sent by a client (one HTTP body of batches may hold several).
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one request body: a full batch, or a full payload written as base64 inside JSON with room to spare.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Records in one batch or messages in one JSON batch.
pub const BATCH_RECORDS_MAX: usize = 10_000;
/// Bytes that a compressed batch may inflate to.
pub const INFLATED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Inflated bytes per compressed byte.
pub const INFLATED_RATIO_MAX: usize = 100;
/// Bytes of a request head (request line and headers).
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a request line.
pub const REQUEST_LINE_BYTES_MAX: usize = 8 * 1024;
/// Header fields of a request.
pub const HEADERS_COUNT_MAX: usize = 100;
/// Bytes of a topic name.
pub const TOPIC_BYTES_MAX: usize = 249;
/// Bytes of a record key.
pub const KEY_BYTES_MAX: usize = 4 * 1024;
/// Headers of one record that a client sets.
pub const RECORD_HEADERS_COUNT_MAX: usize = 64;
/// Bytes of the names and values of one record's headers together.
pub const RECORD_HEADERS_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an idempotency key or of an id given by the client.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Bytes of a content type.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// Partitions of one topic.
pub const PARTITIONS_MAX: u32 = 1_024;
/// Partitions that one read (and so one cursor) covers.
pub const READ_PARTITIONS_MAX: usize = 64;
/// Nesting of a JSON document.
pub const JSON_DEPTH_MAX: usize = 64;
/// Slots of the cluster.
pub const SLOTS_COUNT: usize = 4096;
/// Longest time to live or retention age in seconds (100 years): keeps nanosecond sums inside 64 bits.
pub const TTL_S_MAX: u64 = 100 * 366 * 86_400;
/// Replicas of one slot (the factor is 3; the rest is room for a change of the set).
pub const REPLICAS_COUNT_MAX: usize = 7;
/// Members of a cluster (an index of one fits 16 bits with room for "none").
pub const MEMBERS_COUNT_MAX: usize = 1_024;
/// Bytes of a node id (its length is one byte in the slot table).
pub const NODE_ID_BYTES_MAX: usize = 128;
/// Tokens of a topic name or pattern: what fits `TOPIC_BYTES_MAX` when each is one byte.
pub const TOPIC_TOKENS_MAX: usize = 125;
/// Routes that the cache of a node is made for.
pub const ROUTES_COUNT_MAX: usize = 10_000;
/// Messages of one plain answer to a read.
pub const FETCH_MESSAGES_MAX: u64 = 10_000;
/// Bytes of one plain answer to a read.
pub const FETCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of batches that one pull looks at beyond what it gives: a filter that matches little must not hold the loop.
pub const READ_LOOK_BYTES_MAX: usize = 256 * 1024;
/// Gaps that one plain answer tells; what is behind waits for the next read.
pub const READ_GAPS_MAX: usize = 32;
/// Seconds for which a plain read looks for its first match when it did not ask to wait.
pub const READ_LOOK_S_MAX: u32 = 1;
/// Seconds that a read may wait for its first message.
pub const FETCH_WAIT_S_MAX: u32 = 300;
/// Bytes of a request body that is not a publish.
pub const COLD_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of incomplete requests that the node holds for all connections.
pub const BUFFERED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes that clients have not taken of answers above [`WRITE_BUFFER_BYTES_MAX`], all connections together.
pub const UNSENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of answers of one connection at which its further requests wait.
pub const WRITE_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Bytes of one value on disk: the payload of 16 pages of 4 KiB.
pub const DISK_VALUE_BYTES_MAX: usize = 65_520;
/// Log bytes of one record of the journal; a larger commit goes into LMDB at once, so that its bytes are written once.
pub const JOURNAL_RECORD_BYTES_MAX: usize = 64 * 1024;
/// Bytes of log that one window covers, so that its entries hold positions in 32 bits with room to spare.
pub const WINDOW_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Bytes of the state of one topic as `$sys.topics` holds it, so that it fits into one value of a snapshot.
pub const TOPIC_STATE_BYTES_MAX: usize = 32 * 1024;
/// Bytes of keys, values and texts after which a row group of a segment ends: what a cold read fetches at least.
pub const SEGMENT_GROUP_BYTES: usize = 4 * 1024 * 1024;
/// Rows of a row group of a segment.
pub const SEGMENT_GROUP_ROWS_MAX: usize = 65_536;
/// Bytes written after which a segment ends; the last row group may reach above it.
pub const SEGMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Partitions of one segment: bounds its manifest to about 4 MiB, which fits one record.
pub const SEGMENT_PARTITIONS_MAX: usize = 65_536;
/// Segments of one window.
pub const SEGMENT_PARTS_MAX: usize = 9_999;
