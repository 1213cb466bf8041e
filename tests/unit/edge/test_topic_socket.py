"""Credit, publishing and refusals on a topic's WebSocket, over the plain engine."""

import json
from collections.abc import Callable

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.uri import parse_uri

from sprawl.edge import topic_socket
from sprawl.edge.topic_socket import TopicSocket
from sprawl.edge.websocket import WebSocket
from tests.models.plain_engine import PlainEngine
from tests.models.plain_node import PlainConnection, PlainRequest, PlainWatcher


class Session:
    """One client of one topic."""

    def __init__(self, engine: PlainEngine, watcher: PlainWatcher) -> None:
        self.soon: list[Callable[[], None]] = []
        self.connection = PlainConnection()
        self.reader = engine.reader("t", b"", "ws-json", None, 0)
        application = TopicSocket(
            engine,
            self.reader,
            "t",
            watcher=watcher,
            call_soon=self.soon.append,
            now_ns=lambda: 0,
        )
        self.socket = WebSocket(self.connection, application)
        self.client = ClientProtocol(parse_uri("ws://localhost/x"))
        self.client.send_request(self.client.connect())
        lines = b"".join(self.client.data_to_send()).decode().split("\r\n")[1:-2]
        headers = [
            (name.lower().encode(), value.strip().encode())
            for name, value in (line.split(":", 1) for line in lines)
        ]
        self.socket.open(self.socket.handshake(PlainRequest(headers=headers)))
        self.received()

    def received(self) -> list[dict[str, object]]:
        while self.soon:
            self.soon.pop()()
        data = bytes(self.connection.written)
        self.connection.written.clear()
        if data:
            self.client.receive_data(data)
        frames = [event for event in self.client.events_received() if isinstance(event, Frame)]
        return [json.loads(bytes(frame.data)) for frame in frames if frame.opcode == 1]

    def say(self, message: object) -> list[dict[str, object]]:
        self.client.send_text(json.dumps(message).encode())
        self.socket.feed(b"".join(self.client.data_to_send()))
        return self.received()


@pytest.fixture
def session(engine: PlainEngine, watcher: PlainWatcher) -> Session:
    for number in range(5):
        engine.publish("t", b"%d" % number)
    return Session(engine, watcher)


def payloads(messages: list[dict[str, object]]) -> list[object]:
    return [message["payload"] for message in messages]


def test_nothing_comes_before_the_first_credit(session: Session, watcher: PlainWatcher) -> None:
    watcher.wake()
    assert session.received() == []


def test_as_many_come_as_were_granted_and_grants_add_up(session: Session) -> None:
    assert payloads(session.say({"credit": {"messages": 2}})) == ["0", "1"]
    assert payloads(session.say({"credit": {"messages": 1}})) == ["2"]
    assert payloads(session.say({"credit": {"messages": 9}})) == ["3", "4"]


def test_credit_left_over_takes_what_comes_later(
    session: Session, engine: PlainEngine, watcher: PlainWatcher
) -> None:
    session.say({"credit": {"messages": 6}})
    engine.publish("t", b"5")
    engine.publish("t", b"6")
    watcher.wake()
    assert payloads(session.received()) == ["5"]


def test_bytes_are_a_credit_of_their_own(session: Session) -> None:
    assert len(session.say({"credit": {"bytes": 1}})) == 1
    # The first overdrew the credit; one byte more does not make it positive.
    assert session.say({"credit": {"bytes": 1}}) == []
    assert len(session.say({"credit": {"bytes": 10_000}})) == 4


def test_the_smaller_credit_rules(session: Session) -> None:
    assert len(session.say({"credit": {"messages": 4, "bytes": 1}})) == 1


def test_a_client_that_is_behind_gets_nothing_until_it_reads(session: Session) -> None:
    session.socket.write_paused()
    assert session.say({"credit": {"messages": 5}}) == []
    session.socket.write_resumed()
    assert len(session.received()) == 5


def test_publish_is_answered_with_its_receipt(session: Session, engine: PlainEngine) -> None:
    (answer,) = session.say({"publish": {"payload": "hi"}})
    assert answer["receipt"]["topic"] == "t"  # type: ignore[index]
    assert engine.topics["t"].messages[-1]["payload"] == b"hi"


def test_a_receipt_leaves_once_its_message_is_synced(
    session: Session, engine: PlainEngine, watcher: PlainWatcher
) -> None:
    engine.mark_now = 7
    assert session.say({"publish": {"payload": "a"}}) == []
    watcher.sync(6)
    assert session.received() == []
    watcher.sync(7)
    assert [list(answer) for answer in session.received()] == [["receipt"]]


