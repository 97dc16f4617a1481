"""The copy of registry, model and settings that decisions are made from.

Every call reads the epochs and, in the same query, names every table that the copy was made of.
So the executor checks the caller's rights each time, and a copy that one role made never answers
for a role that may not read. Where row-level security applies to the caller, nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.errors import NotReadyError
from tiny_dancer.pg import store
from tiny_dancer.pg.active_router_model import ActiveRouterModel
from tiny_dancer.pg.copy_mark import CopyMark
from tiny_dancer.pg.model import ActiveModel
from tiny_dancer.pg.registry_reading import RegistryReader
from tiny_dancer.settings import Settings

if TYPE_CHECKING:
    from tiny_dancer.learning.router_model import RouterModel
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.weights import Float32Array

# Every table that a copy is made of, and every one that live state is read from.
KEPT_TABLES = (
    "agents",
    "agent_embeddings",
    "capability_aliases",
    "models",
    "router_models",
    "settings",
    "epochs",
)
LIVE_TABLES = (
    "usage",
    "feedback",
    "decisions",
    "foreseen_outcomes",
    "budgets",
    "budget_charges",
    "budget_holds",
    "leases",
    "breaker_events",
)


def _filtered(tables: Iterable[str]) -> str:
    """Return the expression that tells whether row-level security hides rows of some tables."""
    return " OR ".join(f"row_security_active('tiny_dancer.{table}'::regclass)" for table in tables)


# Never executed. It is there for its names: rights to every column that a copy holds are checked
# with those of the rest of the query. Rights to live state are checked when it is read; whether
# rows of it are hidden is asked here, where it costs no query of its own.
NEVER = """
    EXISTS (SELECT a.*, e.*, c.*, m.*, r.*, s.*
            FROM tiny_dancer.agents a, tiny_dancer.agent_embeddings e,
                 tiny_dancer.capability_aliases c, tiny_dancer.models m,
                 tiny_dancer.router_models r, tiny_dancer.settings s
            WHERE false)
"""

# All that a call with a good copy asks.
MARK = "SELECT tiny_dancer.registry_mark() AS mark"

# The mark is read in the same snapshot.
EPOCHS = f"""
SELECT tiny_dancer.registry_mark() AS mark,
       max(epoch) FILTER (WHERE kind = 'agents') AS agents,
       max(epoch) FILTER (WHERE kind = 'models') AS models,
       max(epoch) FILTER (WHERE kind = 'router_models') AS router_models,
       max(epoch) FILTER (WHERE kind = 'settings') AS settings,
       {_filtered(KEPT_TABLES)} AS is_filtered,
       {_filtered(LIVE_TABLES)} AS is_live_state_filtered,
       {NEVER} AS never
