"""The answer of endpoints that this version knows but does not have: 501 ``not_available``.

In: a call. Out: always ``NotAvailable``. Invariant: certainly nothing was done.
"""

from starlette.responses import Response

from sprawl.edge.call import Call
from sprawl.errors import NotAvailable


def not_available(call: Call) -> Response:
    """Raises; the detail names what was asked for."""
    raise NotAvailable(f"{call.method} {call.url_path[:256]} is not available in this version")