def test_answers_keep_the_order_of_their_commands(
    session: Session, engine: PlainEngine, watcher: PlainWatcher
) -> None:
    engine.mark_now = 7
    session.say({"publish": {"payload": "a"}})
    engine.mark_now = 0
    # Neither waits for the disk itself, but the receipt before it does.
    assert session.say({"publish": {"payload": "b"}}) == []
    assert session.say({"publish": {}}) == []
    engine.mark_now = 8
    session.say({"publish": {"payload": "c"}})
    watcher.sync(7)
    assert [list(answer) for answer in session.received()] == [
        ["receipt"],
        ["receipt"],
        ["problem"],
    ]
    watcher.sync(8)
    assert [list(answer) for answer in session.received()] == [["receipt"]]
    engine.mark_now = 0
    assert [list(a) for a in session.say({"publish": {"payload": "d"}})] == [["receipt"]]


def test_a_receipt_for_a_client_that_left_is_dropped(
    session: Session, engine: PlainEngine, watcher: PlainWatcher
) -> None:
    engine.mark_now = 7
    session.say({"publish": {"payload": "a"}})
    session.socket.closed()
    watcher.sync(7)
    assert session.received() == []


def test_answers_that_wait_for_the_disk_are_bounded(
    session: Session,
    engine: PlainEngine,
    watcher: PlainWatcher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topic_socket, "WRITE_BUFFER_BYTES_MAX", 1000)
    engine.mark_now = 7
    for _ in range(100):
        if session.client.close_rcvd is None:
            assert session.say({"publish": {"payload": "a"}}) == []
    assert len(watcher.unsynced) == 1
    assert session.client.close_rcvd is not None
    assert session.client.close_rcvd.code == 1013


def test_what_memory_let_go_of_is_fetched_and_sent(session: Session, watcher: PlainWatcher) -> None:
    session.reader.is_cold = True
    watcher.cold.add(session.reader)
    assert session.say({"credit": {"messages": 5}}) == []
    # More credit and new messages do not ask the disk again.
    assert session.say({"credit": {"messages": 5}}) == []
    watcher.wake()
    assert len(watcher.fetching) == 1
    session.reader.is_cold = False
    watcher.give(True)
    assert len(session.received()) == 5


def test_a_disk_that_cannot_be_read_ends_the_connection(
    session: Session, watcher: PlainWatcher
) -> None:
    session.reader.is_cold = True
    watcher.cold.add(session.reader)
    session.say({"credit": {"messages": 5}})
    watcher.give(False)
    session.received()
    assert session.client.close_rcvd is not None
    assert session.client.close_rcvd.code == 1011


@pytest.mark.parametrize(
    ("message", "code", "location"),
    [
        ({"publish": {"topic": "x"}}, None, None),
        ({"ack": ["x"]}, "not_available", None),
        ({"credit": {}}, "missing_member", "/credit"),
        ({"credit": {"messages": -1}}, "invalid_member", "/credit/messages"),
        ({"credit": {"message": 1}}, "invalid_member", "/credit/message"),
        ({"credit": 5}, "invalid_member", "/credit"),
        ({"other": 1}, "invalid_member", "/other"),
        ({"credit": {"messages": 1}, "publish": {}}, "invalid_member", None),
        ([], "invalid_member", None),
    ],
)
def test_bad_message_is_answered_and_the_connection_stays(
    session: Session, message: object, code: str | None, location: str | None
) -> None:
    (answer,) = session.say(message)
    problem = answer["problem"]
    assert isinstance(problem, dict)
    assert (problem.get("code"), problem.get("location")) == (code, location)
    assert session.socket.is_open


def test_binary_message_is_refused(session: Session) -> None:
    session.client.send_binary(b"x")
    session.socket.feed(b"".join(session.client.data_to_send()))
    (answer,) = session.received()
    assert answer["problem"]["code"] == "unsupported_media_type"  # type: ignore[index]


def test_read_with_a_limit_ends_the_connection(session: Session) -> None:
    session.reader.limit = 5
    assert len(session.say({"credit": {"messages": 9}})) == 5
    assert session.client.close_rcvd is not None
    assert session.client.close_rcvd.code == 1000


def test_lost_connection_is_not_watched(session: Session, watcher: PlainWatcher) -> None:
    assert len(watcher.watched) == 1
    session.socket.closed()
    assert watcher.watched == {}
