"""Frames between the node and its worker."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprawl.errors import BadAnswer, TooLarge
from sprawl.limits import WORKER_BODY_BYTES_MAX, WORKER_HEAD_BYTES_MAX, WORKER_PIECE_BYTES
from sprawl.worker.frames import Frame, FrameReader, Kind, frame_start


def _read(data: bytes, steps: list[int]) -> list[Frame]:
    reader = FrameReader()
    frames: list[Frame] = []
    at = turn = 0
    while at < len(data):
        room = reader.buffer()
        count = min(len(room), len(data) - at, steps[turn % len(steps)])
        room[:count] = data[at : at + count]
        at += count
        turn += 1
        if frame := reader.received(count):
            frames.append(frame)
    return frames


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Kind),
            st.dictionaries(st.text(max_size=5), st.integers(0, 2**53) | st.text(max_size=9)),
            st.binary(max_size=300),
        ),
        max_size=6,
    ),
    st.lists(st.integers(1, 400), min_size=1, max_size=5),
)
def test_frames_cut_anywhere_are_the_same(
    sent: list[tuple[Kind, dict[str, object], bytes]], steps: list[int]
) -> None:
    data = b"".join(frame_start(kind, head, len(body)) + body for kind, head, body in sent)
    found = _read(data, steps)
    assert [(f.kind, f.head, bytes(f.body)) for f in found] == sent


def test_a_large_body_is_whole() -> None:
    body = bytes(range(256)) * (WORKER_PIECE_BYTES // 128)
    (frame,) = _read(frame_start(Kind.ANSWER, {}, len(body)) + body, [100_000])
    assert bytes(frame.body) == body


def test_the_layout() -> None:
    data = frame_start(Kind.CANCEL, {"id": 7}, 5)
    assert data == struct.pack("<BBHII", 1, 4, 0, 8, 5) + b'{"id":7}'


@pytest.mark.parametrize(
    "start",
    [
        struct.pack("<BBHII", 2, 1, 0, 2, 0),
        struct.pack("<BBHII", 1, 9, 0, 2, 0),
        struct.pack("<BBHII", 1, 1, 0, WORKER_HEAD_BYTES_MAX + 1, 0),
        struct.pack("<BBHII", 1, 1, 0, 2, WORKER_BODY_BYTES_MAX + 1),
        struct.pack("<BBHII", 1, 1, 0, 2, 0) + b"[]",
    ],
)
def test_what_is_no_frame_is_refused(start: bytes) -> None:
    with pytest.raises(BadAnswer):
        _read(start, [100])


def test_what_is_too_large_is_not_sent() -> None:
    with pytest.raises(TooLarge):
        frame_start(Kind.REQUEST, {"a": "x" * WORKER_HEAD_BYTES_MAX})
    with pytest.raises(TooLarge):
        frame_start(Kind.REQUEST, {}, WORKER_BODY_BYTES_MAX + 1)
