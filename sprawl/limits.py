"""Every maximum of the node, with its unit and the reason for it.

In: nothing. Out: integer constants whose names end in their unit. Invariant: the names in
``SHARED`` hold the same numbers as ``native/core/src/limits.rs`` (a test parses that file). Every
queue, cache, batch and retry is built from a name of this page; what happens at the bound stands
beside it.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# --- Shared with the compiled code. ---

# Bytes of one message's payload; more is 413 `too_large`.
PAYLOAD_BYTES_MAX: Final = 10 * MIB
# Bytes of one batch as a client sends it; one HTTP body may hold several.
BATCH_BYTES_MAX: Final = 16 * MIB
# Bytes of one request body: a full batch, or a full payload as base64 inside JSON with room to
# spare.
BODY_BYTES_MAX: Final = 16 * MIB
# Records of one batch, messages of one JSON batch.
BATCH_RECORDS_MAX: Final = 10_000
# Bytes that a compressed batch may inflate to.
INFLATED_BYTES_MAX: Final = 64 * MIB
# Inflated bytes per compressed byte.
INFLATED_RATIO_MAX: Final = 100
# Bytes of a request head (request line and headers); more is 431 `head_too_large`.
HEAD_BYTES_MAX: Final = 32 * KIB
# Bytes of a request line.
REQUEST_LINE_BYTES_MAX: Final = 8 * KIB
# Header fields of a request.
HEADERS_COUNT_MAX: Final = 100
# Bytes of a topic name.
TOPIC_BYTES_MAX: Final = 249
# Bytes of a record key.
KEY_BYTES_MAX: Final = 4 * KIB
# Headers of one record that a client sets.
RECORD_HEADERS_COUNT_MAX: Final = 64
# Bytes of the names and values of one record's headers together.
RECORD_HEADERS_BYTES_MAX: Final = 16 * KIB
# Bytes of an idempotency key, or of an id that the client gives.
IDEMPOTENCY_KEY_BYTES_MAX: Final = 255
# Bytes of a content type.
CONTENT_TYPE_BYTES_MAX: Final = 255
# Partitions of one topic.
PARTITIONS_MAX: Final = 1_024
# Partitions that one read, and so one cursor, covers; more is 400 `too_many_partitions`.
READ_PARTITIONS_MAX: Final = 64
# Nesting of a JSON document.
JSON_DEPTH_MAX: Final = 64
# Slots of the cluster: the unit of placement.
SLOTS_COUNT: Final = 4096
# Longest time to live or retention age in seconds (100 years): nanosecond sums stay inside 64 bits.
TTL_S_MAX: Final = 100 * 366 * 86_400
# Replicas of one slot: the factor is 3, the rest is room for a change of the set.
REPLICAS_COUNT_MAX: Final = 7
# Members of a cluster; an index of one fits 16 bits with room for "none".
MEMBERS_COUNT_MAX: Final = 1_024
# Bytes of a node id as given; the slot table has one byte for its length.
NODE_ID_BYTES_MAX: Final = 128
# Tokens of a topic name or pattern: what fits `TOPIC_BYTES_MAX` when each is one byte.
TOPIC_TOKENS_MAX: Final = 125
# Routes that the cache of a node is made for; above it routes used least of late are looked up
# anew.
ROUTES_COUNT_MAX: Final = 10_000
# Messages and bytes of one plain answer to a read; a single larger message is still given alone.
FETCH_MESSAGES_MAX: Final = 10_000
FETCH_BYTES_MAX: Final = 16 * MIB
# Bytes of batches that one pull looks at beyond what it gives; what is behind waits for the next
# turn of the loop.
READ_LOOK_BYTES_MAX: Final = 256 * KIB
# Gaps that one plain answer to a read tells; what is behind them waits for the next read.
READ_GAPS_MAX: Final = 32
# Seconds for which a plain read that does not wait looks for its first match; then it answers with
# an empty page and a cursor that has moved.
READ_LOOK_S_MAX: Final = 1
# Seconds that a read may wait for its first message.
FETCH_WAIT_S_MAX: Final = 300
# Bytes of a request body that is not a publish (topics, subscriptions, administration).
COLD_BODY_BYTES_MAX: Final = 1 * MIB
# Bytes of incomplete requests that the node holds for all connections; above it 503 `busy`.
BUFFERED_BYTES_MAX: Final = 64 * MIB
# Bytes not taken yet of the answers of all connections that are above `WRITE_BUFFER_BYTES_MAX`; at
# the bound a plain read is 503 `busy`.
UNSENT_BYTES_MAX: Final = 64 * MIB
# Unsent bytes of one connection at which its requests are no longer read or answered and its
# streams get nothing more.
WRITE_BUFFER_BYTES_MAX: Final = 256 * KIB
# Bytes of one value on disk: the payload of 16 pages of 4 KiB.
DISK_VALUE_BYTES_MAX: Final = 65_520
# Log bytes of one record of the journal; a larger commit goes into LMDB at once, so that its bytes
# are written once.
JOURNAL_RECORD_BYTES_MAX: Final = 64 * KIB
# Bytes of log that one window covers: its entries hold positions in 32 bits with room to spare.
WINDOW_BYTES_MAX: Final = 1 * GIB
# Bytes of the state of one topic as `$sys.topics` holds it: it fits into one value of a snapshot.
TOPIC_STATE_BYTES_MAX: Final = 32 * KIB
# Bytes of keys, values and texts after which a row group of a segment ends: what a cold read
# fetches at least.
SEGMENT_GROUP_BYTES: Final = 4 * MIB
# Rows of a row group of a segment.
SEGMENT_GROUP_ROWS_MAX: Final = 65_536
# Bytes written after which a segment ends; its last row group may reach above it.
SEGMENT_BYTES_MAX: Final = 64 * MIB
# Partitions of one segment: its manifest, about 4 MiB then, fits one record.
SEGMENT_PARTITIONS_MAX: Final = 65_536
# Segments of one window; a window that needs more cannot be moved.
SEGMENT_PARTS_MAX: Final = 9_999

SHARED: Final = (
    "PAYLOAD_BYTES_MAX",
    "BATCH_BYTES_MAX",
    "BODY_BYTES_MAX",
    "BATCH_RECORDS_MAX",
    "INFLATED_BYTES_MAX",
    "INFLATED_RATIO_MAX",
    "HEAD_BYTES_MAX",
    "REQUEST_LINE_BYTES_MAX",
    "HEADERS_COUNT_MAX",
    "TOPIC_BYTES_MAX",
    "KEY_BYTES_MAX",
    "RECORD_HEADERS_COUNT_MAX",
    "RECORD_HEADERS_BYTES_MAX",
    "IDEMPOTENCY_KEY_BYTES_MAX",
    "CONTENT_TYPE_BYTES_MAX",
    "PARTITIONS_MAX",
    "READ_PARTITIONS_MAX",
    "JSON_DEPTH_MAX",
    "SLOTS_COUNT",
    "TTL_S_MAX",
    "REPLICAS_COUNT_MAX",
    "MEMBERS_COUNT_MAX",
    "NODE_ID_BYTES_MAX",
    "TOPIC_TOKENS_MAX",
    "ROUTES_COUNT_MAX",
    "FETCH_MESSAGES_MAX",
    "FETCH_BYTES_MAX",
    "READ_LOOK_BYTES_MAX",
    "READ_GAPS_MAX",
    "READ_LOOK_S_MAX",
    "FETCH_WAIT_S_MAX",
    "COLD_BODY_BYTES_MAX",
    "BUFFERED_BYTES_MAX",
    "UNSENT_BYTES_MAX",
    "WRITE_BUFFER_BYTES_MAX",
    "DISK_VALUE_BYTES_MAX",
    "JOURNAL_RECORD_BYTES_MAX",
    "WINDOW_BYTES_MAX",
    "TOPIC_STATE_BYTES_MAX",
    "SEGMENT_GROUP_BYTES",
    "SEGMENT_GROUP_ROWS_MAX",
    "SEGMENT_BYTES_MAX",
    "SEGMENT_PARTITIONS_MAX",
    "SEGMENT_PARTS_MAX",
)

# --- Connections and requests. ---

# Open client connections of the node; one more is answered 503 `busy` and closed.
CONNECTIONS_MAX: Final = 20_000
# Open client connections of one address, so that one client cannot take them all; one more: 503 and
# closed.
CONNECTIONS_PER_ADDRESS_MAX: Final = 2_000
# Open connections of the health port, counted apart: it answers when the node is full, or drains.
HEALTH_CONNECTIONS_MAX: Final = 200
# Connections waiting in the kernel to be accepted (the kernel cuts it to its own bound).
LISTEN_BACKLOG_MAX: Final = 4_096
# Unsent bytes at which reading and streaming go on.
WRITE_BUFFER_BYTES_RESUME: Final = 64 * KIB
# Bytes of further requests held while an answer is open; at the bound the socket is not read.
PENDING_INPUT_BYTES_MAX: Final = 64 * KIB
# Bytes a stream takes from the log at once.
STREAM_PULL_BYTES: Final = 64 * KIB
# Seconds that an answer waits for the disk; then 504 `publish_timeout`, outcome unknown, and closed.
PUBLISH_TIMEOUT_S: Final = 15
# Seconds from the first byte of a request head to its last; then 408 and closed.
HEAD_TIMEOUT_S: Final = 10
# Seconds a client has to take the last answers of a connection that closes; then they are dropped.
CLOSE_TIMEOUT_S: Final = 10
# Seconds within which a body must grow by `BODY_PROGRESS_BYTES_MIN`, or end; then 408 and closed.
BODY_IDLE_TIMEOUT_S: Final = 15
# Bytes of a body that give it more time: one byte now and then does not hold a connection.
BODY_PROGRESS_BYTES_MIN: Final = 4 * KIB
# Seconds within which a client must take `WRITE_PROGRESS_BYTES_MIN` of an answer that waits for it,
# or its rest; then it is dropped. Streams are not: they only get nothing more.
WRITE_STALL_TIMEOUT_S: Final = 10
# Bytes of an answer that give its client more time.
WRITE_PROGRESS_BYTES_MIN: Final = 64 * KIB
# Seconds a read may ask to wait for its first message.
READ_WAIT_S_MAX: Final = FETCH_WAIT_S_MAX
# Seconds that a stream may be silent before a heartbeat is written.
HEARTBEAT_S: Final = 15
# Messages that one read may ask for.
READ_LIMIT_MAX: Final = FETCH_MESSAGES_MAX
# Bytes of messages in one answer; a single larger message is still delivered alone.
READ_BYTES_MAX: Final = FETCH_BYTES_MAX

# --- Topics, subscriptions, duplicates. ---

# Topics of the node, deleted ones within their grace time included; creating one more is 429.
TOPICS_MAX: Final = 4_000_000
# Topics in one page of a list that does not ask for more.
TOPICS_PAGE_DEFAULT: Final = 1_000
# Topics in one page of `/v1/topics`.
TOPICS_PAGE_MAX: Final = 1_000
# Topics in one answer of the original's `/topics`; above it pages.
TOPICS_ORIGINAL_PAGE_MAX: Final = 10_000
# Topic names listed inside `/metrics`, `/store` and `/dht`; the count beside the list is the true
# one.
TOPIC_NAMES_LISTED_MAX: Final = 1_000
# Idempotency keys remembered, whole node; at the bound a new one is 429.
DEDUP_KEYS_MAX: Final = 1_000_000
# Seconds for which a topic may have idempotency keys remembered.
DEDUP_WINDOW_S_MAX: Final = 86_400
# Subscriptions of the node; one more is 429.
SUBSCRIPTIONS_MAX: Final = 100_000
# Topics that one subscription or group names.
SUBSCRIPTION_TOPICS_MAX: Final = 1_000

# --- Memory tier. ---

# Bytes of the memory tier: below 16 MiB one full batch would not fit beside a chunk in flight.
MEMORY_BYTES_MIN: Final = 16 * MIB
MEMORY_BYTES_DEFAULT: Final = 100 * MIB
MEMORY_BYTES_MAX: Final = 1024 * GIB
# Bytes of one chunk of the ring; an oversized batch gets its own.
CHUNK_BYTES: Final = 1 * MIB

# --- Disk tier. ---

# Address space reserved for the log; the file takes only what it holds. Twice the disk bound when
# that is more.
LOG_MAP_BYTES_MIN: Final = 64 * GIB
# Log bytes of one commit; what is above waits for the next one.
COMMIT_BYTES_MAX: Final = 4 * MIB
# Bytes of the journal: what a crash leaves for the next start to take up, and what the log is
# written in when commits are small.
JOURNAL_BYTES: Final = 4 * MIB
# Log bytes read in one transaction, so that it ends within a second on any disk worth the name.
LOG_READ_BYTES_MAX: Final = 64 * MIB
# Log bytes handed over at once while the log is read from end to end.
LOG_STRETCH_BYTES: Final = 4 * MIB
# Entries handed over at once while the index is read.
INDEX_STRETCH_COUNT: Final = 256
# Values deleted in one transaction, so that commits are not kept waiting.
LOG_DELETES_MAX: Final = 256
# Work for the committer beside the commits; one more is refused.
LOG_JOBS_MAX: Final = 256
# Read transactions open at once.
LOG_READERS_MAX: Final = 126
# Seconds between two attempts to write to a full disk, and between two searches for readers that
# were killed.
DISK_FULL_RETRY_S: Final = 1.0
READER_CHECK_INTERVAL_S: Final = 60.0
# Seconds that a read waits while the log is opened again.
LOG_REOPEN_TIMEOUT_S: Final = 5.0

# --- Cloud tier. ---

# Bytes of one object; it is put with one request, so that a kill leaves no parts behind.
OBJECT_BYTES_MAX: Final = 512 * MIB
# Bytes of an object's key (the bound of S3 itself).
OBJECT_KEY_BYTES_MAX: Final = 1_024
# Objects in one page of a list (the bound of S3 itself).
OBJECTS_PAGE_MAX: Final = 1_000
# Bytes of an answer that is not an object: lists and error documents; more is no sound answer.
STORE_ANSWER_BYTES_MAX: Final = 16 * MIB
# Bytes sent or taken between two looks at the deadline and the bandwidth.
STORE_PIECE_BYTES: Final = 64 * KIB
# Connections to the object store; a call above waits for one until its deadline.
STORE_CONNECTIONS_MAX: Final = 8
# Seconds without a byte from the object store after which one attempt is given up.
STORE_IDLE_TIMEOUT_S: Final = 10.0
# Seconds between two attempts of one call: doubled from the first to the second, with jitter.
STORE_RETRY_S_MIN: Final = 0.05
STORE_RETRY_S_MAX: Final = 2.0
# Seconds that a call of a command may take which reads a bucket with no node, and the bytes of an
# object that it holds at once.
BUCKET_CALL_TIMEOUT_S: Final = 60.0
BUCKET_PIECE_BYTES: Final = 8 * MIB
# Bytes of a manifest that such a command reads; one of SEGMENT_PARTITIONS_MAX partitions has 5 MiB.
MANIFEST_BYTES_MAX: Final = 16 * MIB
# Faults of a bucket that a JSON answer lists; all of them are on stderr.
FAULTS_SHOWN_MAX: Final = 1_000
# Rows that a query over a bucket hands on at once.
QUERY_ROWS_COUNT: Final = 1_000
# How far above the last covered sequence a slot goes on after a restore: what was not uploaded had
# sequences, too, and no later build may have the name of an earlier one.
LOST_SEQUENCES: Final = 1 << 24

# --- Worker process. ---

# Threads of the worker process, and how many of them background work may hold: the rest is kept for
# cold reads.
WORKER_THREADS_COUNT: Final = 6
WORKER_BACKGROUND_MAX: Final = 4
# Requests given to the worker and not answered; one more is 503 `busy`.
WORKER_REQUESTS_MAX: Final = 256
# Bytes of the bodies of those requests together; more is 503 `busy`.
WORKER_REQUEST_BYTES_MAX: Final = 256 * MIB
# Bytes of one frame's head, and of its body.
WORKER_HEAD_BYTES_MAX: Final = 1 * MIB
WORKER_BODY_BYTES_MAX: Final = OBJECT_BYTES_MAX
# Bytes written to the worker at once.
WORKER_PIECE_BYTES: Final = 256 * KIB
# Seconds between the end of the worker and its next start: doubled from the first to the second,
# and the first again once it has lived as long as the third.
WORKER_RESTART_S_MIN: Final = 0.1
WORKER_RESTART_S_MAX: Final = 10.0
WORKER_SOUND_S: Final = 60.0
# Seconds after its deadline at which a request without an answer ends the worker: it hangs.
WORKER_STUCK_S: Final = 10.0
# Seconds that the worker has to end by itself; then it is killed.
WORKER_STOP_S: Final = 5.0
# Added to the niceness of the worker: the node comes first.
WORKER_NICENESS: Final = 5

# --- The node's own life. ---

# Seconds a stopping node waits for what is in flight.
DRAIN_TIMEOUT_S_DEFAULT: Final = 10
DRAIN_TIMEOUT_S_MAX: Final = 3_600
# Seconds to ask another process on this host who it is, when it holds a port that this node wants.
PORT_OWNER_TIMEOUT_S: Final = 0.5
# Bytes of its answer that are read.
PORT_OWNER_BYTES_MAX: Final = 64 * KIB
# Bytes of a settings file and of node.json; more is refused before it is parsed.
SETTINGS_FILE_BYTES_MAX: Final = 1 * MIB
NODE_FILE_BYTES_MAX: Final = 64 * KIB
# Bytes of one setting's value.
SETTING_BYTES_MAX: Final = 16 * KIB
# Seconds between two samples of the machine's load.
SAMPLE_INTERVAL_S: Final = 1.0

# --- Logs. ---

# Characters of one value in a log line, and of the whole line; the rest is cut and the cut is
# shown.
LOG_VALUE_CHARS_MAX: Final = 256
LOG_LINE_CHARS_MAX: Final = 4_096
# Lines of one event a second; what is above is counted and told with its next line.
LOG_LINES_PER_EVENT_S_MAX: Final = 20
# Events whose rate is held apart; above it the rest share one budget.
LOG_EVENTS_MAX: Final = 1_024

# Bytes of one window of the log; a quarter of the memory tier when that is less.
WINDOW_BYTES: Final = 64 * MIB
# Bytes and batches that one read takes from disk; a larger batch comes alone.
DISK_PAGE_BYTES: Final = MIB
DISK_PAGE_BATCHES_MAX: Final = 4_096
# Threads that read from disk and build index blocks.
DISK_READERS_COUNT: Final = 2
# States put in one transaction when a window goes, and low offsets taken at once.
STATES_PUT_MAX: Final = 4_096
LOWS_TAKEN_MAX: Final = 4_096
# Partitions a second whose retention is looked up on disk, and batches of one that go at once.
RETIRE_PARTITIONS_MAX: Final = 256
RETIRE_BATCHES_MAX: Final = 65_536
# Batches a second that are read to learn whether their lifetime is over, before a window goes.
CLEAN_LOOKS_MAX: Final = 2_048
# Used share of the disk tier's bound: a warning; publishes are 507.
DISK_WARN_PERCENT: Final = 80
DISK_REFUSE_PERCENT: Final = 95
# Used share of the map at which it is doubled, where no bound is set.
MAP_GROW_PERCENT: Final = 80
# Bytes a second that are verified in the background, and seconds between two rounds.
SCRUB_BYTES_PER_S: Final = 8 * MIB
SCRUB_PAUSE_S: Final = 3_600.0
# Seconds after the start at which the first round begins.
SCRUB_START_S: Final = 60.0
# Seconds that a read waits for a damaged index to be built again.
MEND_TIMEOUT_S: Final = 20.0
# Damaged ranges that are listed; all are counted.
DAMAGED_LISTED_MAX: Final = 100
# Seconds that a request waits for a compaction.
COMPACT_WAIT_S: Final = 30.0

# --- The cloud tier. ---

# Seconds between two tries of a step that failed; doubled each time.
CLOUD_RETRY_S_MIN: Final = 1
CLOUD_RETRY_S_MAX: Final = 60
# Times in a row that an object may read back different before the step counts as failed.
CLOUD_DIFFERS_MAX: Final = 3
# Seconds between two looks at what no manifest names, and the age at which it is removed.
JANITOR_INTERVAL_S: Final = 3_600
JANITOR_OBJECT_AGE_S: Final = 86_400
# Bytes of one record of `$sys.manifest`, and of such records appended before the disk has them.
MANIFEST_PIECE_BYTES: Final = 24 * KIB
MANIFEST_BATCH_BYTES: Final = 512 * KIB
# Bytes of manifests that are kept in memory for look-ups.
CATALOGUE_BYTES: Final = 16 * MIB
# Bytes of row groups and footers that are kept of what cold reads fetched.
COLD_CACHE_BYTES: Final = 32 * MIB
# Segments that one page of a read goes through.
COLD_SEGMENTS_MAX: Final = 64
# Bytes that one request of a cold read asks for (one row group at least), and requests at once.
COLD_FETCH_BYTES: Final = 8 * MIB
COLD_FETCHES_MAX: Final = 4
# Seconds that a cold read waits for the object store.
COLD_TIMEOUT_S: Final = 10.0
# Bytes a second that uploads take at most, unless it is set.
CLOUD_UPLOAD_BYTES_PER_S: Final = 256 * MIB
# Seconds for the first contact at a start, for building a window's segments, for one object; to the
# last come those that its bytes take at the rate that a line has at least.
CLOUD_OPEN_TIMEOUT_S: Final = 5.0
CLOUD_BUILD_TIMEOUT_S: Final = 120.0
CLOUD_OBJECT_TIMEOUT_S: Final = 10.0
CLOUD_OBJECT_BYTES_PER_S: Final = 256 * KIB
