"""The registry as a decision needs it: every property of all agents as one array.

A decision looks at every agent, so the arrays are laid out by property and not by agent, and
whatever depends on the registry alone is worked out once here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.agent import Agent, AgentType, CostModel
from tiny_dancer.agents.capabilities import capability_columns, resolve_aliases
from tiny_dancer.agents.embedding_matrix import distinct_rows, laid_out, stack
from tiny_dancer.agents.pool import NO_POOL, number_pools
from tiny_dancer.expected_quality import similarities

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

# A prior of exactly 0 or 1 could never be moved by evidence: its log-odds are infinite.
PRIOR_MARGIN = 1e-3
# What is assumed of an agent whose quality nobody stated.
UNKNOWN_QUALITY = 0.5


# Where more than one in so many agents changed, patching is no gain.
SMALL_SHARE = 8
# The arrays in which an agent that changes writes nothing but its own place.
OWN_PLACES = (
    *("active", "available", "latency_ms", "quality", "context_window", "weights", "embedded"),
    *("priced", "input_price", "output_price", "call_price", "second_price"),
)


class AgentRegistry:
    """All living agents, ordered by name, as arrays of n elements.

    The order is the order of the names' code points, which is the last tie-break of a decision.

    Args:
        agents: the living agents, active or not.
        dimension: of the embeddings; needed when no agent has one.
        aliases: from the key of an alias to the key of the capability it stands for.

    Attributes:
        ids: of the agents' rows in a database.
        names: names of the agents.
        position: from name to position.
        active: who may be chosen.
        available: who may be chosen and, if an ensemble, whose members may be too.
        input_price, output_price: dollars per token.
        call_price: dollars per request.
        second_price: dollars per second of latency; for ensembles see ``seconds_charged``.
        ensembles: from the position of an ensemble to those of its members.
        priced: who has a price.
        latency_ms: NaN where unknown.
        quality: registered prior, NaN where unknown.
        context_window: tokens, infinite where unknown.
        embeddings: float32 [n, dimension], unit rows, zero rows where there is none.
        distinct_embeddings: the different rows among them, laid out for products; ``distinct_of``
            says which row is whose, None where all are different.
        embedded: which rows of the embeddings are real.
        reference_positions: the active agents that have an embedding.
        reference_weights: 1/m for each of these m agents, 0 for the others.
        capabilities: from capability key to who has it.
        pool_ids: numbers of the pools, NO_POOL where there is none.
        weights: shares of the agents in their pools.
        has_pools: whether any agent is in a pool.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        *,
        dimension: int | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.agents: tuple[Agent, ...] = tuple(sorted(agents, key=lambda agent: agent.name))
        self.aliases: Mapping[str, str] = resolve_aliases(aliases or {})
        self.ids: list[int] = [agent.id for agent in self.agents]
        self.names: list[str] = [agent.name for agent in self.agents]
        self.position: dict[str, int] = {name: i for i, name in enumerate(self.names)}
        self.active: Booleans = np.array([a.active for a in self.agents], dtype=bool)
        self.latency_ms: Floats = _floats([a.avg_latency_ms for a in self.agents])
        self.quality: Floats = _floats([a.quality_score for a in self.agents])
        self.context_window: Floats = _floats(
            [_context_window(a.metadata) for a in self.agents], missing=math.inf
        )
        self.pool_ids: NDArray[np.intp] = number_pools(self.agents)
        self.weights: Floats = _floats([a.weight for a in self.agents])
        self.has_pools: bool = bool((self.pool_ids != NO_POOL).any())
        self._price(self.agents)
        self.available: Booleans = self.active.copy()
        self._resolve_ensembles()
        self.embedded: Booleans = np.array([a.embedding is not None for a in self.agents], bool)
        self._take_embeddings(stack([agent.embedding for agent in self.agents], dimension))
        self._weigh_references()
        self.capabilities: dict[str, Booleans] = capability_columns(
            [a.capabilities for a in self.agents], self.aliases
        )
        self.has_ensembles: bool = any(not self._is_single(i) for i in range(len(self.agents)))

    def with_agents(self, changed: Sequence[Agent]) -> AgentRegistry:
        """Return the registry with some agents replaced by their newer selves, or added.

        Args:
            changed: living agents; one of a name or an id that is known takes that one's place.

        This registry stays as it is. Where an agent keeps its name, pool and kind, only its places
        in the arrays are written, which takes a twentieth of the time of a new registry.
        """
        if self._differs_in_shape(changed):
            newer = {agent.name: agent for agent in changed}
            renamed = {agent.id for agent in changed if agent.id}
            same = (a for a in self.agents if a.name not in newer and a.id not in renamed)
            return AgentRegistry(
                [*same, *newer.values()],
                dimension=self.dimension,
                aliases=self.aliases,
            )
        return self._patched(AgentRegistry(changed, dimension=self.dimension, aliases=self.aliases))

    def without(self, ids: Collection[int]) -> AgentRegistry:
        """Return the registry without the agents of some ids."""
        return AgentRegistry(
            [agent for agent in self.agents if agent.id not in ids],
            dimension=self.dimension,
            aliases=self.aliases,
        )

    def _differs_in_shape(self, changed: Sequence[Agent]) -> bool:
        """Whether more than the agents' own places in the arrays would change."""
        if self.has_ensembles or len(changed) > len(self) // SMALL_SHARE:
            return True
        for agent in changed:
            place = self.position.get(agent.name)
            if place is None or agent.agent_type is AgentType.ENSEMBLE:
                return True
            known = self.agents[place]
            if known.id != agent.id or known.pool != agent.pool:
                return True
        return False

    def _patched(self, part: AgentRegistry) -> AgentRegistry:
        """Return a copy with the agents of another registry in their places."""
        patched = AgentRegistry.__new__(AgentRegistry)
        vars(patched).update(vars(self))
        at = [self.position[name] for name in part.names]
        agents = list(self.agents)
        for place, agent in zip(at, part.agents, strict=True):
            agents[place] = agent
        patched.agents = tuple(agents)
        for name in OWN_PLACES:
            column = getattr(self, name).copy()
            column[at] = getattr(part, name)
            setattr(patched, name, column)
        patched.capabilities = _patched_columns(
            self.capabilities, at, part.capabilities, count=len(self)
        )
        if any(
            _differ(self.agents[place].embedding, agent.embedding)
            for place, agent in zip(at, part.agents, strict=True)
        ):
            embeddings = self.embeddings.copy(order="K")
            embeddings[at] = part.embeddings
            patched._take_embeddings(embeddings)
        patched._weigh_references()
        return patched

    def _take_embeddings(self, embeddings: NDArray[np.float32]) -> None:
        # A product's last bits depend on a row's place in the matrix. Equal rows are multiplied
        # once, so that agents of equal capabilities have equal similarities.
        distinct, self.distinct_of = distinct_rows(embeddings)
        self.distinct_embeddings: NDArray[np.float32] = laid_out(distinct)
        # One copy where all rows are different.
        self.embeddings: NDArray[np.float32] = (
            self.distinct_embeddings if self.distinct_of is None else embeddings
        )

    def similarities(self, request: NDArray[np.float32]) -> Floats:
        """Return the rounded cosines of all agents and a unit vector [d], shape [n].

        0 where an agent has no embedding.
        """
        similarity = similarities(self.distinct_embeddings, request)
        return similarity if self.distinct_of is None else similarity[self.distinct_of]

    def _weigh_references(self) -> None:
        # Similarities are judged against their mean over these.
        self.reference_positions: NDArray[np.intp] = np.flatnonzero(self.active & self.embedded)
        # Of a product with the similarities that is this mean: one call instead of four.
        self.reference_weights: Floats = np.zeros(len(self.agents))
        if len(self.reference_positions):
            self.reference_weights[self.reference_positions] = 1.0 / len(self.reference_positions)
        self.all_embedded: bool = bool(self.embedded.all())

    def __len__(self) -> int:
        return len(self.names)

    @property
    def dimension(self) -> int:
        """Length of the embeddings."""
        return int(self.embeddings.shape[1])

    @property
    def nbytes(self) -> int:
        """Size of the arrays in bytes."""
        arrays = (value for value in vars(self).values() if isinstance(value, np.ndarray))
        return sum(a.nbytes for a in arrays) + sum(c.nbytes for c in self.capabilities.values())

    def _price(self, agents: Sequence[Agent]) -> None:
        costs = [agent.cost for agent in agents]
        self.priced: Booleans = np.array([c.is_known for c in costs], dtype=bool)
        self.input_price: Floats = _floats([c.per_1k_tokens for c in costs], missing=0.0) / 1000.0
        self.output_price: Floats = _floats([_output_price(c) for c in costs], missing=0.0) / 1000.0
        self.call_price: Floats = _floats([c.per_call for c in costs], missing=0.0)
        self.second_price: Floats = _floats([c.per_second for c in costs], missing=0.0)

    def seconds_charged(self, latency_ms: Floats) -> Floats:
        """Return the dollars that agents charge for the time they take.

        Args:
            latency_ms: of each agent, NaN where unknown, shape [n].

        NaN where an agent charges by the second and its latency is unknown. An ensemble charges
        for the time of each member that does.
        """
        charged: Floats = self.second_price * latency_ms / 1000.0
        charged[self.second_price == 0.0] = 0.0
        for ensemble, members in self.ensembles.items():
            charged[ensemble] += charged[members].sum()
        return charged

    def _resolve_ensembles(self) -> None:
        """Give ensembles the cost, latency and availability that follow from their members."""
        self.ensembles: dict[int, list[int]] = {}
        for position, agent in enumerate(self.agents):
            if agent.agent_type is AgentType.ENSEMBLE:
                self._resolve_ensemble(position, agent)

    def _resolve_ensemble(self, position: int, agent: Agent) -> None:
        members = [self.position.get(name) for name in agent.metadata.get("members", ())]
        known = [m for m in members if m is not None and self._is_single(m)]
        if not known or len(known) < len(members):
            self.available[position] = False
            self.priced[position] = False
            return
        self.ensembles[position] = known
        self.available[position] &= bool(self.active[known].all())
        self.priced[position] = bool(self.priced[known].all())
        for price in (self.input_price, self.output_price, self.call_price):
            price[position] += price[known].sum()
        self.context_window[position] = min(
            self.context_window[position], self.context_window[known].min()
        )
        self.latency_ms[position] = self.latency_ms[known].max()  # NaN if one is unknown
        if np.isnan(self.quality[position]):
            self.quality[position] = self.quality[known].mean()

    def _is_single(self, position: int) -> bool:
        return self.agents[position].agent_type is not AgentType.ENSEMBLE


