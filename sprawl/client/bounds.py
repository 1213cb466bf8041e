"""Every maximum of the client, with its unit and the reason for it.

In: nothing. Out: constants whose names end in their unit. What happens at a bound stands beside it.
The bounds that client and node share are in ``sprawl.limits``.
"""

from typing import Final

# Seconds to open a connection; then the next url is tried.
CONNECT_TIMEOUT_S: Final = 5.0
# Seconds for one answer: longer than a node's own publish timeout, so that its 504 arrives first.
ANSWER_TIMEOUT_S: Final = 20.0
# Seconds for a call with all its retries, when the caller does not say.
CALL_TIMEOUT_S: Final = 30.0
# Tries of one call, the first included; then the last error is raised.
TRIES_MAX: Final = 8
# Milliseconds before the second try, doubled from try to try, and their ceiling.
BACKOFF_MS: Final = 50
BACKOFF_MS_MAX: Final = 5_000
# Connections to one url that publishes share by pipelining.
SHARED_CONNECTIONS_MAX: Final = 4
# Requests without an answer on one shared connection, on average; at the bound callers wait.
PIPELINED_MAX: Final = 64
# Idle connections kept for one url; more are closed after use.
IDLE_CONNECTIONS_MAX: Final = 8
# Seconds an idle connection is trusted: below a node's keep-alive of 75 s.
IDLE_S_MAX: Final = 60.0
# Bytes of an answer that are kept in memory; more is refused.
ANSWER_BYTES_MAX: Final = 128 * 1024 * 1024
# Unanswered batches of one lane: a node remembers at least the last five of a producer.
LANE_BATCHES_MAX: Final = 5
# Bytes of records after which a producer closes a batch.
PRODUCER_BATCH_BYTES: Final = 256 * 1024
# Messages accepted and not answered, when the caller does not say; then ``on_full`` decides.
PRODUCER_IN_FLIGHT_MAX: Final = 100_000
# Milliseconds a batch waits for company.
PRODUCER_LINGER_MS: Final = 5.0
# Seconds a producer tries one batch before its deliveries fail.
PRODUCER_TIMEOUT_S: Final = 120.0
# Seconds the count of a topic's partitions is trusted.
PARTITIONS_AGE_S_MAX: Final = 30.0
# Bytes of one page of a read.
PAGE_BYTES: Final = 1024 * 1024
# Seconds a following read waits at the node for its first message.
FOLLOW_WAIT_S: Final = 15.0
# Bytes that a record costs beside key, value and headers (varints, at most).
RECORD_OVERHEAD_BYTES: Final = 24
# Messages of one page of a read, as a node allows.
PAGE_MESSAGES_MAX: Final = 10_000
# Seconds a following read looks for a node before it gives up.
RECONNECT_S_MAX: Final = 300.0
