"""Which routes have reached their rate limit, as far as a match asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiny_dancer.pg import route_store

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.route_snapshot import RouteTable


class ExhaustedRoutes:
    """The positions of routes whose limit is reached, looked up when a limited one is asked for.

    Args:
        backend: of this process.
        table: the routes.
        refused: ids of routes that were found exhausted in this very call.
    """

    def __init__(self, backend: Backend, table: RouteTable, refused: frozenset[int]) -> None:
        self._backend = backend
        self._table = table
        self._refused = refused
        self._ids: frozenset[int] | None = None

    def __contains__(self, position: object) -> bool:
        if not isinstance(position, int) or position not in self._table.limited:
            return False
        if self._ids is None:
            self._ids = self._refused | route_store.exhausted_routes(self._backend)
        return self._table.ids[position] in self._ids
