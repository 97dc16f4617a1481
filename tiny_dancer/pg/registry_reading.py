"""Reading the registry: whole at first, and then only the agents whose rows are other ones.

A row's version is where it stands and which transaction wrote it. What a backend has read is
compared with what it sees now, so it does not matter whether a change was committed, rolled back,
or is the caller's own: an agent is read again exactly where its row is not the one that was read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.agent import Agent
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.pg import store
from tiny_dancer.pg.model import ActiveModel

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

Numbers = NDArray[np.int64]

# Where more than one in so many agents changed, reading them all is no loss.
SMALL_SHARE = 8
VERSIONS = """
SELECT string_agg(int8send(a.id) || int8send(hash_record_extended(
           ROW(a.xmin, a.ctid, e.xmin, e.ctid), 0)), '' ORDER BY a.id) AS versions
FROM tiny_dancer.agents a
LEFT JOIN tiny_dancer.agent_embeddings e ON e.agent_id = a.id AND e.model_id = $1
WHERE a.removed_at IS NULL
"""
SOME_AGENTS = f"{store.LIVING_AGENTS} AND a.id = ANY($2)"


class Versions(NamedTuple):
    """Ids of the living agents in order, and a hash of the version of each one's rows."""

    ids: Numbers
    hashes: Numbers

    def changed_since(self, before: Versions) -> Numbers:
        """Return the ids that are new, or whose rows are others than before."""
        known = np.isin(self.ids, before.ids, assume_unique=True)
        changed = ~known
        place = np.searchsorted(before.ids, self.ids[known])
        changed[known] = before.hashes[place] != self.hashes[known]
        return self.ids[changed]

    def gone_since(self, before: Versions) -> Numbers:
        """Return the ids that were there before and are not any more."""
        return before.ids[~np.isin(before.ids, self.ids, assume_unique=True)]


class Reading(NamedTuple):
    """What was read last."""

    model: ActiveModel | None
    aliases: dict[str, str]
    versions: Versions
    registry: AgentRegistry


class RegistryReader:
    """Reads the registry of a backend, as little of it as has to be."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._last: Reading | None = None

    def read(self, model: ActiveModel | None) -> AgentRegistry:
        """Return all living agents as the caller sees them now."""
        versions = self._versions(model)
        aliases = store.aliases(self._backend)
        last = self._last
        if last is not None and (last.model, last.aliases) == (model, aliases):
            registry = self._updated(last, versions)
        else:
            registry = store.registry(self._backend, model)
        self._last = Reading(model, aliases, versions, registry)
        return registry

    def forget(self) -> None:
        """Keep nothing: what was read may not be shown to the next caller."""
        self._last = None

    def _updated(self, last: Reading, versions: Versions) -> AgentRegistry:
        changed = versions.changed_since(last.versions)
        if len(changed) > len(versions.ids) // SMALL_SHARE:
            return store.registry(self._backend, last.model)
        registry = last.registry
        gone = versions.gone_since(last.versions)
        if len(gone):
            registry = registry.without(set(gone.tolist()))
        return registry.with_agents(self._agents(last.model, changed)) if len(changed) else registry

    def _agents(self, model: ActiveModel | None, ids: Numbers) -> list[Agent]:
        known_by = model.id if model else None
        rows = self._backend.rows(SOME_AGENTS, ("bigint", "bigint[]"), known_by, ids.tolist())
        return [store.agent_from_row(row) for row in rows]

    def _versions(self, model: ActiveModel | None) -> Versions:
        row: Any = self._backend.row(VERSIONS, ("bigint",), model.id if model else None)
        pairs = np.frombuffer(row["versions"] or b"", ">i8").astype(np.int64).reshape(-1, 2)
        return Versions(*np.ascontiguousarray(pairs.T))
