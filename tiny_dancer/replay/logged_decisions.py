"""Recorded decisions as arrays: what was known and likely, what was chosen, what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.agent import MAX_AMOUNT
from tiny_dancer.learning.outcome_table import MOST_FEATURE
from tiny_dancer.lexical_features import RECORDED_COUNTS

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]
Booleans = NDArray[np.bool_]

NOT_FOUND = -1

# Probabilities are stored as 32-bit floats.
SUM_MARGIN = 1e-3
# A unit vector in half precision is this near to length 1, squared.
LENGTH_MARGIN = 0.01


class LoggedDecision(NamedTuple):
    """One recorded decision as it was stored, with its m candidates.

    Attributes:
        agent_id: who was chosen.
        is_rule: whether a semantic route decided.
        input_tokens: of the request.
        candidates: ids of agents, [m].
        expected_quality: of each, [m].
        probabilities: with which each could have been chosen, [m]; None where it was certain.
        embedding: of the request, float32 [d].
        lexical: its lexical features, None where they were not recorded.
        quality, cost: of what came of it, None without an outcome.
    """

    agent_id: int
    is_rule: bool
    input_tokens: int
    candidates: list[int]
    expected_quality: list[float]
    probabilities: list[float] | None
    embedding: NDArray[np.float32]
    lexical: list[float] | None
    quality: float | None
    cost: float | None

    def is_sound(self, dimension: int) -> bool:
        """Whether it can be what a router recorded: whoever may record may write anything.

        Args:
            dimension: of the embedding model's vectors.
        """
        count = len(self.candidates)
        drawn = self.probabilities
        return (
            self.agent_id in self.candidates
            and all(isinstance(candidate, int) for candidate in self.candidates)
            and len(set(self.candidates)) == count
            and _are_rates(self.expected_quality, count)
            and (drawn is None or (_are_rates(drawn, count) and self._is_distribution(drawn)))
            and (self.cost is None or self.cost <= MAX_AMOUNT)
            and _are_features(self.lexical)
            and len(self.embedding) == dimension
            and abs(float(self.embedding.dot(self.embedding)) - 1.0) < LENGTH_MARGIN
        )

    def _is_distribution(self, drawn: list[float]) -> bool:
        chance = drawn[self.candidates.index(self.agent_id)]
        return chance > 0.0 and abs(sum(drawn) - 1.0) < SUM_MARGIN

    def known_probabilities(self) -> list[float]:
        """Return the probabilities, of a certain decision 1 for who was chosen."""
        if self.probabilities is not None:
            return self.probabilities
        return [float(agent_id == self.agent_id) for agent_id in self.candidates]


@dataclass(frozen=True, slots=True, eq=False)
class LoggedDecisions:
    """n decisions with m candidates in all; those of decision i lie at starts[i] to starts[i + 1].

    Attributes:
        embeddings: of the requests, float32 unit rows [n, d].
        lexical: their raw lexical features, float32 [n, l]; l may be 0.
        input_tokens: [n].
        starts: [n + 1].
        candidates: positions of agents in a registry, [m].
        expected_quality: of each candidate when it was decided, [m].
        probabilities: with which each candidate was drawn, [m].
        chosen: position of the agent that was, [n].
        is_rule: where a semantic route decided and no score, [n].
        quality: of what the decision led to, NaN without an outcome, [n].
        cost: dollars of all its outcomes, NaN without one, [n].
    """

    embeddings: NDArray[np.float32]
    lexical: NDArray[np.float32]
    input_tokens: NDArray[np.int64]
    starts: Positions
    candidates: Positions
    expected_quality: Floats
    probabilities: Floats
    chosen: Positions
    is_rule: Booleans
    quality: Floats
    cost: Floats

    @classmethod
    def of(
        cls, decisions: Iterable[LoggedDecision], position: Mapping[int, int], dimension: int
    ) -> Self:
        """Lay out sound decisions as arrays.

        Args:
            decisions: whose candidates are all in the registry.
            position: from the id of an agent to its position in the registry.
            dimension: of the embeddings.
        """
        rows = list(decisions)
        counts = [len(row.candidates) for row in rows]
        return cls(
            embeddings=_stacked([row.embedding for row in rows], dimension),
            lexical=_lexical([row.lexical for row in rows]),
            input_tokens=np.array([row.input_tokens for row in rows], dtype=np.int64),
            starts=np.concatenate(([0], np.cumsum(counts))).astype(np.intp),
            candidates=np.array([position[a] for row in rows for a in row.candidates], np.intp),
            expected_quality=_joined([row.expected_quality for row in rows]),
            probabilities=_joined([row.known_probabilities() for row in rows]),
            chosen=np.array([position[row.agent_id] for row in rows], dtype=np.intp),
            is_rule=np.array([row.is_rule for row in rows], dtype=bool),
            quality=np.array([_known(row.quality) for row in rows]),
            cost=np.array([_known(row.cost) for row in rows]),
        )

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def can_be_replayed(self) -> Booleans:
        """Where another policy can be judged by what was recorded, [n].

        Chance decided, or there was nothing to decide: one candidate, or a rule that any policy
        obeys.
        """
        single = np.diff(self.starts) == 1
        least = np.minimum.reduceat(self.probabilities, self.starts[:-1]) if len(self) else single
        return np.asarray((least > 0.0) | single | self.is_rule)

    def rows(self, kept: Booleans) -> Self:
        """Return the decisions that are marked in ``kept``, [n]."""
        counts = np.diff(self.starts)
        entries = np.repeat(kept, counts)
        starts = np.concatenate(([0], np.cumsum(counts[kept]))).astype(np.intp)
        return type(self)(
            self.embeddings[kept],
            self.lexical[kept],
            self.input_tokens[kept],
            starts,
            self.candidates[entries],
            self.expected_quality[entries],
            self.probabilities[entries],
            self.chosen[kept],
            self.is_rule[kept],
            self.quality[kept],
            self.cost[kept],
        )

    def place_of(self, agents: Positions) -> Positions:
        """Return where among all candidates an agent of each decision stands, [n].

        Args:
            agents: positions in the registry, [n].

        NOT_FOUND where the agent is no candidate.
        """
        counts = np.diff(self.starts)
        found = np.flatnonzero(self.candidates == np.repeat(agents, counts))
        places = np.full(len(self), NOT_FOUND, dtype=np.intp)
        places[np.repeat(np.arange(len(self)), counts)[found]] = found
        return places

    def expected_of(self, agents: Positions) -> Floats:
        """Return what was expected of an agent of each decision, NaN if no candidate, [n].

        Args:
            agents: positions in the registry, [n].
        """
        places = self.place_of(agents)
        return np.where(places == NOT_FOUND, np.nan, self.expected_quality[places])


def _are_rates(values: list[Any], count: int) -> bool:
    """Whether these are so many numbers in [0, 1]; an array may hold NULLs and arrays."""
    return len(values) == count and all(
        isinstance(value, float) and 0.0 <= value <= 1.0 for value in values
    )


def _are_features(values: list[Any] | None) -> bool:
    """Whether these are lexical features, which are logarithms and shares, or nothing."""
    return values is None or all(
        isinstance(value, float) and abs(value) <= MOST_FEATURE for value in values
    )


def _known(value: float | None) -> float:
    return np.nan if value is None else value


def _joined(parts: list[list[float]]) -> Floats:
    return np.array([value for part in parts for value in part], dtype=np.float64)


def _stacked(vectors: list[NDArray[np.float32]], dimension: int) -> NDArray[np.float32]:
    return np.stack(vectors) if vectors else np.zeros((0, dimension), dtype=np.float32)


def _lexical(rows: list[Any]) -> NDArray[np.float32]:
    """Return the features of all requests, [n, l]; what is missing is taken to be average."""
    recorded = [row if row and len(row) in RECORDED_COUNTS else () for row in rows]
    length = max(map(len, recorded), default=0)
    matrix = np.full((len(rows), length), np.nan, dtype=np.float32)
    for row, features in zip(matrix, recorded, strict=True):
        row[: len(features)] = features
    known = np.isfinite(matrix)
    total = np.where(known, matrix, 0.0).sum(axis=0)
    mean = total / np.maximum(known.sum(axis=0), 1)
    return np.where(known, matrix, mean).astype(np.float32)
