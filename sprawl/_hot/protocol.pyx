# cython: language_level=3, freethreading_compatible=True
"""The asyncio protocol of the edge: bytes of a socket to the engine, answers and streams back.

In: what uvloop reads. Out: what the engine answers, written in request order. One call into the engine per
read; everything a tick of the loop brought is sealed once, then every waiting reader is served once. A
connection parses nothing while an answer of the cold half, a long poll or a stream is open on it, and is not
read while its write buffer is above its budget. Design: docs/design/edge.md.
"""

from libc.time cimport time_t

cdef extern from "time.h" nogil:
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* now)
    enum:
        CLOCK_MONOTONIC
        CLOCK_REALTIME

from collections import deque
from functools import partial

from sprawl.limits import (
    BODY_IDLE_TIMEOUT_S,
    BODY_PROGRESS_BYTES_MIN,
    CLOSE_TIMEOUT_S,
    HEAD_TIMEOUT_S,
    HEARTBEAT_S,
    PENDING_INPUT_BYTES_MAX,
    PUBLISH_TIMEOUT_S,
    STREAM_PULL_BYTES,
    WRITE_BUFFER_BYTES_MAX,
    WRITE_BUFFER_BYTES_RESUME,
    WRITE_PROGRESS_BYTES_MIN,
    WRITE_STALL_TIMEOUT_S,
)

# Steps of the engine, as in native/src/connection.rs.
cdef enum:
    COLD = 1
    UPGRADE = 2
    WAIT = 3
    STREAM = 4
    CLOSE = 5
    FULL = 6
    BEGUN = 7
    HELD = 8

# How far a request has come, as in native/src/connection.rs.
cdef enum:
    INSIDE_HEAD = 1
    INSIDE_BODY = 2

cdef long long SECOND_NS = 1_000_000_000
cdef long long SLEW_PER_SECOND_NS = 500_000  # 500 ppm
cdef long long STEP_NS = 300 * SECOND_NS
cdef int PULLS_PER_TURN = 4
# Plain reads that look for a match in one turn of the loop.
cdef int LOOKS_PER_TURN = 2


cdef long long read_clock(int which) noexcept nogil:
    cdef timespec now
    clock_gettime(which, &now)
    return <long long>now.tv_sec * 1_000_000_000 + now.tv_nsec


cdef class NodeTime:
    """The one clock of a node: runs with the monotone clock, slewed to the wall clock by at most 500 ppm.

    A wall clock that is set by more than five minutes is not followed.
    """

    cdef long long offset_ns
    cdef long long slewed_at_ns

    def __cinit__(self):
        self.slewed_at_ns = read_clock(CLOCK_MONOTONIC)
        self.offset_ns = read_clock(CLOCK_REALTIME) - self.slewed_at_ns

    def now_ns(self):
        """Nanoseconds since the Unix epoch; never goes back."""
        return self.now()

    cdef long long now(self) noexcept:
        return read_clock(CLOCK_MONOTONIC) + self.offset_ns

    cdef void slew(self) noexcept:
        cdef long long monotonic = read_clock(CLOCK_MONOTONIC)
        cdef long long error = read_clock(CLOCK_REALTIME) - monotonic - self.offset_ns
        cdef long long most = (monotonic - self.slewed_at_ns) * SLEW_PER_SECOND_NS // SECOND_NS
        self.slewed_at_ns = monotonic
        if -STEP_NS < error < STEP_NS:
            self.offset_ns += max(-most, min(most, error))


cdef class Histogram:
    """Durations in powers of two of a nanosecond; entry *i* counts 2**(i-1) <= d < 2**i."""

    cdef unsigned long long counts[40]
    cdef unsigned long long total

    def __cinit__(self):
        for at in range(40):
            self.counts[at] = 0
        self.total = 0

    cdef void add(self, long long elapsed_ns) noexcept:
        cdef int at = 0
        cdef unsigned long long rest = <unsigned long long>elapsed_ns if elapsed_ns > 0 else 0
        self.total += rest
        while rest and at < 39:
            rest >>= 1
            at += 1
        self.counts[at] += 1

    def snapshot(self):
        """Counts by entry and the sum of all durations, both since the start."""
        return [self.counts[at] for at in range(40)], self.total


