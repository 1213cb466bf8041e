# cython: language_level=3, freethreading_compatible=True
"""The client's collecting of messages into batches: what runs once per published message.

In: messages, one call each. Out: records in the open batch of their topic, and a ``Delivery``. Everything that
happens once per batch is the business of the subclass (``sprawl.client.producer``).
"""

import asyncio

cdef class Collected:
    """What a batch collects: its records, their bytes, and how many of its parts are unanswered."""

    cdef readonly str topic
    cdef readonly long long timestamp_ms
    cdef public list records
    cdef public Py_ssize_t bytes_count
    cdef public Py_ssize_t open_count

    def __init__(self, topic, timestamp_ms):
        self.topic = topic
        self.timestamp_ms = timestamp_ms
        self.records = []
        self.bytes_count = 0
        self.open_count = 1


cdef class Delivery:
    """The future of one published message: await it for the receipt.

    It costs two references; waiting is shared by all messages of a batch. Cancelling a waiter does not take the
    message back.
    """

    cdef Collected batch
    cdef Py_ssize_t index

    def __init__(self, batch, index):
        self.batch = batch
        self.index = index

    def __await__(self):
        if self.batch.open_count:
            yield from self.batch.wait().__await__()
        return self.result()

    def done(self):
        """Whether the node has answered, or the message has failed."""
        return not self.batch.open_count

    def exception(self):
        """The error of a message that is done and failed. Raises InvalidStateError before."""
        outcome = self.outcome()
        return outcome if isinstance(outcome, Exception) else None

    def result(self):
        """The receipt of a message that is done. Raises its SprawlError, or InvalidStateError."""
        outcome = self.outcome()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def add_done_callback(self, callback):
        """Calls ``callback(delivery)`` from the loop once the message is done."""
        self.batch.call(callback, self)

    cdef object outcome(self):
        if self.batch.open_count:
            raise asyncio.InvalidStateError("the message has no answer yet")
        return self.batch.result_of(self.index)


cdef class Collector:
    """Collects messages; the subclass begins, ends and sends batches.

    ``open`` maps topics to the batches being collected, ``room`` is how many more messages may be unanswered.
    """

    cdef public dict open
    cdef public Py_ssize_t room
    cdef readonly Py_ssize_t batch_bytes_max
    cdef readonly Py_ssize_t batch_records_max
    cdef readonly Py_ssize_t record_overhead_bytes

    @classmethod
    def __class_getitem__(cls, item):
        return cls

    def __init__(self, *, room, batch_bytes_max, batch_records_max, record_overhead_bytes):
        self.open = {}
        self.room = room
        self.batch_bytes_max = batch_bytes_max
        self.batch_records_max = batch_records_max
        self.record_overhead_bytes = record_overhead_bytes

    def publish_nowait(
        self,
        str topic not None,
        data,
        *,
        key=None,
        headers=None,
        content_type=None,
        ttl_s=None,
        idempotency_key=None,
    ):
        """Takes one message and returns at once; nothing is sent yet.

        Raises QueueFull when ``max_in_flight`` is reached (with ``on_full="drop"`` the delivery fails with it
        instead; with ``"block"`` use ``publish``, which waits), TooLarge, InvalidRequest, Closed. The message's
        timestamp is the time at which its batch was begun.
        """
        cdef Collected batch
        cdef Py_ssize_t size
        cdef Py_ssize_t index
        cdef Delivery delivery
        cdef object extra = None
        if type(data) is not bytes:
            data = self.as_bytes(data)
        if headers or content_type or ttl_s or idempotency_key is not None:
            extra = self.extra_of(headers, content_type, ttl_s, idempotency_key)
        if self.room <= 0:
            return self.refuse(topic)
        batch = self.open.get(topic)
        if batch is None:
            batch = self.begin(topic)
        size = len(<bytes>data) + self.record_overhead_bytes
        if key is not None or extra is not None:
            size += self.checked_bytes(key, extra)
        index = len(batch.records)
        if batch.bytes_count + size >= self.batch_bytes_max or index >= self.batch_records_max - 1:
            return self.add_last(topic, batch, (key, data, extra, batch.timestamp_ms), size)
        batch.bytes_count += size
        batch.records.append((key, data, extra, batch.timestamp_ms))
        self.room -= 1
        delivery = Delivery.__new__(Delivery)
        delivery.batch = batch
        delivery.index = index
        return delivery
