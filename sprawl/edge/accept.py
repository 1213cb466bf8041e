"""Content negotiation.

In: an Accept header and what can be given. Out: the best of it. Invariant: something is always
given; a client that accepts nothing of it gets the default, as RFC 9110 §12.5.1 allows.
"""

from collections.abc import Iterator, Sequence


def best(accept: str, offers: Sequence[str]) -> str:
    """The offer with the highest quality; the earlier one when two are equal."""
    ranges = list(_ranges(accept))
    if not ranges:
        return offers[0]
    qualities = [_quality(offer, ranges) for offer in offers]
    highest = max(qualities)
    return offers[qualities.index(highest)] if highest > 0 else offers[0]


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The quality of the most specific range that covers ``offer``."""
    kind = offer.partition("/")[0]
    for wanted in (offer, f"{kind}/*", "*/*"):
        given = [quality for name, quality in ranges if name == wanted]
        if given:
            return max(given)
    return 0.0


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if not name:
            continue
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = min(1.0, max(0.0, float(parameter[2:])))
                except ValueError:
                    quality = 0.0
        yield name, quality
