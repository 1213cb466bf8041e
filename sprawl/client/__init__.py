"""The client room: talks to nodes over HTTP, from asyncio or (``sprawl.client.sync``) without it.

In: urls of nodes and calls. Out: receipts, messages, errors of ``sprawl.errors``.
Invariants: every publish carries what makes a retry harmless (an idempotency key or a producer's
sequence), so retries never store a message twice inside the topic's deduplication window; only
errors that say so are retried; every network wait has a deadline; every queue has a bound.
Layer: above the formats only; nothing of a node's rooms is imported here.

Read in this order: ``client`` (the front), ``caller`` (retries and failover), ``http`` (one
connection), ``producer`` and ``lane`` (batches in order), ``reader``.
"""

from sprawl._hot.collect import Delivery
from sprawl.client.client import Client
from sprawl.client.message import Message, Outgoing, Receipt
from sprawl.client.producer import Producer
from sprawl.client.reader import Reader
from sprawl.client.topics import Topics
from sprawl.errors import SprawlError

__all__ = [
    "Client",
    "Delivery",
    "Message",
    "Outgoing",
    "Producer",
    "Reader",
    "Receipt",
    "SprawlError",
    "Topics",
]
