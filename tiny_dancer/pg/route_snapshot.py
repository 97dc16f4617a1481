"""The copy of the semantic routes that requests are matched with.

It has an epoch of its own and is read when it is first asked for: a decision that needs no routes
never loads them, and a change of the agents only reads again which targets are active. Rights are
checked on each call, as in ``tiny_dancer.pg.snapshot``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiny_dancer.pg import route_index, route_store
from tiny_dancer.pg.snapshot import Configuration, read_configuration
from tiny_dancer.semantic_routes import SemanticRoutes

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

# The second half is never executed: it has the executor check the caller's rights.
EPOCHS = """
SELECT (SELECT epoch FROM tiny_dancer.epochs WHERE kind = 'routes') AS routes,
       (SELECT epoch FROM tiny_dancer.epochs WHERE kind = 'agents') AS agents,
       (SELECT epoch FROM tiny_dancer.epochs WHERE kind = 'models') AS models,
       (SELECT epoch FROM tiny_dancer.epochs WHERE kind = 'settings') AS settings,
       row_security_active('tiny_dancer.routes'::regclass)
       OR row_security_active('tiny_dancer.route_utterances'::regclass)
       OR row_security_active('tiny_dancer.route_indexes'::regclass)
       OR row_security_active('tiny_dancer.agents'::regclass)
       OR row_security_active('tiny_dancer.models'::regclass)
       OR row_security_active('tiny_dancer.settings'::regclass)
       OR row_security_active('tiny_dancer.epochs'::regclass) AS is_filtered,
       EXISTS (SELECT r.*, u.*, i.*, a.name, a.active, a.removed_at, m.*, s.*
               FROM tiny_dancer.routes r, tiny_dancer.route_utterances u,
                    tiny_dancer.route_indexes i, tiny_dancer.agents a, tiny_dancer.models m,
                    tiny_dancer.settings s
               WHERE false) AS never
"""


class RouteTable:
    """Semantic routes and their ids in the database.

    Attributes:
        routes: as arrays.
        ids: of the routes, in the same order.
        limited: positions of those that have a rate limit.
    """

    def __init__(self, routes: SemanticRoutes, ids: list[int]) -> None:
        self.routes = routes
        self.ids = ids
        conditions = routes.columns.conditions.items()
        self.limited = frozenset(i for i, c in conditions if c.rate_limit is not None)


@dataclass(frozen=True, slots=True)
class RouteSnapshot:
    """One state of everything that matching depends on.

    Attributes:
        configuration: settings and model.
        table: all routes, None where there are too many vectors to keep.
        active_targets: the targets of routes that are registered and active.
    """

    configuration: Configuration
    table: RouteTable | None
    active_targets: frozenset[str]


@dataclass(frozen=True, slots=True)
class RouteEpochs:
    """The present epoch of each kind of thing, and whether row-level security hides some of it."""

    routes: int
    agents: int
    models: int
    settings: int
    is_filtered: bool

    @property
    def of_table(self) -> tuple[int, int, int]:
        """The epochs that the routes and the configuration depend on."""
        return self.routes, self.models, self.settings


class RouteCache:
    """Keeps the latest routes of a backend as long as their epochs are the present ones."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: tuple[RouteEpochs, RouteSnapshot] | None = None

    def current(self) -> RouteSnapshot:
        """Return the routes of the present epochs, kept or newly read."""
        epochs = self._epochs()
        if self._kept is not None and self._kept[0] == epochs:
            return self._kept[1]
        while not epochs.is_filtered:
            snapshot = self._refreshed(epochs)
            self._kept = None
            after = self._epochs()
            if after == epochs:
                self._kept = (epochs, snapshot)
                return snapshot
            epochs = after
        self._kept = None
        return self._read(is_shared=False)

    def _epochs(self) -> RouteEpochs:
        row: Any = self._backend.row(EPOCHS)
        return RouteEpochs(
            row["routes"], row["agents"], row["models"], row["settings"], row["is_filtered"]
        )

    def _refreshed(self, epochs: RouteEpochs) -> RouteSnapshot:
        if self._kept is not None and self._kept[0].of_table == epochs.of_table:
            kept = self._kept[1]
            targets = route_store.active_targets(self._backend)
            return RouteSnapshot(kept.configuration, kept.table, targets)
        self._kept = None  # Two copies at once would be twice the memory.
        return self._read(is_shared=True)

    def _read(self, *, is_shared: bool) -> RouteSnapshot:
        configuration = read_configuration(self._backend)
        return RouteSnapshot(
            configuration,
            self._read_table(configuration, is_shared=is_shared),
            route_store.active_targets(self._backend),
        )

    def _read_table(self, configuration: Configuration, *, is_shared: bool) -> RouteTable | None:
        model = configuration.required_model
        settings = configuration.settings
        routes, vectors = route_store.count_routes(self._backend, model)
        if not route_index.fits(configuration, routes, vectors, with_graph=False):
            return None
        stored = route_store.stored_routes(self._backend, model)
        index = None
        if (
            is_shared
            and vectors > settings.route_index_limit
            and route_index.fits(configuration, routes, vectors, with_graph=True)
        ):
            index = route_index.load(self._backend, model, stored)
        table = SemanticRoutes(stored.columns, stored.vectors, settings.route_matching, index)
        return RouteTable(table, stored.ids)
