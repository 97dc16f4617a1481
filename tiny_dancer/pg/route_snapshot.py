"""The copy of the semantic routes that requests are matched with.

It has an epoch of its own and is read when it is first asked for: a decision that needs no routes
never loads them, and a change of the agents only reads again which targets are active. Rights are
checked on each call, as in ``tiny_dancer.pg.snapshot``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tiny_dancer.fitted_routes import FittedRoutes
from tiny_dancer.pg import route_heads, route_index, route_store
from tiny_dancer.pg.copy_mark import CopyMark
from tiny_dancer.pg.snapshot import Configuration, read_configuration
from tiny_dancer.semantic_routes import RouteExtremes, SemanticRoutes
from tiny_dancer.weights import DamagedWeightsError

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.model import ActiveModel
    from tiny_dancer.pg.route_heads import LaidHead
    from tiny_dancer.pg.route_store import StoredRoutes

# All that a match with a good copy asks.
MARK = "SELECT tiny_dancer.routes_mark() AS mark"

# The second half is never executed: it has the executor check the caller's rights.
# The epochs come as one text, which is the fastest to compare; the mark is of the same snapshot.
EPOCHS = """
SELECT tiny_dancer.routes_mark() AS mark,
       (SELECT string_agg(kind || ' ' || epoch, ' ') FROM tiny_dancer.epochs) AS epochs,
       row_security_active('tiny_dancer.routes'::regclass)
       OR row_security_active('tiny_dancer.route_utterances'::regclass)
       OR row_security_active('tiny_dancer.route_heads'::regclass)
       OR row_security_active('tiny_dancer.agents'::regclass)
       OR row_security_active('tiny_dancer.models'::regclass)
       OR row_security_active('tiny_dancer.settings'::regclass)
       OR row_security_active('tiny_dancer.epochs'::regclass) AS is_filtered,
       EXISTS (SELECT r.*, u.*, h.*, a.name, a.active, a.removed_at, m.*, s.*
               FROM tiny_dancer.routes r, tiny_dancer.route_utterances u,
                    tiny_dancer.route_heads h, tiny_dancer.agents a,
                    tiny_dancer.models m, tiny_dancer.settings s
               WHERE false) AS never
"""


class RouteTable:
    """Semantic routes and their ids in the database.

    Attributes:
        routes: as arrays, with what was fitted to them.
        ids: of the routes, in the same order.
        limited: positions of those that have a rate limit.
    """

    def __init__(self, routes: SemanticRoutes | FittedRoutes, ids: list[int]) -> None:
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
        extremes: of all routes.
    """

    configuration: Configuration
    table: RouteTable | None
    active_targets: frozenset[str]
    extremes: RouteExtremes


@dataclass(frozen=True, slots=True)
class RouteEpochs:
    """The present epoch of each kind of thing that matching depends on."""

    routes: str
    agents: str
    models: str
    settings: str

    @classmethod
    def parse(cls, text: str) -> RouteEpochs:
        """Read them from kinds and epochs in turn."""
        words = text.split(" ")
        epoch = dict(zip(words[::2], words[1::2], strict=True))
        return cls(epoch["routes"], epoch["agents"], epoch["models"], epoch["settings"])

    @property
    def of_table(self) -> tuple[str, str, str]:
        """The epochs that the routes and the configuration depend on."""
        return self.routes, self.models, self.settings


@dataclass(slots=True)
class Kept:
    """A snapshot, its epochs, and the text that they were last read from."""

    text: str
    epochs: RouteEpochs
    snapshot: RouteSnapshot


class RouteCache:
    """Keeps the latest routes of a backend as long as their epochs are the present ones."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: Kept | None = None
        self._mark = CopyMark(backend.current_role)
        self._latest_mark: int | None = None
        self._warned: str | None = None

    def current(self) -> RouteSnapshot:
        """Return the routes of the present epochs, kept or newly read."""
        present: Any = self._backend.row(MARK)
        if self._kept is not None and self._mark.is_of(present["mark"]):
            snapshot, mark = self._kept.snapshot, present["mark"]
        else:
            self._mark.forget()
            snapshot, mark = self._by_epochs(), self._latest_mark
        self._mark.keep(mark)
        return snapshot

    def marked(self, mark: int | None) -> RouteSnapshot:
        """Return the routes of the present epochs to a caller who read their mark.

        Args:
            mark: what tiny_dancer.routes_mark() says in this call, or any number.
        """
        if self._kept is None or not self._mark.opens_to_caller(mark):
            return self.current()
        return self._kept.snapshot

    def _by_epochs(self) -> RouteSnapshot:
        """Return the routes of the present epochs, each of which is looked at."""
        text, is_filtered = self._epochs()
        kept = self._kept
        if kept is not None and kept.text == text and not is_filtered:
            return kept.snapshot
        while not is_filtered:
            epochs = RouteEpochs.parse(text)
            snapshot = self._refreshed(epochs)
            self._kept = Kept(text, epochs, snapshot)
            text, is_filtered = self._epochs()
            if RouteEpochs.parse(text) == epochs and not is_filtered:
                return snapshot
        self._kept = None
        return self._read(is_shared=False)

    def _epochs(self) -> tuple[str, bool]:
        row: Any = self._backend.row(EPOCHS)
        self._latest_mark = row["mark"]
        return row["epochs"], row["is_filtered"]

    def _refreshed(self, epochs: RouteEpochs) -> RouteSnapshot:
        kept = self._kept
        if kept is not None and kept.epochs == epochs:
            return kept.snapshot
        if kept is not None and kept.epochs.of_table == epochs.of_table:
            targets = route_store.active_targets(self._backend)
            return replace(kept.snapshot, active_targets=targets)
        self._kept = None  # Two copies at once would be twice the memory.
        return self._read(is_shared=True)

    def _read(self, *, is_shared: bool) -> RouteSnapshot:
        configuration = read_configuration(self._backend)
        bounds = route_store.route_bounds(self._backend, configuration.required_model)
        return RouteSnapshot(
            configuration,
            self._read_table(configuration, bounds.count, is_shared=is_shared),
            route_store.active_targets(self._backend),
            bounds.extremes(configuration.settings.route_matching),
        )

    def _read_table(
        self, configuration: Configuration, count: route_store.RouteCount, *, is_shared: bool
    ) -> RouteTable | None:
        model = configuration.required_model
        settings = configuration.settings
        if not route_index.fits(configuration, count, with_graph=False):
            return None
        stored = route_store.stored_routes(self._backend, model)
        laid = self._laid_head(model, stored)
        if laid is not None:
            plain = SemanticRoutes(stored.columns, stored.vectors, settings.route_matching)
            return RouteTable(FittedRoutes(plain, laid.head, laid.places), stored.ids)
        index = None
        if (
            is_shared
            and count.vectors > settings.route_index_limit
            and route_index.fits(configuration, count, with_graph=True)
        ):
            index = route_index.load(self._backend, model, stored)
        table = SemanticRoutes(stored.columns, stored.vectors, settings.route_matching, index)
        return RouteTable(table, stored.ids)

    def _laid_head(self, model: ActiveModel, stored: StoredRoutes) -> LaidHead | None:
        """Return what was fitted to the routes, None where nothing was or it is damaged.

        Requests go on to be matched then, by similarity, and a warning says so once.
        """
        try:
            laid = route_heads.laid_over(self._backend, model, stored)
        except DamagedWeightsError as error:
            if self._warned != error.message:
                self._warned = error.message
                self._backend.plpy.warning(
                    f"{error.message}: the routes are matched by similarity",
                    hint=route_heads.REMEDY,
                )
            return None
        self._warned = None
        return laid
