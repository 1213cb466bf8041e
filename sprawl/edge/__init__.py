"""What clients touch, except the hot requests, which compiled code answers by itself.

In: cold requests and WebSocket handshakes from the compiled protocol (``seam``). Out: HTTP answers
and WebSocket frames, written through the same connection. Invariants: one table of endpoints
(``endpoints``) drives routing, the OpenAPI document and the contract tests; every refusal is a
``SprawlError`` written as problem+json, or in the shape of the original on its routes; nothing here
waits for anything but a client. Layer: above ``broker``.
"""