cdef class Watch:
    """One reader that is told of new data: a callable, or a connection that streams or waits."""

    cdef object reader
    cdef object callback
    cdef Protocol protocol
    cdef list handles


cdef class Listener:
    """All connections of one port; see ``sprawl.edge.seam.Listener``."""

    cdef object engine
    cdef object host
    cdef object loop
    cdef object caps
    cdef bint is_hot
    cdef bint is_draining
    cdef bint tick_scheduled
    cdef NodeTime time
    cdef unsigned long long next_id
    cdef dict by_handle
    cdef dict watches
    cdef set awaiting
    cdef set connections
    cdef set inside
    cdef set waiting
    cdef set closing
    cdef set owing
    cdef object looking
    cdef object streams
    cdef double heartbeats_due
    cdef long long swept_ns
    cdef list held
    cdef list unsynced
    cdef object wake_committer
    cdef object read_disk
    cdef public Histogram receive_time
    cdef public Histogram deliver_time
    cdef public Histogram tick_time

    def __init__(self, engine, host, loop, *, caps, is_hot, NodeTime time not None):
        self.engine = engine
        self.host = host
        self.loop = loop
        self.caps = caps
        self.is_hot = is_hot
        self.is_draining = False
        self.tick_scheduled = False
        self.time = time
        self.next_id = 1
        self.by_handle = {}
        self.watches = {}
        self.awaiting = set()
        self.connections = set()
        self.inside = set()
        self.waiting = set()
        self.closing = set()
        self.owing = set()
        self.looking = deque()
        self.streams = deque()
        self.heartbeats_due = 0.0
        self.swept_ns = 0
        self.held = []
        self.unsynced = []
        self.wake_committer = None
        self.read_disk = None
        self.receive_time = Histogram()
        self.deliver_time = Histogram()
        self.tick_time = Histogram()

    cdef long long now(self) noexcept:
        return self.time.now()

    @property
    def factory(self):
        """Makes a protocol for a new connection."""
        return self._accept

    def _accept(self):
        return Protocol(self)

    def histograms(self):
        """Time spent per stage: name → (counts, sum in ns)."""
        return {
            "receive": self.receive_time.snapshot(),
            "tick": self.tick_time.snapshot(),
            "deliver": self.deliver_time.snapshot(),
        }

    @property
    def connections_count(self):
        """Open connections of this port."""
        return len(self.connections)

    # Watching

    def watch(self, reader, callback):
        """Calls ``callback`` once per tick in which ``reader`` has new data, until unwatched."""
        self.add_watch(reader, callback, None)

    def unwatch(self, reader):
        """Ends the calls; harmless when the reader is not watched."""
        self.drop_watch(reader)

    cdef void add_watch(self, object reader, object callback, Protocol protocol):
        cdef Watch watch = Watch.__new__(Watch)
        watch.reader = reader
        watch.callback = callback
        watch.protocol = protocol
        watch.handles = []
        self.watches[reader] = watch
        if reader.awaits_topics:
            self.awaiting.add(watch)
        self.attach(watch)

    cdef void attach(self, Watch watch):
        for handle in watch.reader.handles:
            if handle not in watch.handles:
                watch.handles.append(handle)
                self.engine.watch(handle, True)
                self.by_handle.setdefault(handle, {})[watch] = None

    cdef void drop_watch(self, object reader):
        cdef Watch watch = self.watches.pop(reader, None)
        if watch is None:
            return
        self.awaiting.discard(watch)
        for handle in watch.handles:
            self.engine.watch(handle, False)
            watchers = self.by_handle[handle]
            del watchers[watch]
            if not watchers:
                del self.by_handle[handle]

    # Ticks

    cdef void schedule(self):
        # A port that takes no publishes ends no tick: it would take the wake-ups of the other's readers.
        if self.is_hot and not self.tick_scheduled:
            self.tick_scheduled = True
            self.loop.call_soon(self._end_tick)

    def _end_tick(self):
        cdef Watch watch
        cdef long long started = read_clock(CLOCK_MONOTONIC)
        self.tick_scheduled = False
        woken, born, has_commit = self.engine.end_tick(self.now())
        if has_commit:
            self.wake_committer()
        if born and self.awaiting:
            for watch in list(self.awaiting):
                if watch.reader.adopt(born):
                    self.attach(watch)
                    self.fire(watch)
                if not watch.reader.awaits_topics:
                    self.awaiting.discard(watch)
        if woken:
            self.wake_readers(woken)
        cdef long long elapsed = read_clock(CLOCK_MONOTONIC) - started
        self.tick_time.add(elapsed)

    cdef void wake_readers(self, list woken):
        cdef Watch watch
        for handle in (woken if len(woken) == 1 else dict.fromkeys(woken)):
            watchers = self.by_handle.get(handle)
            if watchers is not None:
                for watch in list(watchers):
                    self.fire(watch)

    # The disk tier

    def use_disk(self, wake_committer, read_disk):
        """Connects the disk tier: ``wake_committer()`` is called when a tick left something to commit, and
        ``read_disk(want, done)`` calls ``done(page)`` in the loop, with ``None`` when the disk cannot be read."""
        self.wake_committer = wake_committer
        self.read_disk = read_disk

    def synced(self, end_lsn, mark):
        """Everything up to ``mark`` is on disk: all answers that waited for it leave, its readers are woken."""
        cdef Protocol protocol
        woken = self.engine.synced(end_lsn, mark)
        held, self.held = self.held, []
        for protocol in held:
            protocol.is_held = False
            protocol.release()
        if held and self.engine.is_dirty():
            self.schedule()
        if self.unsynced:
            ready = [call for due, call in self.unsynced if due <= mark]
            self.unsynced = [entry for entry in self.unsynced if entry[0] > mark]
            for call in ready:
                call()
        if woken:
            self.wake_readers(woken)

    def when_synced(self, mark, callback):
        """Calls ``callback`` when ``mark`` is on disk."""
        self.unsynced.append((mark, callback))
        self.schedule()

    def read_page(self, want, done):
        """Reads a page from disk and calls ``done`` with it, ``None`` when it cannot be read."""
        self.read_disk(want, done)

    def fetch(self, reader, callback):
        """Reads from disk what ``reader`` wants and calls ``callback(is_fed)``; False when it wants nothing."""
        want = reader.want
        if want is None:
            return False
        self.read_disk(want, partial(self._fetched, reader, callback))
        return True

    def _fetched(self, reader, callback, page):
        if page is not None:
            reader.feed(page)
        callback(page is not None)

    cdef void fire(self, Watch watch):
        if watch.protocol is not None:
            watch.protocol.wake()
        else:
            watch.callback()

    # Plain reads that look for a match

    cdef void look_soon(self, Protocol protocol):
        if not self.looking:
            self.loop.call_soon(self._look)
        self.looking.append(protocol)

    def _look(self):
        cdef Protocol protocol
        cdef int turn
        for turn in range(LOOKS_PER_TURN):
            protocol = self.looking.popleft()
            protocol.is_looking = False
            protocol.look()
            # Whoever looks on is behind the others.
            if not self.looking:
                return
        self.loop.call_soon(self._look)

    def tick(self):
        """Does what is due by time alone: waits, deadlines of slow clients, heartbeats, node time."""
        cdef Protocol protocol
        cdef long long now = self.now()
        self.time.slew()
        for protocol in list(self.waiting):
            if protocol.due_ns <= now:
                protocol.answer_wait()
        for protocol in list(self.inside):
            if protocol.due_ns <= now:
                protocol.time_out()
        for protocol in list(self.owing):
            if protocol.take_by_ns <= now:
                protocol.judge_taking()
        for protocol in list(self.held):
            if protocol.held_since_ns + <long long>PUBLISH_TIMEOUT_S * SECOND_NS <= now:
                protocol.give_up()
        for protocol in list(self.closing):
            if protocol.due_ns <= now:
                protocol.abort()
        if self.streams:
            self.heartbeats_due = min(self.heartbeats_due + len(self.streams) * 0.1 / HEARTBEAT_S, len(self.streams))
            while self.heartbeats_due >= 1.0 and self.streams:
                self.heartbeats_due -= 1.0
                protocol = self.streams.popleft()
                if protocol.reader is not None:
                    self.streams.append(protocol)
                    protocol.heartbeat()
                else:
                    protocol.is_listed = False
        if now - self.swept_ns >= SECOND_NS:
            self.swept_ns = now
            self.engine.sweep(now)
        if self.engine.is_dirty():
            self.schedule()

    def drain(self):
        """Closes idle connections now, others after their open answer; ends long polls and streams."""
        cdef Protocol protocol
        self.is_draining = True
        if self.is_hot:
            self.engine.is_draining = True
        for protocol in list(self.connections):
            protocol.drain()

    def abort(self):
        """Closes every connection now."""
        cdef Protocol protocol
        for protocol in list(self.connections):
            protocol.abort()


