//! Errors as records: one code each, with HTTP status, title and whether a retry may help.
//!
//! The node's registry is `sprawl/errors.py`; what compiled code can answer by itself stands here too, and a test holds
//! both tables equal. A problem's `detail` names the thing, the bound and the value.

/// What may have happened to the data of a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Certainly not stored.
    None,
    /// It may have been stored; retry with the same id.
    Unknown,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $text:literal $status:literal $retryable:literal $title:literal;)*) => {
        /// A stable error code (RFC 9457 extension member `code`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code compiled code can answer with.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable text of the code.
            pub const fn as_str(self) -> &'static str { match self { $(Code::$name => $text,)* } }

            /// The HTTP status it is answered with.
            pub const fn status(self) -> u16 { match self { $(Code::$name => $status,)* } }

            /// Whether the same request may succeed later.
            pub const fn retryable(self) -> bool { match self { $(Code::$name => $retryable,)* } }

            /// A short summary that does not change from case to case.
            pub const fn title(self) -> &'static str { match self { $(Code::$name => $title,)* } }
        }
    };
}

codes! {
    /// The bytes are not HTTP/1.1 as RFC 9112 wants it; the connection closes.
    BadRequest "bad_request" 400 false "Malformed HTTP request";
    /// A body that is not the JSON it says it is.
    BadJson "bad_json" 400 false "Malformed JSON";
    /// A member or value outside what the endpoint takes.
    InvalidMember "invalid_member" 400 false "Invalid member";
    /// A member the endpoint needs is absent.
    MissingMember "missing_member" 400 false "Missing member";
    /// A query parameter outside what the endpoint takes.
    InvalidParameter "invalid_parameter" 400 false "Invalid parameter";
    /// A header outside what the endpoint takes.
    InvalidHeader "invalid_header" 400 false "Invalid header";
    /// A topic name outside the grammar.
    InvalidTopic "invalid_topic" 400 false "Invalid topic name";
    /// A cursor that is damaged or belongs to another topic.
    InvalidCursor "invalid_cursor" 400 false "Invalid cursor";
    /// A batch whose structure, counts or lengths do not hold.
    InvalidBatch "invalid_batch" 400 false "Invalid record batch";
    /// A batch whose checksum does not hold.
    BadChecksum "bad_checksum" 400 false "Wrong checksum";
    /// A read over more partitions than one cursor holds.
    TooManyPartitions "too_many_partitions" 400 false "Too many partitions";
    /// A mutating request that a foreign web page caused.
    ForeignOrigin "foreign_origin" 403 false "Foreign origin";
    /// No such topic.
    TopicNotFound "topic_not_found" 404 false "Topic not found";
    /// No such path.
    NotFound "not_found" 404 false "Not found";
    /// The path exists with other methods.
    MethodNotAllowed "method_not_allowed" 405 false "Method not allowed";
    /// The request did not arrive in time.
    RequestTimeout "request_timeout" 408 true "Request timeout";
    /// The same idempotency key with another message.
    IdempotencyConflict "idempotency_conflict" 409 false "Idempotency key reused";
    /// A producer sequence above the next expected one.
    SequenceGap "sequence_gap" 409 false "Sequence gap";
    /// A producer sequence older than the window holds.
    SequenceTooOld "sequence_too_old" 409 false "Sequence too old";
    /// A producer epoch older than the newest one seen.
    ProducerFenced "producer_fenced" 409 false "Producer fenced";
    /// A change of a topic that cannot be applied.
    TopicConflict "topic_conflict" 409 false "Topic configuration conflict";
    /// The offset lies below what the topic retains.
    OffsetExpired "offset_expired" 410 false "Offset expired";
    /// `If-Match` or `If-None-Match` did not hold.
    ExpectationFailed "expectation_failed" 412 false "Precondition failed";
    /// A body above its bound.
    TooLarge "too_large" 413 false "Too large";
    /// A content type or codec that the endpoint does not take.
    UnsupportedMediaType "unsupported_media_type" 415 false "Unsupported media type";
    /// An offset above the end of the partition.
    OffsetOutOfRange "offset_out_of_range" 416 false "Offset out of range";
    /// A durability level that this slot cannot offer.
    DurabilityUnavailable "durability_unavailable" 422 false "Durability unavailable";
    /// A quota or a table at its bound.
    TooManyRequests "too_many_requests" 429 true "Too many requests";
    /// A request head above its bound.
    HeadTooLarge "head_too_large" 431 false "Request head too large";
    /// Something that this version does not have yet.
    NotAvailable "not_available" 501 false "Not available in this version";
    /// Too many bytes or requests in flight.
    Busy "busy" 503 true "Server is too busy";
    /// More bytes wait for the disk than may.
    DiskBehind "disk_behind" 503 true "Disk behind";
    /// The node is stopping.
    Draining "draining" 503 true "Draining";
    /// A publish was not made durable in time: it may be later.
    PublishTimeout "publish_timeout" 504 true "Request timed out";
    /// The memory tier is full of what may not be dropped.
    StorageFull "storage_full" 507 true "Storage full";
    /// Stored bytes that do not hold what they say; never an answer.
    LogDamaged "log_damaged" 0 false "Log damaged";
    /// A member that an alias route needs is absent (the original's spelling of `missing_member`).
    MissingField "missing_field" 400 false "Missing field";
}

/// A refusal: certainly not stored, with what to tell the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which error.
    pub code: Code,
    /// One sentence for people: the thing, the bound, the value, what to do.
    pub detail: String,
    /// JSON pointer to the member at fault, or empty.
    pub location: String,
    /// Where a read goes on (the earliest cursor when the one asked for is gone), or empty.
    pub cursor: String,
}

impl Problem {
    /// A problem without a location.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), location: String::new(), cursor: String::new() }
    }

    /// The same problem, pointing at a member of the request.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.location = pointer.into();
        self
    }

    /// The same problem, with the cursor at which a read can go on.
    #[must_use]
    pub fn resuming_at(mut self, cursor: String) -> Self {
        self.cursor = cursor;
        self
    }
}