def prior_log_odds(quality: Floats) -> Floats:
    """Return the log-odds of prior qualities, UNKNOWN_QUALITY for NaN."""
    prior = np.nan_to_num(quality, nan=UNKNOWN_QUALITY)
    prior = prior.clip(PRIOR_MARGIN, 1.0 - PRIOR_MARGIN)
    odds: Floats = np.log(prior) - np.log1p(-prior)
    return odds


def _output_price(cost: CostModel) -> float | None:
    if cost.per_1k_output_tokens is not None:
        return cost.per_1k_output_tokens
    return cost.per_1k_tokens


def _context_window(metadata: Mapping[str, Any]) -> float | None:
    tokens = metadata.get("context_window")
    return None if tokens is None else float(tokens)


def _floats(values: Sequence[float | None], *, missing: float = math.nan) -> Floats:
    return np.array([missing if v is None else v for v in values], dtype=np.float64)


def _differ(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> bool:
    if one is None or other is None:
        return one is not other
    return not np.array_equal(one, other)


def _patched_columns(
    columns: Mapping[str, Booleans],
    at: list[int],
    part: Mapping[str, Booleans],
    *,
    count: int,
) -> dict[str, Booleans]:
    """Return who has which capability after the agents at some places changed."""
    patched = dict(columns)
    for key in columns.keys() | part.keys():
        before = columns.get(key, np.zeros(count, dtype=bool))
        now = part.get(key, np.zeros(len(at), dtype=bool))
        if not np.array_equal(before[at], now):
            patched[key] = before.copy()
            patched[key][at] = now
            if not patched[key].any():
                del patched[key]
    return patched