cdef class Protocol:
    """One connection."""

    cdef object __weakref__
    cdef Listener listener
    cdef object connection
    cdef object transport
    cdef object address
    cdef object handler
    cdef object reader
    cdef object waiters
    cdef long long due_ns
    # Bytes of answers that its client has not taken, while they are above the budget of its buffer.
    cdef Py_ssize_t unsent
    cdef long long take_by_ns
    cdef Py_ssize_t body_bytes
    cdef bint is_open
    cdef bint is_admitted
    cdef bint is_paused
    cdef bint is_reading
    cdef bint is_cold
    cdef bint is_waiting
    cdef bint is_looking
    cdef bint is_listed
    cdef bint is_full
    cdef bint is_at_end
    cdef bint ends
    cdef bint pump_scheduled
    cdef bint is_held
    cdef bint is_fetching
    cdef long long held_since_ns

    def __cinit__(self, Listener listener):
        self.listener = listener
        self.is_reading = True

    # asyncio.Protocol

    def connection_made(self, transport):
        cdef Listener listener = self.listener
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.address = peer[:2] if isinstance(peer, tuple) else ("", 0)
        if listener.is_draining or not listener.caps.admit(self.address[0]):
            transport.write(listener.caps.refusal)
            transport.close()
            return
        self.is_admitted = True
        self.is_open = True
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX, low=WRITE_BUFFER_BYTES_RESUME)
        self.connection = listener.engine.connection(listener.next_id, listener.is_hot)
        listener.next_id += 1
        listener.connections.add(self)

    def connection_lost(self, error):
        cdef Listener listener = self.listener
        self.is_open = False
        if not self.is_admitted:
            return
        self.is_admitted = False
        listener.connections.discard(self)
        listener.inside.discard(self)
        listener.closing.discard(self)
        self.owe(0)
        self.stop_reading_log()
        listener.caps.release(self.address[0])
        self.connection.forget()
        self.wake_waiters()
        if self.handler is not None:
            handler, self.handler = self.handler, None
            handler.closed()
        elif self.is_cold:
            self.is_cold = False
            listener.host.disconnected(self)

    def eof_received(self):
        # A client that has sent everything may still wait for its answers: the connection ends after the last.
        # Whether it still reads cannot be seen before something is written, so a long poll is answered now.
        if not (self.is_cold or self.is_full or self.is_held or self.reader is not None):
            return False
        self.is_at_end = True
        if self.is_waiting and not self.is_fetching:
            self.answer_wait()
        return True

    def data_received(self, data):
        cdef Listener listener = self.listener
        cdef long long started
        if not self.is_open:
            return
        if self.handler is not None:
            self.handler.feed(data)
            if listener.engine.is_dirty():
                listener.schedule()
            return
        started = read_clock(CLOCK_MONOTONIC)
        step = self.connection.receive(data, started + listener.time.offset_ns)
        listener.receive_time.add(read_clock(CLOCK_MONOTONIC) - started)
        if not listener.tick_scheduled:
            listener.schedule()
        if type(step) is bytes:
            self.transport.write(step)
            if self.due_ns:
                self.check_inside()
            if self.ends:
                self.shut()
        elif step is None:
            self.check_inside()
        elif step is True:
            self.hold()
        else:
            self.take(step)

    def pause_writing(self):
        self.is_paused = True
        if self.handler is not None:
            self.handler.write_paused()
        elif self.reader is None or self.is_waiting:
            self.owe(self.transport.get_write_buffer_size())
        # Whoever does not read its answers is not asked for more requests.
        self.set_reading(False)

    def resume_writing(self):
        self.is_paused = False
        self.owe(0)
        self.wake_waiters()
        if not self.is_open:
            return
        self.set_reading(True)
        if self.handler is not None:
            self.handler.write_resumed()
        elif self.is_full:
            self._answer_more()
        elif self.reader is not None and not self.is_waiting:
            self.pump()

    # What the cold half calls: sprawl.edge.seam.Connection

    @property
    def peer(self):
        """Address and port of the client."""
        return self.address

    @property
    def is_closing(self):
        """Whether nothing written now would arrive."""
        return not self.is_open or self.transport.is_closing()

    def write(self, data):
        """Queues bytes of the current answer; dropped when the connection is closing."""
        if self.is_open:
            self.transport.write(data)

    def finish(self, close):
        """Ends the current answer; with ``close`` the connection ends after it."""
        self.is_cold = False
        if not self.is_open:
            return
        if close or self.ends:
            self.close()
        else:
            self.resume()
        if self.listener.engine.is_dirty():
            self.listener.schedule()

    async def drained(self):
        """Returns once the write buffer is below its budget or the connection is gone."""
        while self.is_paused and self.is_open:
            waiter = self.listener.loop.create_future()
            if self.waiters is None:
                self.waiters = []
            self.waiters.append(waiter)
            await waiter

    def take_over(self, handler):
        """Gives all further bytes to ``handler``; the connection is no longer HTTP."""
        self.is_cold = False
        self.handler = handler
        rest = self.connection.take_rest()
        if rest:
            self.listener.loop.call_soon(self.data_received, rest)

    def close(self):
        """Closes after what is queued was sent; a client that does not take it is dropped in time."""
        if self.is_open:
            self.shut()

    def abort(self):
        """Closes now; what is queued is dropped."""
        if self.transport is not None:
            self.transport.abort()

    # Steps

    cdef void take(self, tuple step):
        cdef Listener listener = self.listener
        out, kind, payload, until_ns = step
        if out is not None:
            self.transport.write(out)
        if kind == BEGUN:
            self.due_ns = 0
            self.check_inside()
            return
        if kind == HELD:
            self.hold()
            return
        listener.inside.discard(self)
        self.due_ns = 0
        if kind == COLD:
            self.is_cold = True
            listener.host.request(self, payload)
        elif kind == UPGRADE:
            self.is_cold = True
            listener.host.upgrade(self, payload)
        elif kind == WAIT:
            self.reader = payload
            self.is_waiting = True
            self.due_ns = until_ns
            listener.waiting.add(self)
            listener.add_watch(payload, None, self)
            if self.fetch():
                return
            if listener.is_draining:
                self.answer_wait()
            else:
                self.look_soon()
        elif kind == STREAM:
            self.reader = payload
            if not self.is_listed:
                self.is_listed = True
                listener.streams.append(self)
            listener.add_watch(payload, None, self)
            self.pump()
        elif kind == FULL:
            self.is_full = True
            if not self.is_paused:
                listener.loop.call_soon(self._answer_more)
        elif kind == CLOSE:
            self.shut()

    cdef void hold(self):
        """Answers wait for the disk: the next commit that covers them lets them go."""
        if not self.is_held:
            self.is_held = True
            self.held_since_ns = self.listener.now()
            self.listener.held.append(self)
        self.check_inside()

    cdef void give_up(self):
        self.listener.held.remove(self)
        self.is_held = False
        if self.is_open:
            self.transport.write(self.connection.give_up(self.listener.now()))
            self.shut()

    cdef void release(self):
        if self.is_open:
            self.go_on(self.connection.release(self.listener.now()))

    def _answer_more(self):
        if self.is_full and self.is_open and not self.is_paused:
            self.is_full = False
            self.resume()

    cdef void resume(self):
        self.go_on(self.connection.resume(self.listener.now()))
        self.listener.schedule()

    cdef void go_on(self, object step):
        """Does what the engine says after answers that others waited behind."""
        if not self.is_paused:
            self.set_reading(True)
        if step is True:
            self.hold()
        elif step is None or type(step) is bytes:
            if step is not None:
                self.transport.write(step)
            self.check_inside()
            if self.is_at_end or (self.ends and not self.connection.inside):
                self.shut()
        else:
            self.take(step)
            if self.is_at_end and step[1] == BEGUN:
                self.shut()

    cdef void shut(self):
        """Closes after what is queued was sent, or after the time the client has to take it."""
        cdef Listener listener = self.listener
        self.transport.close()
        if self.is_open:
            listener.inside.discard(self)
            self.due_ns = listener.now() + <long long>CLOSE_TIMEOUT_S * SECOND_NS
            listener.closing.add(self)

    cdef void check_inside(self):
        """Starts the deadline of a request that has begun, and bounds what waits behind an open answer."""
        cdef Listener listener = self.listener
        cdef int inside = self.connection.inside
        if inside == INSIDE_BODY:
            # A body may take as long as it moves, and not by a byte now and then.
            held = self.connection.held
            if not self.body_bytes or held >= self.body_bytes + <Py_ssize_t>BODY_PROGRESS_BYTES_MIN:
                self.body_bytes = max(held, 1)
                self.due_ns = listener.now() + <long long>BODY_IDLE_TIMEOUT_S * SECOND_NS
                listener.inside.add(self)
            return
        self.body_bytes = 0
        if inside == INSIDE_HEAD:
            if not self.due_ns:
                self.due_ns = listener.now() + <long long>HEAD_TIMEOUT_S * SECOND_NS
                listener.inside.add(self)
        else:
            if self.due_ns and not self.is_waiting:
                self.due_ns = 0
                listener.inside.discard(self)
            # A long line of a stream is held, too; only what waits behind an open answer stops the reading.
            if self.is_cold or self.is_full or self.is_held or self.reader is not None:
                if self.connection.held > PENDING_INPUT_BYTES_MAX:
                    self.set_reading(False)

    cdef void time_out(self):
        out = self.connection.time_out(self.listener.now())
        self.listener.inside.discard(self)
        if out is not None:
            self.transport.write(out)
        self.shut()

    cdef void owe(self, Py_ssize_t unsent):
        """Counts what the client has not taken of its answers; 0 when it is within its budget again."""
        cdef Listener listener = self.listener
        if unsent == self.unsent:
            return
        listener.engine.add_unsent(unsent - self.unsent)
        self.unsent = unsent
        if unsent:
            self.take_by_ns = listener.now() + <long long>WRITE_STALL_TIMEOUT_S * SECOND_NS
            listener.owing.add(self)
        else:
            listener.owing.discard(self)

    cdef void judge_taking(self):
        """Drops a client that takes its answer too slowly: what waits for it is everybody's memory."""
        cdef Py_ssize_t left = self.transport.get_write_buffer_size()
        if left > self.unsent - <Py_ssize_t>WRITE_PROGRESS_BYTES_MIN:
            self.abort()
        else:
            self.owe(left)

    cdef void set_reading(self, bint wanted):
        if wanted == self.is_reading or self.transport.is_closing():
            return
        self.is_reading = wanted
        if wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    cdef void wake_waiters(self):
        waiters, self.waiters = self.waiters, None
        if waiters is not None:
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    # Reading from the log

    cdef void wake(self):
        if self.is_fetching:
            return
        if not self.is_waiting:
            self.pump()
        elif not self.is_looking:
            self.look()

    cdef void look_soon(self):
        if not self.is_looking:
            self.is_looking = True
            self.listener.look_soon(self)

    cdef void look(self):
        """Answers the read that waits, if there is something for it in the next piece of the log."""
        if not self.is_waiting:
            return
        out = self.reader.answer(self.listener.now(), False)
        if out is not None:
            self.end_wait(out)
        elif self.reader.more and not self.fetch():
            self.look_soon()

    cdef bint fetch(self):
        """Asks the disk for what the reader wants; False when it wants nothing, or asked before."""
        if self.is_fetching or self.listener.read_disk is None:
            return self.is_fetching
        self.is_fetching = self.listener.fetch(self.reader, partial(self._fetched, self.reader))
        return self.is_fetching

    def _fetched(self, reader, is_fed):
        if reader is not self.reader:
            return
        self.is_fetching = False
        if not is_fed:
            # What a colder tier cannot give is no answer: the client tries again, here or elsewhere.
            if self.is_waiting:
                self.end_wait(self.reader.refuse(self.listener.now()))
            else:
                self.abort()
        elif self.is_waiting:
            self.look()
        else:
            self.pump()

    cdef void stop_reading_log(self):
        cdef Listener listener = self.listener
        if self.reader is None:
            return
        listener.drop_watch(self.reader)
        listener.waiting.discard(self)
        self.reader = None
        self.is_fetching = False
        self.is_waiting = False
        self.due_ns = 0

    cdef void answer_wait(self):
        self.end_wait(self.reader.answer(self.listener.now(), True))

    cdef void end_wait(self, bytes out):
        self.stop_reading_log()
        self.transport.write(out)
        if self.ends:
            self.shut()
        else:
            self.resume()

    cdef void pump(self):
        """Writes what the reader gives while the write buffer is within its budget."""
        cdef int turn
        cdef long long started
        cdef object reader = self.reader
        cdef long long now
        if reader is None or self.is_paused or not self.is_open or self.is_fetching:
            return
        started = read_clock(CLOCK_MONOTONIC)
        now = started + self.listener.time.offset_ns
        for turn in range(PULLS_PER_TURN):
            data = reader.stream(STREAM_PULL_BYTES, now)
            if type(data) is tuple:
                # A large batch as it lies in the ring, between the marks of its chunk.
                self.transport.writelines(data)
            elif data is not None:
                self.transport.write(data)
            if reader.ended and not reader.more:
                self.end_stream(False)
                break
            if self.is_paused or not reader.more:
                break
            if data is None:
                # It looked at its share of the log without finding anything, or what follows lies on disk.
                if not self.fetch():
                    self.pump_soon()
                break
        else:
            self.pump_soon()
        self.listener.deliver_time.add(read_clock(CLOCK_MONOTONIC) - started)

    cdef void pump_soon(self):
        if not self.pump_scheduled:
            self.pump_scheduled = True
            self.listener.loop.call_soon(self._pump_on)

    def _pump_on(self):
        self.pump_scheduled = False
        if not self.is_waiting:
            self.pump()

    cdef void heartbeat(self):
        if not self.is_paused and self.is_open and self.reader is not None:
            data = self.reader.heartbeat
            if data is not None:
                self.transport.write(data)

    cdef void end_stream(self, bint write_ending):
        reader = self.reader
        self.stop_reading_log()
        if write_ending:
            ending = reader.ending
            if ending is not None:
                self.transport.write(ending)
        if reader.keep_alive and not self.ends:
            self.resume()
        else:
            self.shut()

    cdef void drain(self):
        self.ends = True
        if self.handler is not None or self.is_cold or not self.is_open:
            return
        if self.is_waiting:
            self.answer_wait()
        elif self.reader is not None:
            self.end_stream(True)
        elif not self.connection.inside and not self.is_full and not self.is_held:
            self.shut()
