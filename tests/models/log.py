"""A log to work on: whole envelopes of one topic, one after another."""

from sprawl._native import encode_batch, encode_envelope

TOPIC = 77


def envelopes(count: int, first: int = 0, value: bytes = b"v" * 100) -> list[bytes]:
    """Batches of two records at offsets 0, 2, 4 and so on, ``count`` of them from number ``first`` on."""
    made = []
    for at in range(first, first + count):
        batch = bytearray(encode_batch([(None, value, None, 1_000), (None, b"w", None, 1_000)]))
        batch[0:8] = (2 * at).to_bytes(8, "big")
        made.append(
            encode_envelope(
                bytes(batch),
                slot=3,
                epoch=1,
                partition=0,
                sequence=at,
                topic_id=TOPIC,
                append_ns=1_000 + at,
                records_count=2,
            )
        )
    return made
