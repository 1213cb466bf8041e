"""The route cache without a bound: what the compiled one may forget but never contradict."""

Route = tuple[int, int, int]


class RouteCache:
    """Name → (table epoch, route)."""

    def __init__(self) -> None:
        self.routes: dict[bytes, tuple[int, Route]] = {}

    def get(self, name: bytes, table_epoch: int) -> Route | None:
        held = self.routes.get(name)
        return held[1] if held is not None and held[0] == table_epoch else None

    def put(self, name: bytes, table_epoch: int, route: Route) -> None:
        self.routes[name] = (table_epoch, route)

    def remove(self, name: bytes) -> bool:
        return self.routes.pop(name, None) is not None

    def invalidate(self, topic: int) -> int:
        gone = [name for name, (_, route) in self.routes.items() if route[0] == topic]
        for name in gone:
            del self.routes[name]
        return len(gone)