FROM tiny_dancer.epochs
"""

MEGABYTE = 1 << 20
# What the arrays of an agent take beside its vector.
BYTES_BESIDE_VECTOR = 400


class Configuration(NamedTuple):
    """Settings and the active embedding model; None before setup."""

    settings: Settings
    model: ActiveModel | None

    @property
    def required_model(self) -> ActiveModel:
        """The active embedding model.

        Raises:
            NotReadyError: none is active.
        """
        if self.model is None:
            raise NotReadyError(
                "no embedding model is active in this database",
                hint="Run SELECT * FROM tiny_dancer.setup(); as an administrator.",
            )
        return self.model


class Snapshot(NamedTuple):
    """One state of everything that a decision depends on.

    Attributes:
        configuration: settings and model.
        registry: all living agents, None where they are too many to keep.
        is_filtered: whether row-level security hides some of it from the caller.
        router_model: the active router model, None where there is none that can be used.
    """

    configuration: Configuration
    registry: AgentRegistry | None
    is_filtered: bool = False
    router_model: RouterModel | None = None

    @property
    def goes_by_wording(self) -> bool:
        """Whether expected qualities depend on the wording of a request."""
        return self.router_model is not None and self.router_model.goes_by_wording

    def wording(self, text: str) -> Float32Array | None:
        """Return the lexical features of a request, where expected qualities depend on them."""
        return None if self.router_model is None else self.router_model.wording(text)


class Epochs(NamedTuple):
    """The present epoch of each kind of thing, and whether row-level security hides some of it."""

    agents: int
    models: int
    settings: int
    router_models: int
    is_filtered: bool

    @property
    def configuration(self) -> tuple[int, int]:
        """The epochs that a configuration depends on."""
        return self.models, self.settings


class SnapshotCache:
    """Keeps the latest snapshot of a backend as long as its epochs are the present ones.

    Attributes:
        role: oid of that of the latest call.
        is_live_state_filtered: whether row-level security hides some of the tables of live state
            from that role.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.role = 0
        self.is_live_state_filtered = False
        self._configuration: tuple[tuple[int, int], Configuration] | None = None
        self._snapshot: tuple[Epochs, Snapshot] | None = None
        self._mark = CopyMark(backend.current_role)
        self._latest_mark: int | None = None
        self._registries = RegistryReader(backend)
        self._router_models = ActiveRouterModel(backend)

    def current(self) -> Snapshot:
        """Return the snapshot of the present epochs, kept or newly read."""
        present: Any = self._backend.row(MARK)
        if self._snapshot is not None and self._mark.is_of(present["mark"]):
            self.is_live_state_filtered = False
            snapshot, mark = self._snapshot[1], present["mark"]
        else:
            self._mark.forget()
            snapshot, mark = self._by_epochs(), self._latest_mark
        self._mark.keep(mark)
        self.role = self._backend.current_role()
        return snapshot

    def marked(self, mark: int | None) -> Snapshot:
        """Return the snapshot of the present epochs to a caller who read their mark.

        Args:
            mark: what tiny_dancer.registry_mark() says in this call, or any number.
        """
        if self._snapshot is None or not self._mark.opens_to_caller(mark):
            return self.current()
        self.role = self._backend.current_role()
        self.is_live_state_filtered = False
        return self._snapshot[1]

    def _by_epochs(self) -> Snapshot:
        """Return the snapshot of the present epochs, each of which is looked at."""
        epochs = self._epochs()
        if self._snapshot is not None and self._snapshot[0] == epochs:
            return self._snapshot[1]
        self._snapshot = None
        if epochs.is_filtered:
            self._configuration = None
            return self._read(epochs, read_configuration(self._backend))
        self._snapshot = self._read_settled(epochs)
        return self._snapshot[1]

    def configuration(self) -> Configuration:
        """Return settings and model alone, for calls that do not look at the registry."""
        epochs = self._epochs()
        if epochs.is_filtered:
            return read_configuration(self._backend)
        return self._configuration_of(epochs)

    def _epochs(self) -> Epochs:
        row: Any = self._backend.row(EPOCHS)
        self.is_live_state_filtered = row["is_live_state_filtered"]
        self._latest_mark = row["mark"]
        return Epochs(
            row["agents"],
            row["models"],
            row["settings"],
            row["router_models"],
            row["is_filtered"],
        )

    def _read_settled(self, epochs: Epochs) -> tuple[Epochs, Snapshot]:
        """Read until the epochs before and after agree, so that the contents are theirs."""
        while True:
            snapshot = self._read(epochs, self._configuration_of(epochs))
            after = self._epochs()
            if after == epochs:
                return epochs, snapshot
            self._configuration = None
            epochs = after

    def _configuration_of(self, epochs: Epochs) -> Configuration:
        while self._configuration is None or self._configuration[0] != epochs.configuration:
            configuration = read_configuration(self._backend)
            after = self._epochs()
            if after.configuration == epochs.configuration:
                self._configuration = (epochs.configuration, configuration)
            epochs = after
        return self._configuration[1]

    def _read(self, epochs: Epochs, configuration: Configuration) -> Snapshot:
        registry = None
        if self._fits(configuration):
            registry = self._read_registry(configuration, is_filtered=epochs.is_filtered)
        learned = None
        if configuration.model is not None:
            learned = self._router_models.current(
                epochs.router_models, configuration.model, is_filtered=epochs.is_filtered
            )
        return Snapshot(configuration, registry, epochs.is_filtered, learned)

    def _read_registry(self, configuration: Configuration, *, is_filtered: bool) -> AgentRegistry:
        if is_filtered:
            self._registries.forget()
            return store.registry(self._backend, configuration.model)
        return self._registries.read(configuration.model)

    def _fits(self, configuration: Configuration) -> bool:
        dimension = configuration.model.dimension if configuration.model else 0
        estimated = store.count_agents(self._backend) * (4 * dimension + BYTES_BESIDE_VECTOR)
        return estimated <= configuration.settings.snapshot_megabytes * MEGABYTE


def read_configuration(backend: Backend) -> Configuration:
    """Read settings and model from their tables."""
    overrides = store.setting_overrides(backend)
    return Configuration(Settings.with_overrides(overrides), store.active_model(backend))
