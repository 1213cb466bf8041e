//! The header names this node gives a meaning, as indices of a small table.
//!
//! In: a header name in any case. Out: its [`Known`]. A head parsed once holds the place of every known
//! header, so that nobody scans the fields a second time. A name outside the table carries no meaning here,
//! except those that begin with `Sprawl-Header-` or `ce-`, which become headers of the record.

macro_rules! known {
    ($($(#[$doc:meta])* $name:ident $text:literal $single:literal;)*) => {
        /// A header with a meaning on this node.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known { $($(#[$doc])* $name,)* }

        impl Known {
            /// All of them, in the order of their indices.
            pub const ALL: &'static [Known] = &[$(Known::$name,)*];

            /// How many there are.
            pub const COUNT: usize = Known::ALL.len();

            /// The name in lower case.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Known::$name => $text,)* } }

            /// Whether a second field of this name makes the request ambiguous (and refused). The others are
            /// lists.
            #[must_use]
            pub const fn is_singleton(self) -> bool { match self { $(Known::$name => $single,)* } }
        }
    };
}

known! {
    /// Where the request was sent to.
    Host "host" true;
    /// Media types the client takes.
    Accept "accept" false;
    /// Media type of the body.
    ContentType "content-type" true;
    /// Length of the body.
    ContentLength "content-length" true;
    /// Framing of the body.
    TransferEncoding "transfer-encoding" true;
    /// Options of this connection.
    Connection "connection" false;
    /// `100-continue`.
    Expect "expect" true;
    /// Another protocol.
    Upgrade "upgrade" false;
    /// The client's program.
    UserAgent "user-agent" true;
    /// Codings the client takes.
    AcceptEncoding "accept-encoding" false;
    /// Codings of the body.
    ContentEncoding "content-encoding" false;
    /// Credentials.
    Authorization "authorization" true;
    /// Duplicate detection by key.
    IdempotencyKey "idempotency-key" true;
    /// Append only behind this offset.
    IfMatch "if-match" false;
    /// `*`: only into an empty partition.
    IfNoneMatch "if-none-match" false;
    /// The cursor a stream continues from.
    LastEventId "last-event-id" true;
    /// The web page that caused the request.
    Origin "origin" true;
    /// `respond-async`.
    Prefer "prefer" false;
    /// Epoch of an idempotent producer.
    ProducerEpoch "producer-epoch" true;
    /// Id of an idempotent producer.
    ProducerId "producer-id" true;
    /// Sequence of an idempotent producer.
    ProducerSeq "producer-seq" true;
    /// How the page that caused the request relates to us.
    SecFetchSite "sec-fetch-site" true;
    /// WebSocket extensions offered.
    SecWebSocketExtensions "sec-websocket-extensions" false;
    /// WebSocket nonce.
    SecWebSocketKey "sec-websocket-key" true;
    /// WebSocket subprotocols offered.
    SecWebSocketProtocol "sec-websocket-protocol" false;
    /// WebSocket version.
    SecWebSocketVersion "sec-websocket-version" true;
    /// Deliver at this time.
    SprawlAt "sprawl-at" true;
    /// Deliver after this time.
    SprawlDelay "sprawl-delay" true;
    /// Asked durability level.
    SprawlDurability "sprawl-durability" true;
    /// Key of the record.
    SprawlKey "sprawl-key" true;
    /// Partition of the record.
    SprawlPartition "sprawl-partition" true;
    /// Lifetime of the record in seconds.
    SprawlTtl "sprawl-ttl" true;
    /// W3C trace context.
    Traceparent "traceparent" true;
    /// W3C trace context, vendors' part.
    Tracestate "tracestate" false;
}

impl Known {
    /// The known header of this name, in any case. `name` is a token.
    #[must_use]
    pub fn lookup(name: &[u8]) -> Option<Self> {
        let first = name.first()? | 0x20;
        let candidate = match (name.len(), first) {
            (4, b'h') => Self::Host,
            (6, b'a') => Self::Accept,
            (6, b'e') => Self::Expect,
            (6, b'o') => Self::Origin,
            (6, b'p') => Self::Prefer,
            (7, b'u') => Self::Upgrade,
            (8, b'i') => Self::IfMatch,
            (9, b's') => Self::SprawlAt,
            (10, b'c') => Self::Connection,
            (10, b's') if name[7] | 0x20 == b'k' => Self::SprawlKey,
            (10, b's') => Self::SprawlTtl,
            (10, b't') => Self::Tracestate,
            (10, b'u') => Self::UserAgent,
            (11, b'p') => Self::ProducerId,
            (11, b't') => Self::Traceparent,
            (12, b'c') => Self::ContentType,
            (12, b'p') => Self::ProducerSeq,
            (12, b's') => Self::SprawlDelay,
            (13, b'a') => Self::Authorization,
            (13, b'i') => Self::IfNoneMatch,
            (13, b'l') => Self::LastEventId,
            (14, b'c') => Self::ContentLength,
            (14, b'p') => Self::ProducerEpoch,
            (14, b's') => Self::SecFetchSite,
            (15, b'a') => Self::AcceptEncoding,
            (15, b'i') => Self::IdempotencyKey,
            (16, b'c') => Self::ContentEncoding,
            (16, b's') => Self::SprawlPartition,
            (17, b's') if name[1] | 0x20 == b'e' => Self::SecWebSocketKey,
            (17, b's') => Self::SprawlDurability,
            (17, b't') => Self::TransferEncoding,
            (21, b's') => Self::SecWebSocketVersion,
            (22, b's') => Self::SecWebSocketProtocol,
            (24, b's') => Self::SecWebSocketExtensions,
            _ => return None,
        };
        is_same_token(name, candidate.name().as_bytes()).then_some(candidate)
    }
}

/// Whether a token equals `lower` in any case, eight bytes at a time. `lower` holds small letters and hyphens
/// only, so that setting the bit of small letters suffices: no other token byte turns into one of these.
fn is_same_token(token: &[u8], lower: &[u8]) -> bool {
    const SMALL: u64 = u64::from_le_bytes([0x20; 8]);
    if token.len() != lower.len() {
        return false;
    }
    let mut at = 0;
    while at + 8 <= lower.len() {
        let (Some(a), Some(b)) = (token[at..].first_chunk(), lower[at..].first_chunk()) else { return false };
        if u64::from_le_bytes(*a) | SMALL != u64::from_le_bytes(*b) {
            return false;
        }
        at += 8;
    }
    match (token.last_chunk(), lower.last_chunk()) {
        (Some(a), Some(b)) => u64::from_le_bytes(*a) | SMALL == u64::from_le_bytes(*b),
        _ => token[at..].iter().zip(&lower[at..]).all(|(a, b)| a | 0x20 == *b),
    }
}

/// The record header that a field named `Sprawl-Header-<name>` sets: the part after the prefix, as sent.
#[must_use]
pub fn record_header_name(name: &str) -> Option<&str> {
    const PREFIX: &str = "sprawl-header-";
    let (prefix, rest) = name.split_at_checked(PREFIX.len())?;
    (prefix.eq_ignore_ascii_case(PREFIX) && !rest.is_empty()).then_some(rest)
}

/// Whether a field belongs to a `CloudEvents` event in binary mode (`ce-<attribute>`).
#[must_use]
pub fn is_cloud_event_attribute(name: &str) -> bool {
    name.len() > 3 && name.as_bytes()[..3].eq_ignore_ascii_case(b"ce-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for (index, &known) in Known::ALL.iter().enumerate() {
            assert_eq!(known as usize, index);
            assert_eq!(Known::lookup(known.name().as_bytes()), Some(known));
            assert_eq!(Known::lookup(known.name().to_ascii_uppercase().as_bytes()), Some(known));
        }
    }

    #[test]
    fn names_near_a_known_one_are_unknown() {
        for name in [
            "",
            "hosts",
            "hos",
            "content_type",
            "x-accept",
            "sprawl-tt1",
            "content-typf",
            "dontent-type",
            "content.type",
            "iost",
        ] {
            assert_eq!(Known::lookup(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn record_header_names_keep_their_case() {
        assert_eq!(record_header_name("sPrawl-Header-Tenant"), Some("Tenant"));
        assert_eq!(record_header_name("Sprawl-Header-"), None);
        assert_eq!(record_header_name("Sprawl-Key"), None);
        assert!(is_cloud_event_attribute("CE-Type"));
        assert!(!is_cloud_event_attribute("ce-"));
    }
}
